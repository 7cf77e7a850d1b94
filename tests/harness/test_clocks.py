# SPDX-License-Identifier: BSD-3-Clause
"""Two clocks related by register reads that both sides saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from harness.checks.clocks import Clocks, Comparison, Sighting, narrowest
from harness.evidence import Evidence
from harness.guest.probes import READ_REGISTER
from harness.guest.ringbuffer import Record
from harness.plots import Moment, Source
from harness.seen import Seen
from harness.timeline.clocks import Reading, readings

if TYPE_CHECKING:
    from pathlib import Path

AHEAD = 1_000_000
"""How far the guest's clock is ahead of the card's in these tests."""


def entry(t: int, offset: int, pid: int = 7) -> Record:
    return Record(READ_REGISTER.event, 0, t, pid, "python3", 0, {"reg": offset})


def read(t_ns: int, offset: int) -> Seen:
    return Seen("RegisterRead", t_ns, 0, {"offset": offset})


def test_each_read_confines_the_difference_between_two_entries() -> None:
    entries = [entry(AHEAD + 100, 0x0), entry(AHEAD + 140, 0x8), entry(AHEAD + 190, 0x10)]
    found = readings(entries, [read(130, 0x0), read(150, 0x8), read(220, 0x10)])
    assert found == [Reading(130, AHEAD - 30, AHEAD + 10), Reading(150, AHEAD - 10, AHEAD + 40)]
    assert narrowest(found) == Reading(130, AHEAD - 10, AHEAD + 10)


def test_registers_read_twice_and_other_tasks_are_left_out() -> None:
    entries = [entry(100, 0x0), entry(120, 0x8, pid=9), entry(140, 0x8), entry(150, 0x10), entry(170, 0x18)]
    found = readings(entries, [read(110, 0x0), read(130, 0x8), read(145, 0x8), read(160, 0x10)])
    assert found == [Reading(110, -10, 30), Reading(160, -10, 10)], "0x0 lasts until the same task's next read"


def test_clocks_that_drifted_apart_are_known_less_well_and_not_wrongly() -> None:
    assert narrowest([Reading(0, 10, 20), Reading(0, 30, 40)]) == Reading(0, 20, 30)


class Bare(Comparison):
    """A comparison whose dumps have been made already."""

    def __init__(self, *found: Reading) -> None:
        self._found = list(found)
        self._reads = 400


def test_the_error_covers_what_the_clocks_did_between_two_comparisons() -> None:
    assert Bare(Reading(0, 90, 110), Reading(0, 120, 131)).clocks() == Clocks(110, 21, 400)
    assert Bare().clocks() is None


def test_a_timeline_stands_on_the_cards_clock_and_begins_at_zero(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path / "a", tmp_path)
    sightings = [
        Sighting("stack", "ip_rcv", Source.GUEST, AHEAD + 912_345),
        Sighting("wire", "sent", Source.PEER, 400_000),
        Sighting("card", "message", Source.DEVICE, 401_500),
    ]
    Bare(Reading(0, AHEAD - 7000, AHEAD + 7000)).timeline(evidence, "In", sightings)
    [way] = cast("Any", evidence.plots)
    assert way.moments == (
        Moment("wire", "sent", Source.PEER, 0.0),
        Moment("card", "message", Source.DEVICE, 1.5),
        Moment("stack", "ip_rcv", Source.GUEST, 512.3),
    )
    assert way.error_us == 7.0
    assert "400 register reads" in way.note
    assert "±7.0 µs" in way.note


def test_without_a_relation_there_is_no_timeline_and_no_failure(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path / "a", tmp_path)
    Bare().timeline(evidence, "In", [Sighting("wire", "sent", Source.PEER, 1)])
    Bare(Reading(0, 0, 1)).timeline(evidence, "In", [])
    assert evidence.plots == ()
