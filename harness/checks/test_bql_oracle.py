# SPDX-License-Identifier: BSD-3-Clause
"""Byte queue limits from inside: every struct dql, at every completion of mixed traffic, against the oracle."""

from __future__ import annotations

from collections import defaultdict
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import pytest

from harness.checks.bursts import armings, arms
from harness.checks.clocks import Comparison
from harness.checks.dql_watch import completions, gaps, picture_in_time, picture_in_turns, watching
from harness.checks.filling import FULL, filling, own_queue
from harness.checks.mixing import connect_mix, cpu_owns_queue, sent_packets, wait_all_idle
from harness.checks.sending import pinned_sender, undisturbed, wait_idle
from harness.claims import claim
from harness.deadline import Deadline
from harness.guest.probes import READ_REGISTER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.checks.dql_watch import Completion
    from harness.checks.mixing import Sent
    from harness.evidence import Evidence
    from harness.guest.trace import Session
    from harness.lab import Bound
    from harness.seen import Recording

WATCHED = ("TxDescriptor", "TxWriteBack")
LEAST_COMPLETIONS = 1000
LEAST_FOR_BOUND = 300
SLOW_MBPS = 10
JIFFY_MS = 4
NEVER_MS = 60_000
ROUNDS = 4
SPURIOUS = 100
ROUNDS_S = 60.0


def exchange(bound: Bound, trace: Session, least: int, stream: int = 50_000) -> None:
    """Send in rounds, ``stream`` bytes of TCP each, until there were ``least`` completions; wait until all is done."""
    mix = connect_mix(bound)
    deadline = Deadline.after(ROUNDS_S)
    while len(trace.named("bql:out")) < least:
        assert not deadline.passed, f"{least} completions must come within {ROUNDS_S:g} s"
        mix.round(stream=stream, datagrams=40)
        trace.read()
    wait_all_idle(bound)


def reported_bytes(seen: Recording) -> dict[int, list[int]]:
    """Return for each queue the bytes of the packets that the card reported, in the order of its reports."""
    flying: dict[tuple[int, int], list[Sent]] = defaultdict(list)
    for packet in sent_packets(seen.all("TxDescriptor")):
        flying[packet.queue, packet.last].append(packet)
    done: dict[int, list[int]] = defaultdict(list)
    for event in seen.all("TxWriteBack"):
        done[event.queue].append(flying[event.queue, event.index].pop(0).bytes)
    return done


@claim("BQL-02")
@pytest.mark.four_queues
def test_every_completion_of_mixed_traffic_is_as_the_oracle_says(bound: Bound, evidence: Evidence) -> None:
    """Four CPUs, each with a TCP stream and datagrams of four sizes on a queue of its own, for 1000 completions.

    All fields of all completions are predicted, and what the driver completed at once always ends where the card ended
    a report: a byte more or less anywhere moves every sum after it.
    """
    with (
        cpu_owns_queue(bound),
        watching(bound, probes=(READ_REGISTER,)) as trace,
        bound.card.recording(*WATCHED) as seen,
    ):
        clocks = Comparison(bound, trace)
        clocks.compare()
        exchange(bound, trace, LEAST_COMPLETIONS)
        clocks.compare()
    found = completions(bound, trace)
    wrong = [text for completion in found for text in completion.mismatches()]
    device = reported_bytes(seen)
    stories, held = by_queue(found), held_by_card(seen)
    growing = max(stories, key=lambda queue: sum(each.starved for each in stories[queue]))
    title = "Byte queue limits under mixed traffic, at every completion"
    picture_in_turns(evidence, title, stories[growing], clocks.clocks(), held[growing])
    ends = {queue: set(accumulate(sizes)) for queue, sizes in device.items()}
    astray = [
        (queue, total)
        for queue in device
        for total in accumulate(each.count for each in found if each.queue == queue)
        if total not in ends[queue]
    ]
    evidence.note(
        guest={
            "completions": len(found),
            "grew": sum(each.starved for each in found),
            "shrank": sum(each.shrank for each in found),
            "bytes": {queue: sum(each.count for each in found if each.queue == queue) for queue in device},
        },
        device={
            "packets": {queue: len(sizes) for queue, sizes in device.items()},
            "bytes": {queue: sum(sizes) for queue, sizes in device.items()},
        },
    )
    assert wrong[:5] == []
    assert gaps(found)[:5] == []
    assert astray[:5] == []
    assert sorted(device) == [0, 1, 2, 3]
    assert all(sum(each.count for each in found if each.queue == queue) == sum(device[queue]) for queue in device)
    assert len(found) >= LEAST_COMPLETIONS
    assert any(each.starved for each in found)


