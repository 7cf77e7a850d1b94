# SPDX-License-Identifier: BSD-3-Clause
"""GRO: what is held, for how long, and how much."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.checks.arrivals import strangers
from harness.checks.bursts import without_time_limit
from harness.checks.merging import CORE, HELD, MERGED, NORMAL, Merging, merging, skb_length, stranger, train
from harness.claims import claim
from harness.errors import NotSeen
from harness.guest.probes import Probe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.checks.merging import Outcome, Segment
    from harness.evidence import Evidence
    from harness.guest.ringbuffer import Record
    from harness.lab import Bound

POLL = "napi:napi_poll"
SIZE = 200
BUCKETS, HELD_MOST = 8, 8
"""GRO_HASH_BUCKETS and MAX_GRO_SKBS of net/core/gro.c."""

TIMEOUT_NS = 400_000_000
ROUNDS = 30
JIFFIES = "jif=@jiffies:u64"
TAKEN_IN = Probe("f", "gro", "tin", "dev_gro_receive", JIFFIES)
TAKEN_OUT = Probe("f", "gro", "tout", "dev_gro_receive%return", JIFFIES)
COMPLETED_IN = Probe("f", "gro", "cin", "napi_complete_done", JIFFIES)
COMPLETED_OUT = Probe("f", "gro", "cout", "napi_complete_done%return", JIFFIES)
"""In between a poll that found little flushes what GRO holds."""


def sizes_told(flows: int) -> list[int]:
    """Return a payload size for each flow, so that the length of an skb tells whose it is."""
    return [100 + 8 * n for n in range(flows)]


def two_each(bound: Bound, hashes: Sequence[int], later: Sequence[int]) -> list[Segment]:
    """Return a first segment of each flow in order and then a second of each in the order of ``later``."""
    sizes = sizes_told(len(hashes))
    pairs = [
        train(flow, size, size, rss_hash=rss_hash)
        for flow, size, rss_hash in zip(strangers(bound, len(hashes)), sizes, hashes, strict=True)
    ]
    return [*(pair[0] for pair in pairs), *(pairs[n][1] for n in later)]


@claim("GRO-09")
def test_a_bucket_holds_eight_flows(bound: Bound, evidence: Evidence) -> None:
    """Nine flows and eight whose hashes differ above the low three bits; at last the same nine over two buckets."""
    full = [0x1357_9BD5 + n * 0x0111_1118 & 0xFFFF_FFFF for n in range(HELD_MOST + 1)]
    assert {rss_hash % BUCKETS for rss_hash in full} == {5}
    order = list(range(HELD_MOST + 1))
    rounds = {
        "nine flows": (full, order, [HELD] * 18, []),
        "eight flows": (full[:8], order[:8], [HELD] * 8 + [MERGED] * 8, order[:8]),
        "nine flows, the first last": (full, [*order[1:], 0], [HELD] * 9 + [MERGED] * 8 + [HELD], order[1:]),
        "nine flows in two buckets": ([*full[:8], full[8] ^ 1], order, [HELD] * 9 + [MERGED] * 9, order),
    }
    with merging(bound) as ring:
        for name, (hashes, later, returns, merged) in rounds.items():
            found = ring.poll(two_each(bound, hashes, later))
            written = [slot["rss_hash"] for slot in found.written]
            evidence.note(what=name, guest=found.told(), device={"hashes": [f"{h:08x}" for h in written]})
            sizes = sizes_told(len(hashes))
            wanted = [40 + size * count for n, size in enumerate(sizes) for count in ([2] if n in merged else [1, 1])]
            assert found.returns == returns
            assert sorted(found.lengths) == sorted(wanted)
            assert written == [*hashes, *(hashes[n] for n in later)]
            assert found.messages == 1


@claim("GRO-10")
def test_no_skb_spans_two_polls(bound: Bound, evidence: Evidence) -> None:
    """Two segments behind one message, then behind one each; and 100 behind one, of which a poll takes 64."""
    without_time_limit(bound)
    flow = stranger(bound)
    with merging(bound, POLL) as ring:
        together = train(flow, SIZE, SIZE)
        both = ring.poll(together)
        evidence.note(what="one message", guest=both.told(), device=both.messages)
        assert (both.returns, both.lengths, both.messages) == ([HELD, MERGED], [skb_length(together)], 1)
        apart = [ring.poll([each]) for each in together]
        evidence.note(what="two", guest=[each.told() for each in apart], device=[each.messages for each in apart])
        for found, each in zip(apart, together, strict=True):
            assert (found.returns, found.lengths, found.messages) == ([HELD], [skb_length([each])], 1)
        many = train(flow, *[SIZE] * 100)
        found = ring.poll(many)
        works = [record["work"] for record in found.records if record.name == POLL and record["work"]]
        evidence.note(what="100 segments", guest={"lengths": found.lengths, "work": works}, device=len(found.written))
        assert found.lengths == [skb_length(many[:64]), skb_length(many[64:])]
        assert works == [64, 36]
        assert found.returns == [HELD, *[MERGED] * 63, HELD, *[MERGED] * 35]
        assert (len(found.written), found.messages) == (100, 1)


@claim("GRO-10")
def test_gro_flush_timeout_lets_a_merge_go_on_in_the_next_poll(bound: Bound, evidence: Evidence) -> None:
    """A poll flushes what is older than its jiffy, so rounds are judged by jiffies, until one has held over.

    An emulated guest may take longer than a jiffy for a poll; where a tick came at the doubtful place, nothing is said.
    """
    bound.netif.set_file("gro_flush_timeout", TIMEOUT_NS)
    sent = train(stranger(bound), SIZE, SIZE)
    probes = (TAKEN_IN, TAKEN_OUT, COMPLETED_IN, COMPLETED_OUT)
    judged: dict[bool, int] = {True: 0, False: 0}
    with merging(bound, POLL, probes=probes) as ring:
        for _ in range(ROUNDS):
            first, second = (ring.poll([each]) for each in sent)
            ring.trace.read_until(lambda: after_work(ring.trace.records), "the timer's poll, which flushes all")
            kept = held_over(first, second)
            if kept is None:
                continue
            judged[kept] += 1
            assert first.returns == [HELD]
            assert first.lengths == ([] if kept else [skb_length(sent[:1])])
            assert second.returns == ([MERGED] if kept else [HELD])
            assert (first.messages, second.messages) == (1, 1)
            if kept:
                polls = [first.told(), second.told()]
                evidence.note(
                    what="held over",
                    guest={"polls": polls, "rounds": {"kept": judged[True], "flushed": judged[False]}},
                    device=[1, 1],
                )
                return
    raise NotSeen(f"one poll in {ROUNDS} must take less than a jiffy, and none did")


def after_work(records: Sequence[Record]) -> list[Record]:
    """Return the polls that found nothing since the last one that found something."""
    last = max(n for n, record in enumerate(records) if record.name == POLL and record["work"])
    return timer_polls(records[last:], records[last]["napi"])


def timer_polls(records: Sequence[Record], napi: int) -> list[Record]:
    """Return the polls of ``napi`` that found nothing: those of gro_flush_timeout's timer (napi_watchdog)."""
    return [record for record in records if record.name == POLL and record["napi"] == napi and not record["work"]]


