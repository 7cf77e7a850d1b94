# SPDX-License-Identifier: BSD-3-Clause
"""RFS: frames follow the CPU on which their reader last asked for some."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.checks.arrivals import deliver, strangers, told
from harness.checks.bursts import calm
from harness.checks.sinks import UDP_HEADERS, got, sink, summaries
from harness.checks.steering import CORE, CPU, PUT, QUEUE, lengths, mask_others, one_poller, processed
from harness.claims import claim
from harness.lab import PEER_IPV4
from harness.oracles.steering import chosen_cpu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.checks.sinks import Sink
    from harness.evidence import Evidence
    from harness.guest.ringbuffer import Record
    from harness.lab import Bound

ENTRIES = 256
SIZE = 400
"""Payload of a datagram to a reader: longer than any stranger's."""


def tables(bound: Bound, sockets: int = ENTRIES, flows: int = ENTRIES) -> None:
    """Set the sizes of both tables: that of all sockets, and that of the queue's flows."""
    bound.guest.proc.set_sysctl("net.core.rps_sock_flow_entries", sockets)
    bound.netif.set_rfs(QUEUE, flows)


def reader(bound: Bound, port: int) -> Sink:
    """Open a UDP socket that is connected to the link partner: only such a one is recorded (sock_rps_record_flow)."""
    made = sink(bound, port)
    bound.guest.agent.call("connect", handle=made.handle, address=[PEER_IPV4, made.flow.source_port])
    return made


def read_on(made: Sink, cpu: int, count: int) -> list[tuple[int, int]]:
    """Let a thread on ``cpu`` read ``count`` datagrams; return length and CRC-32 of each."""
    return got(made.bound.guest.agent.call("receive", cpus=[cpu], handle=made.handle, count=count, seconds=10.0))


def warm(made: Sink, cpu: int) -> None:
    """Let one datagram be read on ``cpu``: the flow is known to the socket then, and the socket's CPU to the table."""
    deliver(made.bound, made.frames([SIZE]))
    assert len(read_on(made, cpu, 1)) == 1


def follow(made: Sink, cpu: int, count: int, first: int = 1) -> list[Record]:
    """Deliver ``count`` datagrams, read them all on ``cpu``, and return where each was put."""
    frames = made.frames([SIZE + n for n in range(count)], first)
    with made.bound.guest.trace.session(probes=[PUT]) as trace:
        deliver(made.bound, frames)
        assert sorted(read_on(made, cpu, count)) == sorted(summaries(frames))
        calm(made.bound)
    return trace.named(PUT.event)


@claim("RFS-01")
def test_rfs_needs_both_of_its_tables(bound: Bound, evidence: Evidence) -> None:
    """The reader is on CPU 0, which the mask of two others leaves out: no formula leads there.

    12 datagrams under each of the four settings; strays would find no mask on the other queues.
    """
    mask, home, count = (2, 3), 0, 12
    one_poller(bound)
    bound.netif.set_rps(QUEUE, mask)
    for number, (sockets, flows) in enumerate(((0, 0), (ENTRIES, 0), (0, ENTRIES), (ENTRIES, ENTRIES))):
        tables(bound, sockets, flows)
        made = reader(bound, 5300 + number)
        warm(made, home)
        with bound.card.recording("FrameDelivered") as seen:
            put = follow(made, home, count)
        queues = Counter(event.queue for event in seen.all())
        both = bool(sockets and flows)
        evidence.note(
            what=f"rps_sock_flow_entries {sockets}, rps_flow_cnt {flows}",
            guest={"put on backlogs": dict(Counter(record["to"] for record in put))},
            device={"queues": dict(queues)},
        )
        assert [record["to"] for record in put] == [
            home if both else chosen_cpu(record["hash"], mask) for record in put
        ]
        assert (len(put), queues) == (count, Counter({QUEUE: count}))


@claim("RFS-02")
def test_frames_follow_the_cpu_of_the_reader(bound: Bound, evidence: Evidence) -> None:
    """A reader that moves from CPU to CPU, 12 datagrams each; without the queue's table they go as masked."""
    count = 12
    one_poller(bound)
    bound.netif.set_rps(QUEUE, [CPU])
    tables(bound)
    made = reader(bound, 5310)
    for cpu, flows in ((3, ENTRIES), (0, ENTRIES), (2, ENTRIES), (1, ENTRIES), (3, 0)):
        bound.netif.set_rfs(QUEUE, flows)
        warm(made, cpu)
        with bound.card.recording("FrameDelivered") as seen:
            put = Counter(record["to"] for record in follow(made, cpu, count))
        queues = Counter(event.queue for event in seen.all())
        evidence.note(
            what=f"reader on CPU {cpu}, rps_flow_cnt {flows}",
            guest={"put on backlogs": dict(put)},
            device={"queues": dict(queues)},
        )
        assert put == Counter({cpu if flows else CPU: count})
        assert queues == Counter({QUEUE: count})


