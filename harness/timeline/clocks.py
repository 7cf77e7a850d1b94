# SPDX-License-Identifier: BSD-3-Clause
"""The guest's clock against the card's over a whole recording, with the bound of what is not known.

The card's events carry the host's monotonic clock, the guest's trace a clock that the guest keeps. A register read
lasts until the card has answered, so the card's record of it lies between the guest's entry into igb_rd32 and its next
one: every read confines the difference of the clocks at its time from both sides. ethtool's register dump (Linux 6.12
igb_get_regs) makes some 600, one after the other.

Both clocks run at rates that are constant but need not be the same (a guest's TSC is calibrated against a timer), so
the difference is a straight line that passes through all confinements. The lines that do are a polygon in the plane of
their values at both ends of the recording; its middle is the estimate, half its extent the bound.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.errors import LabBroken
from harness.guest.probes import READ_REGISTER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.guest.ringbuffer import Record
    from harness.guest.trace import Session
    from harness.lab import Bound
    from harness.seen import Seen

ETHTOOL_GREGS = 0x4
DUMP_BYTES = 4 * 739
"""IGB_REGS_LEN words (Linux 6.12 igb_ethtool.c)."""

LEAST = 20
"""Readings without which nothing is said; a dump of the registers gives hundreds."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Reading:
    """When the card's clock showed ``at_ns``, the guest's less the card's lay between ``low_ns`` and ``high_ns``."""

    at_ns: int
    low_ns: int
    high_ns: int


@dataclass(frozen=True, slots=True)
class Relation:
    """At card time ``begin_ns`` the guest's clock is ahead by ``offset_ns``, and by ``rate`` ns more for each ns.

    Wrong by at most ``error_ns`` between ``begin_ns`` and ``end_ns``. ``steady`` is False where no straight line fits:
    then ``rate`` is 0 and ``error_ns`` spans everything that was seen.
    """

    begin_ns: int
    end_ns: int
    offset_ns: int
    rate: float
    error_ns: int
    readings: int
    steady: bool = True

    def on_card(self, guest_ns: int) -> int:
        """Return what the card's clock showed when the guest's showed ``guest_ns``."""
        rough = guest_ns - self.offset_ns - self.begin_ns
        return self.begin_ns + round(rough / (1 + self.rate))

    @property
    def told(self) -> str:
        """How the clocks were related, in two sentences."""
        drift = f", drifting {self.rate * 1e6:+.1f} ppm" if self.steady else ", which did not run at one rate"
        return (
            f"All times are on the card's clock; the guest's was related to it by {self.readings} register reads "
            f"that both recorded{drift}. The guest's times are right within ±{self.error_ns / 1000:.1f} µs."
        )


def compared(bound: Bound, trace: Session) -> list[Reading]:
    """Let the driver dump its registers, and return what that says; ``trace`` must have READ_REGISTER among its probes.

    It reads what has been recorded.
    """
    trace.read()
    begun = len(trace.records)
    request = struct.pack("<III", ETHTOOL_GREGS, 0, DUMP_BYTES) + bytes(DUMP_BYTES)
    with bound.card.recording("RegisterRead") as seen:
        bound.guest.agent.ethtool_ioctl(bound.netif.name, request)
    trace.read()
    return readings(trace.records[begun:], seen.all())


def readings(records: Sequence[Record], events: Sequence[Seen]) -> list[Reading]:
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
        Reading(when[offset], at - when[offset], later - when[offset])
        for (at, offset), later in returned.items()
        if by_guest[offset] == by_card[offset] == 1
    ]


def relate(readings: Sequence[Reading]) -> Relation:
    """Return the relation that all readings allow.

    Raises LabBroken if they are too few, or if one contradicts itself.
    """
    if len(readings) < LEAST:
        raise LabBroken(f"at least {LEAST} register reads must relate the clocks, and {len(readings)} did")
    for reading in readings:
        if reading.low_ns > reading.high_ns:
            raise LabBroken(f"a register read must lie between two of the guest's times, and one does not: {reading}")
    begin, end = min(each.at_ns for each in readings), max(each.at_ns for each in readings)
    low, high = min(each.low_ns for each in readings), max(each.high_ns for each in readings)
    shape = allowed(readings, begin, end, low)
    if not shape:
        return Relation(begin, end, (low + high) // 2, 0.0, (high - low + 1) // 2, len(readings), steady=False)
    at_begin, at_end = ([point[axis] for point in shape] for axis in (0, 1))
    first, last = (min(at_begin) + max(at_begin)) / 2, (min(at_end) + max(at_end)) / 2
    error = max(max(at_begin) - first, max(at_end) - last)
    rate = (last - first) / (end - begin) if end > begin else 0.0
    return Relation(begin, end, low + round(first), rate, int(error) + 1, len(readings))


def allowed(readings: Sequence[Reading], begin: int, end: int, base: int) -> list[Point]:
    """Return the corners of the lines that pass every reading: their values at ``begin`` and ``end``, less ``base``."""
    room = float(max(each.high_ns for each in readings) - base + 1) * len(readings)
    shape: list[Point] = [(-room, -room), (room, -room), (room, room), (-room, room)]
    for each in readings:
        weight = (each.at_ns - begin) / (end - begin) if end > begin else 0.0
        shape = _clip(shape, weight, each.high_ns - base, 1)
        shape = _clip(shape, weight, each.low_ns - base, -1)
    return shape


def _clip(shape: Sequence[Point], weight: float, limit: float, sign: int) -> list[Point]:
    """Keep of a convex shape what lies at or below ``limit`` at ``weight`` (above, for sign -1)."""

    def beyond(point: Point) -> float:
        return sign * (point[0] * (1 - weight) + point[1] * weight - limit)

    kept: list[Point] = []
    for here, there in zip(shape, [*shape[1:], *shape[:1]], strict=True):
        over, next_over = beyond(here), beyond(there)
        if over <= 0:
            kept.append(here)
        if (over < 0 < next_over) or (next_over < 0 < over):
            part = over / (over - next_over)
            kept.append((here[0] + part * (there[0] - here[0]), here[1] + part * (there[1] - here[1])))
    return kept
