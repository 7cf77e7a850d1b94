# SPDX-License-Identifier: BSD-3-Clause
"""Interrupts add up, everything comes to rest, and the kernel has nothing to complain of."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from harness.checks.arrivals import strangers
from harness.checks.bursts import armings, arms, calm, has_ticks, quiet
from harness.checks.filling import own_queue, without_ipv6
from harness.checks.links import replug
from harness.checks.mixing import connect_mix, cpu_owns_queue, wait_all_idle
from harness.checks.sending import CPU, QUEUE, pinned_sender
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.errors import NotSeen
from harness.guest.probes import COMPLETE, COMPLETE_RETURN
from harness.traffic import numbered_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.checks.mixing import Mix
    from harness.evidence import Evidence
    from harness.guest.trace import Session
    from harness.lab import Bound
    from harness.seen import Recording

POLLED = "napi:napi_poll"
VECTORS = 9
RECORDED = ("InterruptSent", "InterruptWithheld", "RegisterWritten", "CauseRaised")
FRAMES = 300
WINDOW_S = 0.4
COMPLAINT = re.compile(
    r"WARNING|BUG|Oops|Call Trace|hung|hang|blocked for more|nobody cared|Disabling IRQ|exceeding its budget"
    r"|bad offload|bad gso|csum failure|NETDEV WATCHDOG|[Tt]imed out|Reset adapter|PCIe|malformed|tainted|error|fail",
)
PLANTED = "hilnic: bad offload, planted by a check to see that it is found"


def both_ways(bound: Bound) -> Mix:
    """Exchange TCP, datagrams and frames to nobody, about a thousand frames each way; return the sockets."""
    mix = connect_mix(bound)
    frames = [next(numbered_frames(flow, 1)) for flow in strangers(bound, FRAMES, protocol="udp")]
    for start in range(0, FRAMES, 100):
        bound.peer.send(*frames[start : start + 100])
        mix.round(stream=50_000, datagrams=15)
    return mix


def handlers(bound: Bound) -> dict[int, str]:
    """Return the name of each vector's handler: 0 is for other causes, then receive queues, then transmit queues."""
    name = bound.netif.name
    queues = [f"{name}-{direction}-{queue}" for direction in ("rx", "tx") for queue in range(4)]
    return dict(enumerate([name, *queues]))


@contextmanager
def between_still_moments(bound: Bound) -> Iterator[Recording]:
    """Record from one moment at which no message can be sent and no poll is under way to another.

    The block begins with every vector held, and releases them (``release``) when it has taken note.
    """

    def hold() -> None:
        for vector in range(VECTORS):
            bound.card.hold_interrupts(vector)

        def armed() -> bool:
            now = bound.card.registers("EIMS", "EIAC")
            return now["EIMS"] & now["EIAC"] == now["EIAC"] != 0

        wait_until(armed, Deadline.after(10), "every vector being armed", NotSeen)
        for cpu in range(bound.guest.cpus):
            bound.guest.agent.call("clock", cpus=[cpu])

    hold()
    with bound.card.recording("InterruptSent", "RegisterWritten") as seen:
        yield seen
        hold()


def release(bound: Bound) -> None:
    """Let every vector send its messages again."""
    for vector in range(VECTORS):
        bound.card.release_interrupts(vector)


def completed(bound: Bound, trace: Session) -> int:
    """Return how many polls of the interface completed with true."""
    mine = {record["napi"] for record in trace.named(POLLED) if record["dev_name"] == bound.netif.name}
    completing: dict[int, int] = {}
    count = 0
    for record in trace.named(COMPLETE.event, COMPLETE_RETURN.event):
        if record.name == COMPLETE.event:
            completing[record.cpu] = record["napi"]
        elif completing.pop(record.cpu) in mine:
            count += record["ret"]
    return count


@claim("ROB-03")
@pytest.mark.four_queues
def test_every_message_and_every_completed_poll_is_accounted_for(bound: Bound, evidence: Evidence) -> None:
    """About two thousand frames on all eight queues, between two moments at which all vectors are held.

    Each vector's messages are its line's growth in /proc/interrupts, and each true napi_complete_done one EIMS write.
    """
    names = handlers(bound)
    probes = (COMPLETE, COMPLETE_RETURN)
    with cpu_owns_queue(bound), bound.guest.trace.session(POLLED, probes=probes) as trace:
        trace.stop()
        with between_still_moments(bound) as seen:
            before = bound.netif.irqs()
            trace.resume()
            release(bound)
            both_ways(bound)
            wait_all_idle(bound)
        after = bound.netif.irqs()
    grown = {vector: after[name].total - before[name].total for vector, name in names.items()}
    sent = Counter(event.vector for event in seen.all("InterruptSent"))
    messages = {vector: sent[vector] for vector in names}
    enabled = seen.all("RegisterWritten", lambda event: event.register == "EIMS")
    finished = completed(bound, trace)
    evidence.note(
        guest={"/proc/interrupts": grown, "completed polls": finished},
        device={"messages": messages, "EIMS writes": len(enabled)},
    )
    assert grown == messages
    assert finished == len(enabled) > 100
    assert all(messages[vector] for vector in range(1, VECTORS))