@claim("RFS-03")
def test_moving_reader_sees_no_reordering(bound: Bound, evidence: Evidence) -> None:
    """1400 datagrams, 200 of them always ahead of a reader that moves 20 times between the four CPUs.

    Besides the order at the socket: when a frame goes to another CPU than the one before, all earlier ones must have
    been processed (last_qtail of the flow). Lengths count modulo 100, so that a swap shows at the card too.
    """
    ahead, each, moves = 200, 60, 20
    one_poller(bound)
    tables(bound)
    bound.guest.proc.set_sysctl("net.core.netdev_max_backlog", 10_000)
    made = reader(bound, 5320)
    warm(made, 0)
    frames = made.frames([SIZE + n % 100 for n in range(ahead + each * moves)], first=1)
    read: list[tuple[int, int]] = []
    with bound.guest.trace.session(CORE, probes=[PUT]) as trace, bound.card.recording("FrameDelivered") as seen:
        bound.peer.send(*frames[:ahead])
        for move in range(moves):
            how = {"handle": made.handle, "count": each, "seconds": 15.0}
            reading = bound.guest.agent.start("receive", cpus=[(move * 3 + 3) % 4], **how)
            bound.peer.send(*frames[ahead + each * move : ahead + each * (move + 1)])
            read += got(reading.result(20.0))
        read += read_on(made, 2, ahead)
        calm(bound)
    put, done = trace.named(PUT.event), [record.t for record in processed(bound, trace)]
    late = [
        number
        for number, (before, now) in enumerate(pairwise(put), 1)
        if now["to"] != before["to"] and bisect_left(done, now.t) < number
    ]
    changes = sum(now["to"] != before["to"] for before, now in pairwise(put))
    evidence.note(
        guest={"put on backlogs": dict(Counter(r["to"] for r in put)), "changes": changes, "too early": late},
        device={"delivered": len(seen.all()), "queues": sorted({event.queue for event in seen.all()})},
    )
    assert read == summaries(frames)
    assert late == []
    assert len({record["to"] for record in put}) > 1
    assert [event.length for event in seen.all()] == lengths(put) == [len(one) for one in frames]


def unlike(records: Sequence[Record], entries: int) -> int:
    """Return how many strangers share the table's entry with the reader's flow, but not the rest of the hash."""
    ours = {record["hash"] for record in records if record["len"] >= SIZE}
    [own] = ours
    others = {record["hash"] for record in records} - ours
    return sum(value % entries == own % entries and (value ^ own) & ~(entries - 1) != 0 for value in others)


@claim("RFS-04")
def test_rfs_works_without_an_rps_mask(bound: Bound, evidence: Evidence) -> None:
    """200 strangers and 20 datagrams to a reader, first before it has read any, then after, then with a mask besides.

    A table of 8 entries: about 25 strangers meet the reader's, whose upper bits are not theirs; the hashes of the
    last round, where all are put on backlogs, show them.
    """
    entries, home, masked, count = 8, 3, 0, 20
    one_poller(bound)
    mask_others(bound, 2)
    tables(bound, sockets=entries)
    made = reader(bound, 5330)
    flows = [told(flow) for flow in strangers(bound, 200, protocol="udp", seed=4)]
    assert max(map(len, flows)) < SIZE + UDP_HEADERS
    rounds = (("no entry", flows, ()), ("an entry", flows, ()), ("an entry and a mask", flows, (masked,)))
    for number, (name, others, mask) in enumerate(rounds):
        bound.netif.set_rps(QUEUE, mask)
        ours = made.frames([SIZE] * count) if number else []
        if number:
            warm(made, home)
        with bound.guest.trace.session(CORE, probes=[PUT]) as trace, bound.card.recording("FrameDelivered") as seen:
            deliver(bound, [*others, *ours])
            if ours:
                assert read_on(made, home, count) == summaries(ours)
            calm(bound)
        put = Counter((record["len"] >= SIZE, record["to"]) for record in trace.named(PUT.event))
        worked = Counter((record["len"] >= SIZE, record.cpu) for record in processed(bound, trace))
        queues = Counter(event.queue for event in seen.all())
        met = unlike(trace.named(PUT.event), entries) if mask else 0
        evidence.note(
            what=name,
            guest={"strangers on": {cpu: n for (own, cpu), n in worked.items() if not own},
                   "reader's on": {cpu: n for (own, cpu), n in worked.items() if own}, "strangers at its entry": met},
            device={"queues": dict(queues)},
        )  # fmt: skip
        to_home = {(True, home): count} if ours else {}
        assert put == Counter({**({(False, masked): len(others)} if mask else {}), **to_home})
        assert worked == Counter({(False, masked if mask else CPU): len(others), **to_home})
        assert queues == Counter({QUEUE: len(others) + len(ours)})
        assert bool(mask) == bool(met)
