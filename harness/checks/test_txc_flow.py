# SPDX-License-Identifier: BSD-3-Clause
"""What completions are good for: everybody counts the same, and a stopped queue goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.checks.links import fresh_link
from harness.checks.sending import (
    CPU,
    QUEUE,
    SOL_UDP,
    UDP_SEGMENT,
    b64,
    pinned_sender,
    steps,
    tails,
    udp_socket,
    undisturbed,
    wait_idle,
    wait_tail,
    without_bql,
)
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.errors import NotSeen
from harness.guest.probes import POLL, POLL_RETURN
from harness.oracles import transmit

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

UDP_HEADERS = 42
NET_TX = 2
RING = 256


@claim("TXC-06")
def test_driver_bql_and_card_count_the_same(bound: Bound, evidence: Evidence) -> None:
    """Frames that are padded (22 bytes), that are not, datagrams, and large sends cut in three, the last one byte.

    Each kind counts differently somewhere: padding only on the wire, segments and repeated headers only where skbs are
    counted in frames, and 4 bytes of frame check sequence only in GOTC.
    """
    fresh_link(bound)
    agent, sender = bound.guest.agent, pinned_sender(bound)
    plain, sizes, large, segment = 40, (22, 61, 1514), 5, 1000
    packets = plain * (len(sizes) + 1) + large * 3
    queue = (f"tx_queue_{QUEUE}_packets", f"tx_queue_{QUEUE}_bytes")
    dql = bound.guest.dql_probes()
    wait_idle(bound, QUEUE)
    before = bound.netif.statistics()
    with (
        bound.guest.trace.session(probes=(dql.entry,)) as trace,
        bound.card.recording("FrameEmitted") as seen,
    ):
        for size in sizes:
            sender.send(plain, size)
        handle = udp_socket(bound)
        agent.call("send", cpus=[CPU], handle=handle, payloads=[b64(bytes(333))] * plain)
        agent.call("setsockopt", handle=handle, level=SOL_UDP, option=UDP_SEGMENT, value=segment)
        agent.call("send", cpus=[CPU], handle=handle, payloads=[b64(bytes(2 * segment + 1))] * large)
        wait_idle(bound, QUEUE)
        bound.netif.wait_statistic(queue[0], before[queue[0]] + packets)  # igb counts them after BQL does
        after = bound.netif.statistics()
        emitted = seen.all()
    grown = {name: after[name] - before[name] for name in after}
    octets = plain * (sum(sizes) + 333 + UDP_HEADERS)
    octets += large * transmit.bytecount(UDP_HEADERS + 2 * segment + 1, UDP_HEADERS, 3)
    wire = [len(event.frame) for event in emitted]
    completed = sum(record["count"] for record in trace.records)
    everywhere = sum(value for name, value in grown.items() if name.startswith("tx_queue_") and name.endswith("_bytes"))
    evidence.note(
        guest={"queue": [grown[name] for name in queue], "BQL completed": completed},
        device={
            "frames": len(wire), "octets with FCS": transmit.octets_on_wire(wire),
            "GPTC": grown["tx_packets"], "GOTC": grown["tx_bytes"],
        },
    )  # fmt: skip
    assert [grown[name] for name in queue] == [packets, octets]
    assert completed == everywhere
    mine = [len(event.frame) for event in emitted if event.queue == QUEUE]
    assert len(mine) == packets
    padding = plain * (transmit.SHORTEST_FRAME - 22) + large * (transmit.SHORTEST_FRAME - UDP_HEADERS - 1)
    assert sum(mine) == octets + padding
    assert (grown["tx_packets"], grown["tx_bytes"]) == (len(wire), transmit.octets_on_wire(wire))


@claim("TXC-07")
@pytest.mark.parametrize("stopped_by", ["ring", "bql"])
def test_completion_restarts_a_stopped_queue(bound: Bound, evidence: Evidence, stopped_by: str) -> None:
    """Once the ring stops the queue (235 packets, no byte limit), once BQL does (a limit of 3000).

    Nothing more may be handed over until completions come; then NET_TX is raised from within igb_poll, and all frames
    leave in order.
    """
    count, size = 300, 1000
    bound.netif.use_pfifo()
    sender = pinned_sender(bound)
    undisturbed(bound)
    if stopped_by == "ring":
        without_bql(bound)
    else:
        bound.netif.set_bql(QUEUE, limit_max=3000)
        sender.send(1, 60)
        bound.peer.expect(1, sender.is_mine)
        wait_idle(bound, QUEUE)
    limit = bound.netif.bql(QUEUE).limit
    accepted = transmit.accepted_until_stop(RING) if stopped_by == "ring" else limit // size + 1
    start = bound.card.register("TDT", QUEUE)
    bound.card.withhold_completions(QUEUE)
    with (
        bound.guest.trace.session("irq:softirq_raise", probes=(POLL, POLL_RETURN)) as trace,
        bound.card.recording("RegisterWritten", "TxWriteBack") as seen,
    ):
        sender.send(count, size)
        wait_tail(bound, QUEUE, (start + accepted) % RING)
        waiting = bound.netif.qdisc_backlog()
        before = list(steps(start, tails(seen, QUEUE), RING))
        trace.read()
        trace.records.clear()
        bound.card.release_completions(QUEUE)
        frames = bound.peer.expect(count, sender.is_mine)
        wait_idle(bound, QUEUE)
        wait_until(lambda: not bound.netif.qdisc_backlog(), Deadline.after(5), "the backlog being empty", NotSeen)
        events = [e for e in seen.all() if e.kind == "TxWriteBack" or e.register == f"TDT[{QUEUE}]"]
    polling: set[int] = set()
    raised = 0
    for record in trace.records:
        if record.name == POLL.event:
            polling.add(record.cpu)
        elif record.name == POLL_RETURN.event:
            polling.discard(record.cpu)
        elif record["vec"] == NET_TX and record.cpu in polling:
            raised += 1
    kinds = [event.kind for event in events]
    first = kinds.index("TxWriteBack")
    evidence.note(
        guest={"waiting while stopped": waiting, "limit": limit, "NET_TX raised in igb_poll": raised},
        device={"descriptors until the stop": sum(before), "tail writes before the first DD": first},
    )
    assert (sum(before), waiting) == (accepted, count - accepted)
    assert first == len(before)
    assert raised >= 1
    assert frames == sender.frames(count, size)