@claim("ROB-04")
def test_everything_comes_to_rest(bound: Bound, evidence: Evidence) -> None:
    """After traffic both ways, the watchdog's ticks switched off: then not one poll may run any more."""
    quiet(bound)
    agent = bound.guest.agent
    with cpu_owns_queue(bound):
        mix = both_ways(bound)
        wait_all_idle(bound)

        def sent() -> bool:
            return not any(agent.call("queued", handle=each)["out"] for each in (*mix.tcp, *mix.udp))

        wait_until(sent, Deadline.after(10), "SIOCOUTQ of every socket being 0", NotSeen)
        calm(bound)
        with bound.guest.trace.session(POLLED) as trace, bound.card.recording("InterruptSent", "DmaWrite") as seen:
            bound.peer.expect_silence(WINDOW_S)
        restless = [record for record in trace.named(POLLED) if record["dev_name"] == bound.netif.name]
        registers = bound.card.registers("EIMS", "EIAC", "EICR")
        receive = [bound.card.ring("rx", queue) for queue in range(4)]
        transmit = [bound.card.ring("tx", queue) for queue in range(4)]
        inflight = [bound.netif.bql(queue).inflight for queue in range(4)]
        backlog = bound.netif.qdisc_backlog()
    posted = [(ring["tail"] - ring["head"]) % ring["count"] for ring in receive]
    evidence.note(
        guest={"in flight": inflight, "backlog": backlog, "polls": len(restless), "sockets": len(mix.tcp) * 2},
        device={
            **registers,
            "posted": posted,
            "tx head and tail": [(ring["head"], ring["tail"]) for ring in transmit],
            "events": len(seen.all()),
        },
    )
    assert (inflight, backlog, len(restless)) == ([0] * 4, 0, 0)
    assert registers["EIMS"] & registers["EIAC"] == registers["EIAC"] == (1 << VECTORS) - 1
    assert all(ring["head"] == ring["tail"] for ring in transmit)
    assert any(ring["tail"] for ring in transmit)
    assert posted == [ring["count"] - 1 for ring in receive]
    assert seen.all() == []


def complaints(bound: Bound, since: int) -> list[str]:
    """Return the lines of the kernel log after ``since`` that nobody wants to read."""
    return [record.text for record in bound.guest.proc.log(since) if COMPLAINT.search(record.text)]


def poll_everywhere(bound: Bound, seen: Recording) -> None:
    """Wait for a tick of the watchdog, or poll every vector where the driver has no ticks."""
    if has_ticks(bound):
        ticks = len(seen.all("CauseRaised", lambda event: event.cause == "software"))
        seen.wait(ticks + VECTORS, Deadline.after(10), kind="CauseRaised", where=lambda e: e.cause == "software")
        return
    for vector in range(1, VECTORS):
        armed = len(armings(seen, vector))
        bound.card.fault("spurious_interrupt", vector=vector)
        seen.wait(armed + 1, kind="RegisterWritten", where=partial(arms, vector=vector))


@claim("ROB-05")
def test_kernel_has_nothing_to_complain_of(bound: Bound, evidence: Evidence) -> None:
    """Traffic both ways, spurious, repeated and lost messages, a late completion, a link flap; then a planted line.

    The planted line must be found, and nothing else; a completion that never comes shows within two watchdog ticks.
    """
    since = bound.guest.proc.log()[-1].sequence
    tainted = bound.guest.proc.tainted()
    without_ipv6(bound)
    faults = ("spurious_interrupt", "duplicate_interrupts", "drop_interrupts", "withhold_completions", "link")
    with cpu_owns_queue(bound), bound.card.recording(*RECORDED) as seen:
        vector = own_queue(bound)
        both_ways(bound)
        for name in faults[:3]:
            bound.card.fault(name, vector=vector)
        sender = pinned_sender(bound)
        bound.card.withhold_completions(QUEUE)
        sender.send(10, 100)
        bound.card.release_completions(QUEUE)
        seen.wait(1, kind="InterruptWithheld", where=lambda event: event.why == "dropped")
        sender.send(1, 100)  # its message makes the lost one good
        wait_all_idle(bound)  # igb resets itself, and says so, when the link goes with work in a ring
        replug(bound)
        both_ways(bound)
        poll_everywhere(bound, seen)
        wait_all_idle(bound)
        messages = len(seen.all("InterruptSent"))
    found = complaints(bound, since)
    bound.guest.agent.write("/dev/kmsg", f"<6>{PLANTED}\n")
    planted = complaints(bound, since)
    now = bound.guest.proc.tainted()
    evidence.note(
        guest={"complaints": found, "with the planted one": planted, "taint": [tainted, now], "cpu": CPU},
        device={"faults meanwhile": faults, "messages": messages},
    )
    assert found == []
    assert planted == [PLANTED]
    assert now == tainted
