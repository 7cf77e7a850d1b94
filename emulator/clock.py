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
        self.real_ns = now
        """The time by which calls fall due; ``now_ns`` may stand still within what is one step of the card."""
        self.around: Callable[[int, Callable[[], None]], None] = lambda _when_ns, action: action()
        """Makes a call that was to be made at a time."""
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
        now = self.real_ns()
        limit = self._count
        due: list[tuple[int, int, PendingCall]] = []
        while heap and heap[0][0] <= now and heap[0][1] < limit:
            due.append(heapq.heappop(heap))
        made = 0
        for when_ns, _, timer in due:
            action, timer.action = timer.action, None
            if action is not None:
                self.around(when_ns, action)
                made += 1
        return made

    def fire(self, when_ns: int) -> bool:
        """Make the first call that was requested for ``when_ns``, whatever the time is; tell whether there is one."""
        wanted = [entry for entry in self._heap if entry[0] == when_ns and entry[2].action is not None]
        if not wanted:
            return False
        timer = min(wanted)[2]
        action, timer.action = timer.action, None
        assert action is not None
        action()
        return True

    def next_deadline_ns(self) -> int | None:
        """Return when the next call is due, or None if none is pending."""
        heap = self._heap
        while heap and heap[0][2].action is None:
            heapq.heappop(heap)
        return heap[0][0] if heap else None