def by_queue(found: Sequence[Completion]) -> dict[int, list[Completion]]:
    """Return the completions of each queue, in order."""
    stories: dict[int, list[Completion]] = defaultdict(list)
    for each in found:
        stories[each.queue].append(each)
    return dict(stories)


def held_by_card(seen: Recording) -> dict[int, list[tuple[int, int]]]:
    """Return for each queue what the card had fetched and not reported, in bytes, and since when."""
    packets = {packet.end: packet for packet in sent_packets(seen.all("TxDescriptor"))}
    story: dict[int, list[tuple[int, int]]] = defaultdict(lambda: [(0, 0)])
    flying: dict[tuple[int, int], int] = {}
    for event in seen.all():
        if event.kind == "TxWriteBack":
            change = -flying.pop((event.queue, event.index))
        elif event.number in packets:
            packet = packets[event.number]
            change = flying[packet.queue, packet.last] = packet.bytes
        else:
            continue
        story[event.queue].append((event.t_ns, story[event.queue][-1][1] + change))
    return {queue: points[1:] for queue, points in story.items()}


@claim("BQL-05")
@pytest.mark.four_queues
def test_in_flight_exceeds_the_limit_by_no_more_than_the_last_packet(bound: Bound, evidence: Evidence) -> None:
    """Datagrams of four sizes from 16 senders, more than 10 Mb/s let out, for 300 completions.

    At each completion what is in flight is at its highest.

    A limit that falls leaves more in flight than it would let in: then that is what the last packet may come on top of.
    The card never holds more than the guest counted.
    """
    bound.card.rate(SLOW_MBPS)
    with cpu_owns_queue(bound), watching(bound) as trace, bound.card.recording(*WATCHED) as seen:
        exchange(bound, trace, LEAST_FOR_BOUND, stream=0)
    found = completions(bound, trace)
    left: dict[int, int] = {}
    flights: dict[int, int] = defaultdict(int)
    over = []
    for each in found:
        inflight, limit, last = each.before["nq"] - each.before["nc"], each.before["limit"], each.before["last"]
        if each.queue in left and inflight > max(limit, left[each.queue]) + last:
            over.append(f"queue {each.queue}: {inflight} in flight, limit {limit}, last packet {last}")
        left[each.queue] = each.after["nq"] - each.after["nc"]
        flights[each.queue] = max(flights[each.queue], inflight)
    held = {queue: max(size for _, size in points) for queue, points in held_by_card(seen).items()}
    full = sum(each.before["nq"] - each.before["nc"] > each.before["limit"] for each in found)
    evidence.note(
        guest={"completions": len(found), "of full queues": full, "most in flight": flights},
        device={"most in the card": held},
    )
    assert over == []
    assert sorted(held) == sorted(flights) == [0, 1, 2, 3]
    assert all(0 < held[queue] <= flights[queue] for queue in held)
    assert full > 0


@claim("BQL-05")
def test_bound_of_what_is_in_flight_moves_with_the_limit(bound: Bound, evidence: Evidence) -> None:
    """The same backlog under two limits, in packets that do not divide either."""
    story = []
    with filling(bound) as queue:
        queue.raise_limit(5000)
        queue.send(*[FULL] * 60)
        for limit in (5000, 30_000):
            if limit > 5000:
                queue.set_limits(limit_min=limit)
                queue.release(1)
            now = queue.expect()
            story.append((now.limit, now.inflight, sum(queue.handed_over()[queue.reported() :])))
        evidence.note(guest=[entry[:2] for entry in story], device=[entry[2] for entry in story])
    assert [limit for limit, _, _ in story] == [5000, 30_000]
    assert all(limit < inflight <= limit + FULL and inflight == held for limit, inflight, held in story)


def timed_falls(found: Sequence[Completion]) -> list[tuple[Completion, Completion]]:
    """Return each fall of the limit with the last busy completion before it in the same hold time."""
    busy = [each for each in found if each.busy]
    return [(last, fall) for last, fall in pairwise(busy) if fall.shrank and fall.before["ss"] == last.after["ss"]]


