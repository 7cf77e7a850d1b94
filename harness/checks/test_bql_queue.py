# SPDX-License-Identifier: BSD-3-Clause
"""Byte queue limits and the queue around them: what wakes it, what counts as one completion, what a reset leaves."""

from __future__ import annotations

import base64
import socket
from typing import TYPE_CHECKING

import pytest

from harness.answers_tcp import answer_tcp
from harness.checks.dql_watch import completions, watching
from harness.checks.filling import FIRST, FULL, NEVER_JIFFIES, filling, own_queue, without_ipv6
from harness.checks.mixing import sent_packets, wait_all_idle
from harness.checks.sending import CPU, QUEUE, fetched, tails, udp_socket, undisturbed
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.errors import NotSeen
from harness.lab import PEER_IPV4
from harness.oracles.dql import MAX_LIMIT, Dql
from harness.oracles.transmit import bytecount, segments

if TYPE_CHECKING:
    from harness.checks.filling import Filling
    from harness.evidence import Evidence
    from harness.guest.trace import Session
    from harness.lab import Bound

NET_TX = 2
UDP_SEGMENT = 103
"""Socket option of UDP: the kernel cuts what is sent into datagrams of this size (udp(7))."""

DEFAULTS = {"limit_min": 0, "limit_max": MAX_LIMIT, "hold_time": 1000, "inflight": 0, "stall_thrs": 0}


@claim("BQL-01")
@pytest.mark.one_queue
def test_every_queue_starts_with_default_limits(bound: Bound, evidence: Evidence) -> None:
    """Each queue has sent before its ring is cleaned, so that a limit of 0 is a fresh one and not an unused one."""
    without_ipv6(bound)
    _, count = bound.netif.queue_count
    for queue in range(count):
        bound.netif.set_xps(queue, [queue])
    with bound.card.recording("TxWriteBack") as seen:
        for cpu in range(count):
            handle = udp_socket(bound)
            bound.guest.agent.call("send_numbered", cpus=[cpu], handle=handle, count=3, size=300)
        wait_all_idle(bound)
        reported = sorted({event.queue for event in seen.all("TxWriteBack")})
    learnt = [bound.netif.bql(queue).limit for queue in range(count)]
    bound.netif.ethtool("-r")
    fresh = [bound.netif.bql(queue) for queue in range(count)]
    shown = [{name: getattr(now, name) for name in DEFAULTS} for now in fresh]
    bound.netif.wait_carrier()
    enabled = [queue for queue in range(16) if bound.card.register("TXDCTL", queue) >> 25 & 1]
    evidence.note(
        guest={"limits learnt": learnt, "limits fresh": [now.limit for now in fresh], "files": shown},
        device={"queues enabled": enabled, "queues that reported": reported},
    )
    assert enabled == reported == list(range(count))
    assert all(limit > 0 for limit in learnt)
    assert [now.limit for now in fresh] == [0] * count
    assert shown == [DEFAULTS] * count


def woken(trace: Session, queue: Filling) -> tuple[int, int]:
    """Return how often NET_TX was raised on the queue's CPU since the last call, and how many packets went to it."""
    records = [record for record in trace.read() if record.cpu == queue.sender.cpu]
    raised = sum(record.name == "irq:softirq_raise" and record["vec"] == NET_TX for record in records)
    starts = [record for record in records if record.name == "net:net_dev_start_xmit"]
    return raised, sum(record["queue_mapping"] == queue.queue for record in starts)


@claim("BQL-07")
def test_only_a_large_enough_release_starts_a_stopped_queue(bound: Bound, evidence: Evidence) -> None:
    """A stopped queue is polled ten times for nothing, then given too little by 28 bytes, then enough.

    The first packet is small: to complete it leaves the queue over its limit, so that not every completion wakes.
    """
    with filling(bound) as queue, bound.guest.trace.session("irq:softirq_raise", "net:net_dev_start_xmit") as trace:
        queue.raise_limit(3000)
        queue.send(100, FULL, FULL, FULL, FULL)
        queue.expect()
        story = [(*woken(trace, queue), tails(queue.seen, queue.queue)[-1])]
        for _ in range(10):
            bound.card.fault("spurious_interrupt", vector=queue.vector)
        bound.peer.expect_silence(1.0, queue.sender.is_mine)
        queue.expect("while completions are withheld")
        story.append((*woken(trace, queue), tails(queue.seen, queue.queue)[-1]))
        for _ in range(2):
            queue.release(1)
            queue.expect()
            story.append((*woken(trace, queue), tails(queue.seen, queue.queue)[-1]))
        predicted = len(queue.twin.flying)
        evidence.note(
            guest=[{"NET_TX raised": raised, "packets sent": sent} for raised, sent, _ in story],
            device=[{"tail": tail} for *_, tail in story],
        )
    (_, filled, stopped), silent, too_little, (raised, resumed, tail) = story
    assert filled == 4, "one to raise the limit and three to fill the queue"
    assert silent == too_little == (0, 0, stopped)
    assert (raised > 0, resumed, tail) == (True, 1, stopped + 1)
    assert predicted == 2


@claim("BQL-13")
def test_one_poll_is_one_completion_of_the_sum(bound: Bound, evidence: Evidence) -> None:
    """The same eight packets, behind one message or behind eight, must end in two different limits."""
    ends = {}
    for way in ((8,), (1,) * 8):
        with filling(bound) as queue, watching(bound) as trace:
            queue.raise_limit(7 * FULL)
            queue.send(*[FULL] * 8)
            queue.expect()
            trace.read()
            trace.records.clear()
            sent = queue.messages()
            for count in way:
                queue.release(count)
            limit = queue.expect().limit
            sent = queue.messages() - sent
            predicted = queue.twin.dql.limit
            trace.read()
            counts = [each.count for each in completions(bound, trace) if each.cpu == queue.sender.cpu]
        ends[len(way)] = limit
        evidence.note(guest={"completions": counts, "limit": limit}, device={"messages": sent})
        assert counts == [count * FULL for count in way]
        assert (sent, limit) == (len(way), predicted)
    assert ends[1] != ends[8]


