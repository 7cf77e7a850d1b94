# SPDX-License-Identifier: BSD-3-Clause
"""A loopback plug: what is emitted comes back, in order, at the next poll."""

from __future__ import annotations

import os
from collections import deque

from emulator.wires.end import BATCH, WireCounts, accept

QUEUE_FRAMES = 4096
"""Frames on their way round; when the plug is full the next one is dropped."""


class LoopbackWire:
    """Both ends of one cable in the same card."""

    def __init__(self) -> None:
        self.counts = WireCounts()
        self.connected = True
        self._queue: deque[bytes] = deque()
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int | None:
        """Return an eventfd, readable while frames are on their way."""
        return self._event

    def emit(self, frame: bytes) -> None:
        """Send one frame to ourselves, or count it as dropped."""
        if len(self._queue) >= QUEUE_FRAMES or self._event < 0:
            self.counts.dropped += 1
            return
        self.counts.emitted += 1
        self._queue.append(frame)
        if len(self._queue) == 1:
            os.eventfd_write(self._event, 1)

    def poll(self) -> list[bytes]:
        """Return up to BATCH frames that were emitted before this call."""
        frames = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
        if frames and not self._queue:
            os.eventfd_read(self._event)
        return [frame for frame in frames if accept(frame, self.counts)]

    def close(self) -> None:
        """Forget what is under way and close the eventfd."""
        self._queue.clear()
        self.connected = False
        if self._event >= 0:
            os.close(self._event)
            self._event = -1
