# SPDX-License-Identifier: BSD-3-Clause
"""RPS: the backlog of another CPU: who wakes it, how much it holds, and how much of it one poll does."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from harness.checks.arrivals import deliver, strangers, told
from harness.checks.bursts import burst, calm, messages, receive_vector, unanswered
from harness.checks.polls import BUDGET, POLL, polls
from harness.checks.steering import CORE, CPU, PUT, QUEUE, WOKEN, lengths, one_poller, processed
from harness.claims import claim
from harness.oracles.steering import FlowLimit
from harness.traffic import frame, numbered

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.guest.proc import Softnet
    from harness.lab import Bound

TARGET = 3
FREED = "skb:kfree_skb"
KINDS = ("InterruptSent", "RegisterWritten", "RxWriteBack", "FrameDelivered")


def growth(bound: Bound, before: tuple[Softnet, ...]) -> tuple[Softnet, ...]:
    """Return what softnet_stat has counted since ``before``."""
    return tuple(now - then for now, then in zip(bound.guest.proc.softnet(), before, strict=True))


@claim("RPS-05")
@pytest.mark.parametrize("target", [TARGET, CPU])
def test_idle_backlog_is_woken_by_one_interrupt_between_processors(
    bound: Bound, evidence: Evidence, target: int
) -> None:
    """20 frames one by one, each after the backlog has come to rest; the own CPU needs no interrupt, but a backlog."""
    one_poller(bound)
    bound.netif.set_rps(QUEUE, [target])
    frames = unanswered(bound, 20)
    before = bound.guest.proc.softnet()
    with bound.guest.trace.session(CORE, probes=[PUT, WOKEN]) as trace, bound.card.recording(*KINDS) as seen:
        for number, one in enumerate(frames, 1):
            bound.peer.send(one)
            trace.read_until(lambda n=number: len(processed(bound, trace)) >= n, f"frame {number} being processed")  # type: ignore[misc]
            calm(bound)
    put = Counter((record.cpu, record["to"]) for record in trace.named(PUT.event))
    woken = Counter(record.cpu for record in trace.named(WOKEN.event))
    worked = Counter(record.cpu for record in processed(bound, trace))
    received = {line.cpu: line.received_rps for line in growth(bound, before) if line.received_rps}
    announced = len(messages(seen, receive_vector(bound, QUEUE)))
    delivered = Counter(event.queue for event in seen.all("FrameDelivered"))
    evidence.note(
        guest={"put": {f"{here} to {there}": n for (here, there), n in put.items()}, "woken": dict(woken)},
        device={"queues": dict(delivered), "messages": announced},
    )
    wakes = {} if target == CPU else {target: len(frames)}
    assert put == Counter({(CPU, target): len(frames)})
    assert woken == Counter(wakes)
    assert received == wakes
    assert worked == Counter({target: len(frames)})
    assert (delivered, announced) == (Counter({QUEUE: len(frames)}), len(frames))


def drop_reason(bound: Bound, name: str) -> int:
    """Return the number that the event for freed skbs gives a reason."""
    text = bound.guest.agent.read("/sys/kernel/tracing/events/skb/kfree_skb/format")
    found = re.search(rf"\{{\s*(\d+)\s*,\s*\"{name}\"\s*\}}", text)
    assert found is not None
    return int(found[1])


@claim("RPS-06")
@pytest.mark.parametrize("limit", [10, 1000])
def test_full_backlog_drops_and_counts(bound: Bound, evidence: Evidence, limit: int) -> None:
    """50 frames behind one message: the other CPU is woken after the poll only (net_rps_send_ipi).

    So a backlog that may exceed 10 takes 11 of them, and 39 are dropped; one of 1000 takes them all.
    """
    frames, taken = unanswered(bound, 50), min(50, limit + 1)
    one_poller(bound)
    bound.netif.set_rps(QUEUE, [TARGET])
    bound.guest.proc.set_sysctl("net.core.netdev_max_backlog", limit)
    reason = drop_reason(bound, "CPU_BACKLOG")
    before = bound.guest.proc.softnet()
    with (
        bound.guest.trace.session(CORE, FREED, probes=[PUT], filters={FREED: f"reason == {reason}"}) as trace,
        bound.card.recording(*KINDS) as seen,
    ):
        burst(bound, seen, QUEUE, frames)
        calm(bound)
    dropped = {line.cpu: line.dropped for line in growth(bound, before) if line.dropped}
    freed, worked = len(trace.named(FREED)), lengths(processed(bound, trace))
    delivered = [event.length for event in seen.all("FrameDelivered")]
    evidence.note(
        what=f"netdev_max_backlog {limit}",
        guest={"dropped": dropped, "freed as CPU_BACKLOG": freed, "processed": len(worked)},
        device={"delivered": len(delivered), "messages": len(messages(seen, receive_vector(bound, QUEUE)))},
    )
    assert dropped == ({TARGET: len(frames) - taken} if taken < len(frames) else {})
    assert freed == len(frames) - taken
    assert len(worked) == taken
    assert len(trace.named(PUT.event)) == len(delivered) == len(frames)
    assert len(messages(seen, receive_vector(bound, QUEUE))) == 1


BURSTS, BURST, LIGHT, LIMIT = 6, 60, 10, 70
"""A burst fits one poll: after each poll the other CPU is woken, and would work the backlog off meanwhile."""


@claim("RPS-07")
def test_flow_limit_drops_from_the_heavy_flow(bound: Bound, evidence: Evidence) -> None:
    """Six bursts of 60 frames: three of four belong to one flow, the others to ten light flows in turns.

    A backlog of 70 is half full after 35 frames, so that 25 of each burst count; the table remembers them from burst
    to burst. The oracle is given the hashes in the order of the trace. With no CPU in the bitmap nothing is dropped.
    """
    one_poller(bound)
    bound.netif.set_rps(QUEUE, [TARGET])
    bound.guest.proc.set_sysctl("net.core.netdev_max_backlog", LIMIT)
    heavy, *light = [told(flow) for flow in strangers(bound, 1 + LIGHT, protocol="udp", seed=7)]
    frames = [heavy if at % 4 else light[at // 4 % LIGHT] for at in range(BURSTS * BURST)]
    sent = Counter(len(one) for one in frames)
    for limited in (False, True):
        bound.guest.proc.set_sysctl("net.core.flow_limit_cpu_bitmap", f"{(1 << CPU) * limited:x}")
        before = bound.guest.proc.softnet()
        oracle, expected, put = FlowLimit(LIMIT), Counter[int](), Counter[int]()
        with bound.guest.trace.session(CORE, probes=[PUT]) as trace, bound.card.recording(*KINDS) as seen:
            for start in range(0, len(frames), BURST):
                burst(bound, seen, QUEUE, frames[start : start + BURST])
                calm(bound)
                fresh = [record for record in trace.read() if record.name == PUT.event]
                gone = oracle.dropped([record["hash"] for record in fresh])
                put.update(lengths(fresh))
                kept = zip(lengths(fresh), gone, strict=True)
                expected.update(length for length, over in kept if not (limited and over))
        worked = Counter(lengths(processed(bound, trace)))
        counted = {line.cpu: line.flow_limit_count for line in growth(bound, before) if line.flow_limit_count}
        delivered = Counter(event.length for event in seen.all("FrameDelivered"))
        lost, of_heavy = sent - worked, len(heavy)
        evidence.note(
            what="with the flow limit" if limited else "without",
            guest={"lost": lost.total(), "of the heavy flow": lost[of_heavy], "flow_limit_count": counted},
            device={"heavy": delivered[of_heavy], "light": delivered.total() - delivered[of_heavy]},
        )
        assert set(lost) == ({of_heavy} if limited else set())
        assert worked == expected
        assert delivered == put == sent
        assert counted == ({CPU: lost.total()} if limited else {})


@claim("RPS-08")
def test_dev_weight_limits_the_backlogs_poll(bound: Bound, evidence: Evidence) -> None:
    """60 frames behind one message, in one poll of the interface, with a weight of 16 and with the default of 64.

    A poll obeys the weight that the one before has read (process_backlog), so one frame goes ahead.
    """
    one_poller(bound)
    bound.netif.set_rps(QUEUE, [TARGET])
    [flow] = strangers(bound, 1, protocol="udp", seed=8)
    frames = [frame(flow, numbered(flow.number, n, 32 + n)) for n in range(BURST)]
    default = int(bound.guest.proc.sysctl("net.core.dev_weight"))
    assert default == BUDGET
    for weight in (16, default):
        bound.guest.proc.set_sysctl("net.core.dev_weight", weight)
        deliver(bound, frames[:1])
        calm(bound)
        with bound.guest.trace.session(POLL, CORE, probes=[PUT]) as trace, bound.card.recording(*KINDS) as seen:
            burst(bound, seen, QUEUE, frames)
            calm(bound)
        backlog = [r for r in trace.named(POLL) if r["dev_name"] == "(no_device)" and r.cpu == TARGET]
        works = [(record["work"], record["budget"]) for record in backlog]
        own = [(record["work"], record["budget"]) for record in polls(bound, trace.records)]
        delivered = [event.length for event in seen.all("FrameDelivered")]
        evidence.note(
            what=f"dev_weight {weight}",
            guest={"backlog": works, bound.netif.name: own},
            device={"delivered": len(delivered), "messages": len(messages(seen, receive_vector(bound, QUEUE)))},
        )
        whole, rest = divmod(len(frames), weight)
        assert works == [(weight, weight)] * whole + [(rest, weight)] * bool(rest)
        assert own == [(len(frames), BUDGET)]
        assert delivered == lengths(processed(bound, trace)) == [len(one) for one in frames]
        assert len(messages(seen, receive_vector(bound, QUEUE))) == 1