@claim("BQL-14")
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_segmented_skb_counts_its_headers_once_for_each_frame(bound: Bound, evidence: Evidence, kind: str) -> None:
    """Ten segments, in two skbs of TCP (half a congestion window each) or one of UDP, their completion withheld.

    Bytes in flight, the formula over what the trace says of each skb, and the frames on the wire agree to the byte.
    """
    headers, size, whole = (54, 10 * 1460, 10 * FULL) if kind == "tcp" else (42, 10 * 1472, 10 * FULL)
    undisturbed(bound)
    bound.netif.use_pfifo()
    own_queue(bound)
    agent = bound.guest.agent
    bound.netif.set_bql(QUEUE, limit_min=1_000_000)
    if kind == "tcp":
        bound.guest.proc.set_sysctl("net.ipv4.tcp_min_tso_segs", 10)
        handle = agent.call("open_socket", kind="tcp")
        abort = base64.b64encode(bytes((1, 0, 0, 0, 0, 0, 0, 0))).decode()
        agent.call("setsockopt", handle=handle, level=socket.SOL_SOCKET, option=socket.SO_LINGER, value=abort)
        with bound.peer.answering(answer_tcp):
            agent.call("connect", cpus=[CPU], handle=handle, address=[PEER_IPV4, 5001])
    else:
        handle = udp_socket(bound)
        agent.call("setsockopt", handle=handle, level=socket.IPPROTO_UDP, option=UDP_SEGMENT, value=1472)
        agent.call("send", cpus=[CPU], handle=handle, payloads=[base64.b64encode(bytes(10)).decode()])
    wait_until(lambda: bound.netif.bql(QUEUE).limit >= 1_000_000, Deadline.after(5), "the limit being lifted", NotSeen)
    wait_all_idle(bound)
    bound.card.withhold_completions(QUEUE)
    with (
        bound.card.recording("TxDescriptor", "FrameEmitted") as seen,
        bound.guest.trace.session("net:net_dev_start_xmit") as trace,
    ):
        data = bytes(range(256)) * 58
        agent.call("send", cpus=[CPU], handle=handle, payloads=[base64.b64encode(data[:size]).decode()])

        def look() -> tuple[list[tuple[int, int]], int, list[int]] | None:
            trace.read()
            skbs = [
                (record["len"], record["gso_size"])
                for record in trace.named("net:net_dev_start_xmit")
                if record["queue_mapping"] == QUEUE
            ]
            inflight = bound.netif.bql(QUEUE).inflight
            frames = [len(e.frame) for e in seen.all("FrameEmitted", lambda e: e.queue == QUEUE)]
            return (skbs, inflight, frames) if inflight == sum(frames) == whole else None

        skbs, inflight, frames = wait_until(look, Deadline.after(10), "in flight equalling the frames sent", NotSeen)
        described = [packet.bytes for packet in sent_packets(fetched(seen, QUEUE))]
    expected = [
        bytecount(length, headers, segments(length - headers, cut)) if cut else bytecount(length)
        for length, cut in skbs
    ]
    evidence.note(
        guest={"skbs (length, gso_size)": skbs, "in flight": inflight},
        device={"bytes by descriptors": described, "frames": frames},
    )
    assert expected == described
    assert inflight == sum(expected) == sum(frames)
    many = 2 if kind == "tcp" else 1
    assert (skbs, frames) == ([(headers + size // many, FULL - headers)] * many, [FULL] * 10)


def clean_ring(bound: Bound, how: str) -> None:
    """Let the driver clean its rings, and wait until the qdiscs are in force again."""
    if how == "down and up":
        bound.netif.down()
        bound.netif.up()
        bound.netif.add_neighbour(PEER_IPV4, "52:54:00:70:65:65")
    elif how == "-G":
        bound.netif.settings.set_rings(tx=512)
    else:
        bound.netif.ethtool("-r")
    bound.netif.wait_carrier()
    bound.netif.details()


@claim("BQL-15")
@pytest.mark.parametrize("how", ["-r", "-G", "down and up"])
def test_cleaned_ring_forgets_its_limits_but_not_the_old_stop(bound: Bound, evidence: Evidence, how: str) -> None:
    """Four full frames are in flight when the ring goes. The old stop, 9144, then lets six pass, not the 8th.

    It counts from the cleaning before, so the check begins with one. A reset that cleared it would stop at the first.
    """
    without_ipv6(bound)
    with filling(bound) as queue:
        clean_ring(bound, "-r")
        queue.start_over()
        queue.twin.dql = Dql(*(FIRST,) * 2, num_completed=FIRST, prev_num_queued=FIRST, slack_hold_time=NEVER_JIFFIES)
        queue.send(*[FULL] * 7)
        for count in (1, 2):
            queue.release(count)
        old = queue.expect()
        clean_ring(bound, how)
        queue.cleaned()
        new = queue.expect()
        queue.send(*[FULL] * 12)
        filled = queue.expect()
        accepted = len(queue.handed_over())
        evidence.note(
            guest={"before": [old.limit, old.inflight], "after": [new.limit, new.inflight], "filled": filled.inflight},
            device={"packets before silence": accepted},
        )
    assert (old.limit, old.inflight) == (3 * FULL, 4 * FULL)
    assert (new.limit, new.inflight) == (0, 0)
    assert (accepted, filled.inflight) == (7, 7 * FULL)
