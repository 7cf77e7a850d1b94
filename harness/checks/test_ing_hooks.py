# SPDX-License-Identifier: BSD-3-Clause
"""Ingress: where programs and rules get hold of a frame: XDP in the driver, tc before IP, netfilter in IP."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.checks.arrivals import ENTRY, deliver
from harness.checks.bursts import PATIENCE_S, burst, calm, place, quiet, receive_vector, steer_to, unanswered
from harness.checks.drops import FREED, drop_reason, freed_for
from harness.checks.ingress_filter import dropped_by_filter, dropping
from harness.checks.sinks import got, sink, summaries
from harness.claims import claim
from harness.guest.probes import HOOK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.evidence import Evidence
    from harness.lab import Bound

QUEUE, CPU, OTHER_CPU, READER_CPU = 2, 1, 2, 3
COUNT = 30
IP = "ip_rcv_core"
POLL = "napi:napi_poll"
PREROUTING, INPUT, IPV4 = 0, 1, 2
"""enum nf_inet_hooks and NFPROTO_IPV4 of include/uapi/linux/netfilter.h."""

RULES = """
add table ip hilnic
add chain ip hilnic early { type filter hook prerouting priority 0; }
add chain ip hilnic local { type filter hook input priority 0; }
add rule ip hilnic early counter
add rule ip hilnic local counter
"""
XDP_DROP = 1


@claim("ING-12")
def test_tc_ingress_drops_before_ip(bound: Bound, evidence: Evidence) -> None:
    """30 datagrams for a socket while a filter drops everything; then 30 more without the filter."""
    quiet(bound)
    reason = drop_reason(bound, "TC_INGRESS")
    target = sink(bound)
    sent = target.frames([100 + n for n in range(2 * COUNT)])
    receiving = target.start(COUNT, 2 * PATIENCE_S)
    with bound.guest.trace.session(FREED, functions=[IP]) as trace, bound.card.recording("FrameDelivered") as seen:
        with dropping(bound):
            deliver(bound, sent[:COUNT])
            calm(bound)
            counted = dropped_by_filter(bound)
            dropped = trace.read()
        deliver(bound, sent[COUNT:])
        calm(bound)
        passed = trace.read()
    received = got(receiving.result(2 * PATIENCE_S + 5))
    rounds = {"filter": dropped, "no filter": passed}
    freed = {name: len(freed_for(records, reason)) for name, records in rounds.items()}
    reached = {name: len([r for r in records if r.fields.get("function") == IP]) for name, records in rounds.items()}
    delivered = len(seen.all("FrameDelivered"))
    evidence.note(guest={"freed": freed, "counted": counted, "reached IP": reached}, device={"frames": delivered})
    assert freed == {"filter": COUNT, "no filter": 0}
    assert counted == COUNT
    assert reached == {"filter": 0, "no filter": COUNT}
    assert received == summaries(sent[COUNT:])
    assert delivered == 2 * COUNT


@contextmanager
def hooked(bound: Bound) -> Iterator[None]:
    """Let netfilter look at what comes in."""
    done = bound.guest.agent.call("run", argv=["nft", "-f", "-"], seconds=20.0, stdin=RULES)
    assert done["rc"] == 0, done["err"]
    try:
        yield
    finally:
        bound.netif.tool("nft", "delete", "table", "ip", "hilnic")


@claim("ING-18")
def test_netfilter_runs_in_the_receive_softirq(bound: Bound, evidence: Evidence) -> None:
    """30 datagrams for a process on another CPU; then with threaded NAPI, which takes the hooks to its thread.

    The queue beside has its interrupt on a third CPU, so that the hooks' CPU tells the queue.
    """
    steer_to(bound, QUEUE)
    quiet(bound)
    for queue, cpu in ((QUEUE, CPU), (QUEUE + 1, OTHER_CPU)):
        place(bound, f"{bound.netif.name}-rx-{queue}", receive_vector(bound, queue), cpu)
    target = sink(bound)
    agent = bound.guest.agent
    with hooked(bound):
        for threaded in (False, True):
            if threaded:
                bound.netif.set_file("threaded", 1)
            sent = target.frames([100 + n for n in range(COUNT)], first=COUNT * threaded)
            how = {"handle": target.handle, "count": COUNT, "seconds": PATIENCE_S}
            receiving = agent.start("receive", cpus=[READER_CPU], **how)
            with (
                bound.guest.trace.session(probes=[HOOK]) as trace,
                bound.card.recording("FrameDelivered") as seen,
            ):
                deliver(bound, sent)
                answer = receiving.result(PATIENCE_S + 5)
                calm(bound)
            threads = bound.netif.tool("pgrep", "^napi/", check=False).out.split()
            calls = [
                record for record in trace.records if record["pf"] == IPV4 and record["hook"] in (PREROUTING, INPUT)
            ]
            hooks = sorted(record["hook"] for record in calls)
            contexts = {(record.in_softirq, str(record.pid) in threads) for record in calls}
            cpus = {record.cpu for record in calls}
            queues = [event.queue for event in seen.all("FrameDelivered")]
            evidence.note(
                what="threaded NAPI" if threaded else "softirq",
                guest={"hooks": hooks, "softirq, NAPI's thread": sorted(contexts), "cpus": sorted(cpus)},
                device={"queues": queues},
            )
            assert hooks == [PREROUTING] * COUNT + [INPUT] * COUNT
            assert contexts == {(not threaded, threaded)}
            assert threaded or cpus == {CPU}
            assert got(answer) == summaries(sent)
            assert queues == [QUEUE] * COUNT


@contextmanager
def xdp(bound: Bound, verdict: int) -> Iterator[None]:
    """Let the driver ask a program about every frame; igb starts its rings anew for that, before and after."""
    link = bound.guest.agent.call("attach_xdp", interface=bound.netif.name, verdict=verdict)
    try:
        bound.netif.wait_carrier()
        yield
    finally:
        bound.guest.agent.call("detach_xdp", link=link)
        bound.netif.wait_carrier()


@claim("ING-21")
def test_xdp_drop_counts_as_work_and_ends_before_gro(bound: Bound, evidence: Evidence) -> None:
    """40 frames behind one message while a program drops all; then 40 without it."""
    steer_to(bound, QUEUE)
    quiet(bound)
    found = {}
    with xdp(bound, XDP_DROP):
        found["dropping"] = polled(bound, 40)
    found["detached"] = polled(bound, 40)
    for name, (work, skbs, counted, written) in found.items():
        evidence.note(what=name, guest={"work": work, "skbs": skbs, "rx_queue_packets": counted}, device=written)
        assert skbs == (0 if name == "dropping" else 40)
        assert work == [40]
        assert (counted, written) == (40, 40)


def polled(bound: Bound, count: int) -> tuple[list[int], int, int, int]:
    """Let ``count`` frames be polled; return the work, the skbs for GRO, the driver's count and the write-backs."""
    calm(bound)
    before = bound.netif.queue_packets()
    with (
        bound.guest.trace.session(POLL, ENTRY) as trace,
        bound.card.recording("RegisterWritten", "RxWriteBack") as seen,
    ):
        burst(bound, seen, QUEUE, unanswered(bound, count))
        calm(bound)
    growth = bound.netif.queue_packets() - before
    work = [r["work"] for r in trace.records if r.name == POLL and r["dev_name"] == bound.netif.name and r["work"]]
    skbs = sum(record.name == ENTRY for record in trace.records)
    return work, skbs, growth[QUEUE], len(seen.all("RxWriteBack"))
