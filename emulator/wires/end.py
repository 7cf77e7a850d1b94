# SPDX-License-Identifier: BSD-3-Clause
"""What every wire offers the server loop: one end of a cable that never blocks and never raises on the data path."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

FRAME_MIN = 14
"""An Ethernet header; anything shorter is not a frame."""

FRAME_MAX = 9728 + 8
"""The 82576's longest frame (9.5 KiB, data sheet 8.10.1 RCTL.LPE) and room for two VLAN tags."""

BATCH = 64
"""Frames that one ``poll`` takes from a wire at most, so that a flood starves nobody."""

READ_SIZE = 1 << 17
"""One byte more than any datagram or packet that a wire may hold."""


@dataclass(slots=True)
class WireCounts:
    """What became of frames on one wire, in frames.

    ``dropped`` were ours and could not be sent; ``malformed`` came from the peer and were shorter than
    FRAME_MIN or longer than FRAME_MAX.
    """

    emitted: int = 0
    arrived: int = 0
    dropped: int = 0
    malformed: int = 0

    def as_json(self) -> dict[str, int]:
        """Return the four counts by name."""
        return asdict(self)


class WireEnd(Protocol):
    """Our end of a wire."""

    @property
    def counts(self) -> WireCounts:
        """The wire's counters, live."""

    @property
    def connected(self) -> bool:
        """False while the wire knows that nobody is at the other end."""

    def fileno(self) -> int | None:
        """Return the descriptor that is readable while ``poll`` has work, the same for the wire's life; None: never."""

    def emit(self, frame: bytes) -> None:
        """Send one frame (no FCS), or count it as dropped. Never blocks, never raises."""

    def poll(self) -> Sequence[bytes]:
        """Return the frames that have come, a bounded batch in order, perhaps none. Never blocks, never raises."""

    def close(self) -> None:
        """Give back descriptors and paths; a second call does nothing."""


def accept(frame: bytes, counts: WireCounts) -> bool:
    """Count a frame that came from the peer and say whether it is a possible Ethernet frame."""
    if FRAME_MIN <= len(frame) <= FRAME_MAX:
        counts.arrived += 1
        return True
    counts.malformed += 1
    return False