@claim("BQL-09")
@pytest.mark.parametrize(("hold_ms", "frames"), [(200, 500), (400, 700), (60_000, 400)])
def test_limit_falls_by_the_least_slack_once_the_hold_time_is_over(
    bound: Bound, evidence: Evidence, hold_ms: int, frames: int
) -> None:
    """A queue that is never dry, at 10 Mb/s, with a limit far too high; its full frames outlast the hold time.

    A frame that goes alone starves the queue, so that the hold time begins. Should the guest be so slow that it is over
    before the queue is busy, there is another round. Every completion is the oracle's; in the last case none shrinks.
    """
    undisturbed(bound)
    bound.netif.use_pfifo()
    own_queue(bound)
    sender = pinned_sender(bound)
    bound.card.rate(SLOW_MBPS)
    bound.netif.set_bql(sender.queue, hold_time=hold_ms)
    rounds = 0
    found: list[Completion] = []
    with watching(bound) as trace, bound.card.recording("TxWriteBack") as seen:
        while rounds < (ROUNDS if hold_ms < NEVER_MS else 1) and not timed_falls(found):
            rounds += 1
            bound.netif.set_bql(sender.queue, limit=10)
            sender.send(1, FULL)
            wait_idle(bound, sender.queue)
            bound.netif.set_bql(sender.queue, limit=100_000)
            sender.send(frames, FULL)
            wait_idle(bound, sender.queue, seconds=20)
            trace.read()
            found = [each for each in completions(bound, trace) if each.before["hold"] == hold_ms // JIFFY_MS]
    reported = seen.all("TxWriteBack", lambda event: event.queue == sender.queue)
    wrong = [text for each in found for text in each.mismatches()]
    falls = [each for each in found if each.shrank]
    waits = [(each.after["jif"] - each.before["ss"]) * JIFFY_MS for each in falls]
    picture_in_time(evidence, f"A limit far too high, hold time {hold_ms} ms", found)
    evidence.note(
        guest={"completions": len(found), "limits": [each.after["limit"] for each in falls], "waited ms": waits},
        device={"packets reported": len(reported), "rounds": rounds},
    )
    assert wrong[:5] == []
    assert sum(each.count for each in found) == rounds * (frames + 1) * FULL
    assert len(reported) == rounds * (frames + 1)
    assert all(wait > hold_ms for wait in waits)
    timed = timed_falls(found)
    assert bool(timed) == bool(falls) == (hold_ms < NEVER_MS)
    assert all(last.before["jif"] <= fall.before["ss"] + hold_ms // JIFFY_MS for last, fall in timed)


@claim("BQL-12")
def test_poll_without_completions_changes_nothing(bound: Bound, evidence: Evidence) -> None:
    """100 spurious messages between two completions: what the first left is what the second finds, field by field."""
    with filling(bound) as queue, watching(bound, "napi:napi_poll") as trace:
        queue.raise_limit(10_000)
        queue.send(700, 900, 1100)
        queue.release(1)
        before = queue.expect()
        trace.read()
        for _ in range(SPURIOUS):
            armed = len(armings(queue.seen, queue.vector))
            bound.card.fault("spurious_interrupt", vector=queue.vector)
            queue.seen.wait(armed + 1, kind="RegisterWritten", where=lambda event: arms(event, queue.vector))
        after = queue.expect()
        fresh = [record for record in trace.read() if record.cpu == queue.sender.cpu]
        polls = [record for record in fresh if record.name == "napi:napi_poll"]
        calls = len(fresh) - len(polls)
        queue.release(2)
        queue.expect()
        messages = len(queue.seen.all("InterruptSent", lambda event: event.why == "fault"))
    found = [each for each in completions(bound, trace) if each.cpu == queue.sender.cpu]
    evidence.note(
        guest={"polls": len(polls), "calls meanwhile": calls, "completions": [each.count for each in found]},
        device={"spurious messages": messages},
    )
    assert before == after
    assert [each.count for each in found] == [60, 700, 2000]
    assert (calls, gaps(found)) == (0, [])
    assert (messages, len(polls)) == (SPURIOUS, SPURIOUS)
    assert {record["work"] for record in polls} == {0}
