# SPDX-License-Identifier: BSD-3-Clause
"""The device clock: the host's monotonic nanoseconds, and the timers that the event loop runs."""

from __future__ import annotations

import heapq
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class PendingCall:
    """A call that will be made once, unless it is cancelled."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]) -> None:
        """Hold ``action`` until it has run or been cancelled."""
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Forget the call; harmless after it has run."""
        self.action = None


class MonotonicClock:
    """Implements the Clock port over ``now`` (nanoseconds, never going back)."""

    def __init__(self, now: Callable[[], int] = time.monotonic_ns) -> None:
        """Start with no timers."""
        self.now_ns = now
        self._heap: list[tuple[int, int, PendingCall]] = []
        self._count = 0

    def call_at(self, when_ns: int, action: Callable[[], None]) -> PendingCall:
        """Run ``action`` from the next ``run_due`` that starts at or after ``when_ns``."""
        timer = PendingCall(action)
        heapq.heappush(self._heap, (when_ns, self._count, timer))
        self._count += 1
        return timer

    def run_due(self) -> int:
        """Run what is due, in order of time and then of request; return how many calls were made.

        Calls requested meanwhile wait for the next round, so that a timer which renews itself for the
        present cannot hold the event loop.
        """
        heap = self._heap
        if not heap:
            return 0
        now = self.now_ns()
        limit = self._count
        due: list[PendingCall] = []
        while heap and heap[0][0] <= now and heap[0][1] < limit:
            due.append(heapq.heappop(heap)[2])
        made = 0
        for timer in due:
            action, timer.action = timer.action, None
            if action is not None:
                action()
                made += 1
        return made

    def next_deadline_ns(self) -> int | None:
        """Return when the next call is due, or None if none is pending."""
        heap = self._heap
        while heap and heap[0][2].action is None:
            heapq.heappop(heap)
        return heap[0][0] if heap else None
