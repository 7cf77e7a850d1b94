# SPDX-License-Identifier: BSD-3-Clause
"""The time line: clocks that drift, both witnesses' events on one line, the file, the text, contradictions."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import LabBroken, UsageError
from harness.guest.probes import COMPLETE, POLL, POLL_RETURN
from harness.guest.ringbuffer import Record
from harness.seen import Seen
from harness.timeline import card_side, perfetto, text
from harness.timeline.clocks import Reading, relate
from harness.timeline.line import Lane, TimeLine
from harness.timeline.record import merged
from harness.timeline.story import contradictions, verdict

if TYPE_CHECKING:
    from pathlib import Path

AHEAD = 5_000_000_000
S = 1_000_000_000


def told(rate: float, *, count: int = 400, spread_ns: int = 8000, seed: int = 1) -> list[Reading]:
    """Return readings of a guest's clock that is ahead by AHEAD and runs fast by ``rate``."""
    dice = Random(seed)  # noqa: S311 - nothing is secret here
    found = []
    for n in range(count):
        at = S + n * S // 100
        offset = AHEAD + round(rate * (at - S))
        found.append(Reading(at, offset - dice.randrange(spread_ns), offset + dice.randrange(spread_ns)))
    return found


@pytest.mark.parametrize("rate", [0.0, 20e-6, -300e-6])
def test_a_clock_that_drifts_is_related_within_its_bound(rate: float) -> None:
    clock = relate(told(rate))
    assert clock.steady
    assert clock.error_ns < 2000, "four hundred readings of 8 µs leave much less than one does"
    for at in range(S, 5 * S, S // 7):
        guest = at + AHEAD + round(rate * (at - S))
        assert abs(clock.on_card(guest) - at) <= clock.error_ns
    assert abs(clock.rate - rate) < 2e-6


def test_a_clock_that_jumps_is_known_as_badly_as_it_deserves() -> None:
    early = told(0.0, count=100)
    late = [Reading(each.at_ns + 2 * S, each.low_ns + 700_000, each.high_ns + 700_000) for each in early]
    middle = [Reading(each.at_ns + S, each.low_ns, each.high_ns) for each in early]
    clock = relate([*early, *middle, *late])
    assert not clock.steady
    assert clock.error_ns > 350_000
    assert "did not run at one rate" in clock.told


def test_too_few_readings_and_impossible_ones_are_refused() -> None:
    with pytest.raises(LabBroken, match="at least 20 register reads must relate the clocks, and 3 did"):
        relate(told(0.0, count=3))
    with pytest.raises(LabBroken, match="must lie between two of the guest's times"):
        relate([*told(0.0), Reading(2 * S, 10, 5)])


CLOCK = relate([Reading(n * 1000, AHEAD - 1000, AHEAD + 1000) for n in range(1_000)])
IRQ, VECTOR = 38, 2


def guest(t: int, event: str, cpu: int = 1, **fields: Any) -> Record:
    return Record(event, cpu, AHEAD + t, 0, "<idle>", 0, fields)


def card(t: int, kind: str, **fields: Any) -> Seen:
    return Seen(kind, t, 0, fields)


def records(shift: int = 0) -> list[Record]:
    found = [
        guest(120_000, "irq:irq_handler_entry", irq=IRQ, name="eth0-rx-1"),
        guest(130_000, "irq:irq_handler_exit", irq=IRQ, ret=1),
        guest(135_000, "irq:softirq_entry", vec=3),
        guest(140_000, POLL.event, napi=0xFF00),
        guest(142_000, "napi:napi_poll", cpu=3, dev_name="virtio", work=1, budget=64),
        guest(160_000, COMPLETE.event, napi=0xFF00, work=1),
        guest(200_000, POLL_RETURN.event, ret=1),
        guest(210_000, "irq:softirq_exit", vec=3),
        guest(900_000, "irq:softirq_entry", vec=1),
    ]
    return [replace(record, t=record.t + shift) for record in found]


EVENTS = [
    card(90_000, "FrameArrived", frame=bytes(60)),
    card(95_000, "RxWriteBack", queue=1, index=7, raw=bytes(16)),
    card(100_000, "AutoMasked", vector=VECTOR),
    card(100_400, "InterruptSent", vector=VECTOR, mode="msix", why="event"),
    card(180_000, "RegisterWritten", offset=0x1524, register="EIMS", value=1 << VECTOR),
    card(400_000, "FrameDropped", reason="vlan", length=60, queue=-1),
]


def line(shift: int = 0, events: list[Seen] | None = None, **facts: object) -> TimeLine:
    chosen = EVENTS if events is None else events
    return merged(records(shift), chosen, CLOCK, (0, 100 * S), "eth0", {IRQ: VECTOR}, {"lost": {}, **facts})


def test_both_witnesses_stand_on_one_line() -> None:
    found = line()
    assert [(each.lane.title, each.name, each.kind) for each in found.slices] == [
        ("vector 2", "masked", "masked"),
        ("CPU 1", "eth0-rx-1", "hardirq"),
        ("CPU 1", "NET_RX", "softirq"),
        ("CPU 1", "igb_poll", "napi"),
    ], "in order of time; what had not ended is left out"
    hardirq = found.slices[1]
    assert abs(hardirq.begin_ns - 120_000) <= CLOCK.error_ns
    assert hardirq.end_ns - hardirq.begin_ns == 10_000
    assert [mark.name for mark in found.marks if mark.lane.group == "guest"] == ["napi_complete_done"], "only ours"
    [arrow] = found.arrows
    assert (arrow.source.lane, arrow.target.lane) == (Lane.vector(VECTOR), Lane.cpu(1))
    assert [lane.title for lane in found.lanes] == [
        "CPU 1", "registers", "device", "vector 2", "rx queue 1", "to the guest"
    ]  # fmt: skip
    assert list(contradictions(found)) == []
    assert verdict(found) == ["Both witnesses tell one story of 1 interrupts."]


def test_a_guest_whose_clock_is_wrong_contradicts_the_card() -> None:
    said = list(contradictions(line(shift=-60_000)))
    assert any("sent a message at 100.0 µs, and the guest shows no hard interrupt" in each for each in said)
    assert any("had eth0-rx-1 at" in each and "the card sent nothing" in each for each in said)
    late = list(contradictions(line(shift=300_000)))
    assert ["was unmasked without a poll" in each for each in late] == [True]


def test_a_lost_message_and_one_of_nobody_are_contradictions() -> None:
    silent = [event for event in EVENTS if event.kind not in ("AutoMasked", "InterruptSent")]
    assert ["the card sent nothing" in each for each in contradictions(line(events=silent))] == [True]
    twice = [*EVENTS, card(500_000, "AutoMasked", vector=3)]
    assert ["vector 3 sent a message" in each for each in contradictions(line(events=twice))] == [True]
    lossy = line(events=silent, lost={"CPU 1 of the guest": 3})
    assert list(contradictions(lossy)) == []
    assert verdict(lossy) == ["Whether both tell one story cannot be said: events were lost."]


def test_the_file_is_a_trace_that_perfetto_reads_and_we_do_too(tmp_path: Path) -> None:
    path = tmp_path / "deep/trace.json"
    perfetto.write(line(what="ping"), path)
    table = json.loads(path.read_text())
    events = table["traceEvents"]
    timed = [event for event in events if event["ph"] != "M"]
    assert [event["ts"] for event in timed] == sorted(event["ts"] for event in timed)
    assert all(event["dur"] >= 0 for event in timed if event["ph"] == "X")
    assert {event["ph"] for event in events} == {"M", "X", "i", "s", "f"}
    named = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    assert {(event["pid"], event["tid"]) for event in timed} <= named
    start, finish = ([event for event in timed if event["ph"] == phase] for phase in "sf")
    assert [event["id"] for event in start] == [event["id"] for event in finish]
    for flow in (*start, *finish):
        assert any(
            slice_["ph"] == "X"
            and (slice_["pid"], slice_["tid"]) == (flow["pid"], flow["tid"])
            and slice_["ts"] <= flow["ts"] <= slice_["ts"] + slice_["dur"]
            for slice_ in timed
        ), "an arrow must be bound to a slice"
    again = perfetto.read(path)
    assert again.lanes == line().lanes
    assert list(text.lines(again, text.Window())) == list(text.lines(line(what="ping"), text.Window()))
    assert len(again.arrows) == 1
    assert verdict(again) == verdict(line())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "must be a time line of hilnic trace record"),
        ("[1, 2]", "and is another file"),
        ('{"traceEvents": []}', "and is another file"),
        ('{"otherData": {"hilnic": 99}, "traceEvents": []}', "must be of layout 1, not 99"),
        ('{"otherData": {"hilnic": 1, "lanes": [], "facts": {}}, "traceEvents": [{"ph": "X"}]}', "must be whole"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "trace.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=sentence):
        perfetto.read(path)


def test_a_file_cut_short_or_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    perfetto.write(line(), path)
    path.write_text(path.read_text()[:-100])
    with pytest.raises(UsageError, match="must be a time line"):
        perfetto.read(path)
    with pytest.raises(UsageError, match="must be a time line"):
        perfetto.read(tmp_path / "nowhere.json")
    with pytest.raises(UsageError, match="must go to a file that can be written"):
        perfetto.write(line(), path / "below" / "a-file.json")


def test_the_text_says_what_was_lost_and_shows_a_window() -> None:
    found = line(what="ping", lost={"card": 12_000, "CPU 1 of the guest": 3})
    head = list(text.head(found))
    assert head[0].startswith("ping: ")
    assert head[2] == (
        "LOST, since buffers were full: card 12,000, CPU 1 of the guest 3 events. "
        "What is missing here may well have happened."
    )
    whole = list(text.lines(found, text.Window()))
    assert "vector 2        message  vector=2 mode=msix why=event" in "\n".join(whole)
    assert "hardirq eth0-rx-1 for 10.0 µs  irq=38" in "\n".join(whole)
    assert all("vector 2" in each for each in text.lines(found, text.Window(lane="Vector")))
    assert len(list(text.lines(found, text.Window(lane="wire")))) == 1
    early = list(text.lines(found, text.Window(0, 96)))
    assert len(early) == 2


def test_frames_are_told_in_a_few_words() -> None:
    assert card_side.summary(bytes(14)) == "EtherType 0x0000"
    details = line(events=[card(1, "FrameArrived", frame=b"short")]).marks[0].details
    assert details == {"length": 5, "what": "runt"}