def held_over(first: Outcome, second: Outcome) -> bool | None:
    """Tell from the jiffies whether the poll of ``first`` must have kept its segment; None where that is open."""
    records = [*first.records, *second.records]
    [napi] = {record["napi"] for record in records if record.name == POLL and record["work"]}
    if timer_polls(records, napi):
        return None
    cpu = next(record.cpu for record in first.records if record.name == TAKEN_IN.event)
    own = iter([record for record in first.records if record.cpu == cpu and "jif" in record.fields])
    taken_in, taken_out, completed_in, completed_out = (
        next(record["jif"] for record in own if record.name == probe.event)
        for probe in (TAKEN_IN, TAKEN_OUT, COMPLETED_IN, COMPLETED_OUT)
    )
    if taken_in == completed_out:
        return True
    return False if taken_out < completed_in else None


@claim("GRO-13")
def test_pure_acknowledgements_pass_at_once(bound: Bound, evidence: Evidence) -> None:
    """One between two segments with data; then one alone while GRO may hold packets over polls."""
    stamp = b"\1\1\x08\x0a" + bytes(range(8))
    flow = stranger(bound)
    plain = train(flow, SIZE, 0, SIZE)
    sent = [replace(each, tcp={"options": stamp}) for each in plain]
    with merging(bound, POLL) as ring:
        found = ring.poll(sent)
        written = [slot["length"] for slot in found.written]
        evidence.note(what="data, acknowledgement, data", guest=found.told(), device={"lengths": written})
        assert found.returns == [HELD, NORMAL, HELD]
        assert found.lengths == [skb_length([each]) for each in sent]
        assert written == [len(each.frame) for each in sent]
        bound.netif.set_file("gro_flush_timeout", TIMEOUT_NS)
        judge_alone(ring, sent[1], evidence)


def judge_alone(ring: Merging, acknowledgement: Segment, evidence: Evidence) -> None:
    """Let an acknowledgement be polled alone and see it go up before that poll ends."""
    found = ring.poll([acknowledgement])
    order = [r.name for r in found.records if r.name == CORE or (r.name == POLL and r["work"])]
    evidence.note(what="alone", guest={**found.told(), "order": order}, device=found.messages)
    assert (found.returns, found.lengths) == ([NORMAL], [skb_length([acknowledgement])])
    assert order == [CORE, POLL]
    assert found.messages == 1
