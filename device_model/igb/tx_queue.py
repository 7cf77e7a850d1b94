# SPDX-License-Identifier: BSD-3-Clause
"""What the transmitter holds: its queues, and the packets that were fetched whole from them (82576 7.2)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from device_model.igb.note import Note
    from device_model.ring import Ring


@dataclass(slots=True)
class TxPacket:
    """A packet that was fetched whole: its frames still to leave, whether the next has begun, the slots to report."""

    queue: int
    frames: deque[bytes]
    last: int
    report: list[int]
    segmented: bool
    timestamp: bool
    note: Note
    begun: bool = False


@dataclass(slots=True)
class TxQueue:
    """One transmit queue: its ring, the packet that is being put together, and what is to be reported."""

    ring: Ring
    contexts: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0), (0, 0)])
    data: bytearray = field(default_factory=bytearray)
    first: tuple[int, int] | None = None
    slot: int | None = None
    """Where the packet begins, its context descriptor included."""

    report: list[int] = field(default_factory=list)
    broken: bool = False
    done: list[int] = field(default_factory=list)
    withheld: deque[list[int]] = field(default_factory=deque)

    def forget(self) -> None:
        """Drop everything that is under way."""
        self.contexts = [(0, 0), (0, 0)]
        self.withheld.clear()
        self.done.clear()
        self.begin()

    def begin(self) -> None:
        """Make ready for the next packet."""
        self.data = bytearray()
        self.first = self.slot = None
        self.report = []
        self.broken = False
