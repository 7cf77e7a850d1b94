# SPDX-License-Identifier: BSD-3-Clause
"""Relates the guest's clock to the card's, so that what both saw of one packet can stand on one line.

The card's events carry the host's monotonic clock, the guest's trace a clock that the guest keeps: both count
nanoseconds, from different beginnings. ethtool's register dump (Linux 6.12 igb_get_regs) reads some 600 registers, one
after the other. A read lasts until the card has answered, so the card's record of it lies between the guest's entry
into igb_rd32 and its next one: every read confines the difference of the clocks from both sides, and what all of them
leave bounds the error.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.guest.probes import READ_REGISTER
from harness.plots import Moment, Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.evidence import Evidence
    from harness.guest.ringbuffer import Record
    from harness.guest.trace import Session
    from harness.lab import Bound
    from harness.seen import Seen

ETHTOOL_GREGS = 0x4
DUMP_BYTES = 4 * 739
"""IGB_REGS_LEN words (Linux 6.12 igb_ethtool.c)."""

LEAST_READS = 20
"""Registers that both must have seen read just once for their difference to be trusted; a dump has hundreds."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """The guest's clock less the card's lies between ``low_ns`` and ``high_ns``."""

    low_ns: int
    high_ns: int


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
        self._found: list[Confinement] = []
        self._reads = 0

    def compare(self) -> None:
        """Let the driver dump its registers, and take note of what that says. It reads what has been recorded."""
        self._trace.read()
        begun = len(self._trace.records)
        request = struct.pack("<III", ETHTOOL_GREGS, 0, DUMP_BYTES) + bytes(DUMP_BYTES)
        with self._bound.card.recording("RegisterRead") as seen:
            self._bound.guest.agent.ethtool_ioctl(self._bound.netif.name, request)
        self._trace.read()
        found = confinements(self._trace.records[begun:], seen.all())
        if len(found) >= LEAST_READS:
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


def confinements(records: Sequence[Record], events: Sequence[Seen]) -> list[Confinement]:
    """Return one for each register that both sides saw read just once: which read is which is then beyond doubt."""
    entries = [record for record in records if record.name == READ_REGISTER.event]
    returned = {
        (entry.t, entry["reg"]): later.t
        for pid in {entry.pid for entry in entries}
        for entry, later in pairwise(entry for entry in entries if entry.pid == pid)
    }
    by_guest = Counter(entry["reg"] for entry in entries)
    by_card = Counter(event.offset for event in events)
    when = {event.offset: event.t_ns for event in events}
    return [
        Confinement(at - when[offset], later - when[offset])
        for (at, offset), later in returned.items()
        if by_guest[offset] == by_card[offset] == 1
    ]


def narrowest(found: Sequence[Confinement]) -> Confinement:
    """Return what all confinements leave; where clocks drifted apart between two of them, what lies between those."""
    low, high = max(each.low_ns for each in found), min(each.high_ns for each in found)
    return Confinement(min(low, high), max(low, high))
