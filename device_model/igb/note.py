# SPDX-License-Identifier: BSD-3-Clause
"""What became of one frame in the card: queue, descriptors, RSS hash, or the reason why it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

RSS_WORDS = (
    "none", "TCP/IPv4", "IPv4", "TCP/IPv6", "IPv6-Ex", "IPv6", "TCP/IPv6-Ex", "UDP/IPv4", "UDP/IPv6", "UDP/IPv6-Ex",
)  # fmt: skip
"""By RSS type (82576 7.1.5.1)."""


class Fate(Enum):
    """What became of a frame."""

    OURS = "ours"
    """No descriptor has to do with it: a pause frame of the card's own, or one that has yet to arrive."""

    DELIVERED = "delivered"
    WAITING = "waiting"
    DROPPED = "dropped"
    LOST = "lost"
    """Its descriptors cannot be written back."""

    SENT = "sent"


@dataclass(slots=True)
class Note:
    """``first`` and ``last`` are the slots of the frame's descriptors, None if it has none; frames count from 1."""

    fate: Fate = Fate.OURS
    queue: int = 0
    first: int | None = None
    last: int = 0
    rss_type: int = 0
    rss_hash: int = 0
    reason: str = ""
    frame: int = 1
    frames: int = 1

    def takes(self, index: int) -> None:
        """Take note of one more descriptor of the frame."""
        if self.first is None:
            self.first = index
        self.last = index

    def text(self) -> str:
        """Return the note in words; the native engine's are the same (note.c)."""
        where = f"{'tx' if self.fate is Fate.SENT else 'rx'} queue {self.queue}"
        kind = RSS_WORDS[self.rss_type] if self.rss_type < len(RSS_WORDS) else "reserved"
        rss = f"RSS hash {self.rss_hash:#010x} type {self.rss_type} ({kind})"
        slots = f"descriptor {self.last}" if self.first == self.last else f"descriptors {self.first}-{self.last}"
        match self.fate:
            case Fate.DELIVERED:
                return f"{where}, {slots}, {rss}"
            case Fate.WAITING:
                return f"{where}, waits in the packet buffer for descriptors, {rss}"
            case Fate.LOST:
                return f"lost: {where} cannot be written back, {rss}"
            case Fate.DROPPED:
                steered = self.reason in {"no-descriptor", "packet-buffer-full"}
                return f"dropped: {self.reason}" + (f", {where}, {rss}" if steered else "")
            case Fate.SENT:
                return f"{where}, {slots}" + (f", frame {self.frame} of {self.frames}" if self.frames > 1 else "")
        return "from the card itself"
