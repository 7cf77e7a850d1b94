# SPDX-License-Identifier: BSD-3-Clause
"""Relates the guest's clock to the card's, so that what both saw of one packet can stand on one line.

A dump of the registers confines the difference of the clocks (harness/timeline/clocks.py); what all its reads leave
bounds the error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.plots import Moment, Source
from harness.timeline.clocks import LEAST, Reading, compared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.evidence import Evidence
    from harness.guest.trace import Session
    from harness.lab import Bound


@dataclass(frozen=True, slots=True)
class Clocks:
    """The guest's clock less the card's is ``offset_ns``, wrong by at most ``error_ns``, over a stretch of time."""

    offset_ns: int
    error_ns: int
    reads: int

    def on_card(self, guest_ns: int) -> int:
        """Return what the card's clock showed when the guest's showed ``guest_ns``."""
        return guest_ns - self.offset_ns

    @property
    def told(self) -> str:
        """How the clocks were related, for whoever looks at a plot."""
        return (
            "All times are on the card's clock, the host's monotonic one. The guest's clock was related to it by "
            f"{self.reads} register reads that both recorded, before and after: each reached the card between two "
            f"entries of the driver into igb_rd32. The guest's times are right within ±{self.error_ns / 1000:.1f} µs."
        )


@dataclass(frozen=True, slots=True)
class Sighting:
    """``source`` saw something at ``t_ns`` of its own clock (the link partner's is the card's)."""

    lane: str
    what: str
    source: Source
    t_ns: int


class Comparison:
    """Compares the clocks now and then during a trace, which must have READ_REGISTER among its probes."""

    def __init__(self, bound: Bound, trace: Session) -> None:
        self._bound = bound
        self._trace = trace
        self._found: list[Reading] = []
        self._reads = 0

    def compare(self) -> None:
        """Let the driver dump its registers, and take note of what that says. It reads what has been recorded."""
        found = compared(self._bound, self._trace)
        if len(found) >= LEAST:
            self._found.append(narrowest(found))
            self._reads += len(found)

    def clocks(self) -> Clocks | None:
        """Return the relation from the first comparison to the last, should they drift meanwhile too; None if unknown.

        A picture is no reason to fail a check, so what could not be compared is left out.
        """
        if not self._found:
            return None
        low, high = min(each.low_ns for each in self._found), max(each.high_ns for each in self._found)
        return Clocks((low + high) // 2, (high - low + 1) // 2, self._reads)

    def timeline(self, evidence: Evidence, title: str, sightings: Sequence[Sighting]) -> None:
        """Keep the timeline of what was seen, counted from the first; nothing if the clocks could not be compared."""
        clocks = self.clocks()
        if clocks is None or not sightings:
            return
        guest = Source.GUEST
        times = [clocks.on_card(each.t_ns) if each.source is guest else each.t_ns for each in sightings]
        moments = [
            Moment(each.lane, each.what, each.source, round((t_ns - min(times)) / 1000, 1))
            for each, t_ns in zip(sightings, times, strict=True)
        ]
        evidence.timeline(title, moments, error_us=clocks.error_ns / 1000, note=clocks.told)


def narrowest(found: Sequence[Reading]) -> Reading:
    """Return what all readings leave; where clocks drifted apart between two of them, what lies between those."""
    low, high = max(each.low_ns for each in found), min(each.high_ns for each in found)
    return Reading(found[0].at_ns, min(low, high), max(low, high))
