# SPDX-License-Identifier: BSD-3-Clause
"""Whose turn it is: nobody's while the interface is down, one CPU's at a time, and a neighbour's before long."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from device_model.igb.spec.receive import RCTL
from device_model.igb.spec.transmit import TCTL
from harness.checks import polls
from harness.checks.bursts import (
    calm,
    fill,
    messages,
    one_by_one,
    place,
    quiet,
    receive_vector,
    steer_to,
    stream,
    unanswered,
)
from harness.checks.test_napi import CPU, QUEUE, prepare
from harness.checks.test_napi_load import slow_reception
from harness.claims import claim
from harness.deadline import Deadline
from harness.guest.probes import COMPLETE_RETURN, POLL, POLL_RETURN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Recording

CYCLES = 3
BATCH, PACE_S = 4, 0.002
NEIGHBOUR = 1
ROUNDS = 8
FLIPS, FRAMES_EACH = 60, 20


@contextmanager
def flooded(bound: Bound) -> Iterator[None]:
    """Send frames at up to 2000 a second, whatever becomes of them, until the end of the block."""
    enough = threading.Event()
    frames = unanswered(bound, BATCH)

    def flood() -> None:
        while not enough.wait(PACE_S):
            bound.peer.send(*frames)

    sender = threading.Thread(target=flood, name="flood")
    sender.start()
    try:
        yield
    finally:
        enough.set()
        sender.join()


def stray_writes(seen: Recording) -> list[str]:
    """Return what the card stored in the guest's memory for a direction that the driver had disabled."""
    enabled = {"rx": True, "tx": True}
    found = []
    for event in seen.all():
        if event.kind == "RegisterWritten" and event.register == "RCTL":
            enabled["rx"] = bool(event.value & RCTL.en.mask)
        elif event.kind == "RegisterWritten" and event.register == "TCTL":
            enabled["tx"] = bool(event.value & TCTL.en.mask)
        elif event.kind == "DmaWrite" and not enabled[event.purpose[:2]]:
            found.append(str(event))
    return found


@claim("NAPI-18")
def test_no_poll_runs_while_the_interface_is_down(bound: Bound, evidence: Evidence) -> None:
    """Three times down and up in a flood of 2000 frames a second; while down the queue's message is sent as well.

    A time counts as down between the end of one `ip` and the beginning of the next, by the clock of the trace.
    """
    steer_to(bound, QUEUE)
    vector = receive_vector(bound, QUEUE)
    log = bound.guest.proc.log()[-1].sequence
    spans, refused = [], []
    with (
        bound.guest.trace.session(probes=(POLL,)) as trace,
        bound.card.recording("RegisterWritten", "DmaWrite", "FrameDropped", "FrameDelivered") as seen,
    ):
        for _ in range(CYCLES):
            with flooded(bound):
                seen.wait(len(seen.all("FrameDelivered")) + BATCH, kind="FrameDelivered")
                bound.netif.down()
                begun = bound.guest.agent.call("clock")["monotonic"]
                bound.card.fault("spurious_interrupt", vector=vector)
                dropped = len(seen.all("FrameDropped"))
                seen.wait(dropped + 5 * BATCH, kind="FrameDropped")
                spans.append((begun, bound.guest.agent.call("clock")["monotonic"]))
                refused.append(len(seen.all("FrameDropped")) - dropped)
                bound.netif.up()
                bound.netif.wait_carrier()
        quiet(bound)
        before = bound.netif.queue_packets()
        one_by_one(bound, seen, unanswered(bound, 3))
        calm(bound)
        after = list(bound.netif.queue_packets() - before)
    entered = [record.t for record in trace.named(POLL.event)]
    while_down = [t for t in entered for begun, ended in spans if begun < t < ended]
    stray = stray_writes(seen)
    complaints = [record.text for record in bound.guest.proc.log(log) if record.level <= 3]
    evidence.note(
        guest={"polls": len(entered), "while down": len(while_down), "frames afterwards": after, "log": complaints},
        device={"frames refused while down": refused, "stored while disabled": len(stray)},
    )
    assert stray == []
    assert while_down == []
    assert all(any(entry < begun for entry in entered) for begun, _ in spans)
    assert after == [0, 0, 3, 0]
    assert complaints == []


@claim("NAPI-21")
def test_one_napi_is_never_polled_on_two_cpus_at_once(bound: Bound, evidence: Evidence) -> None:
    """60 changes of affinity with 20 frames after each, none waited for, so that polls and moves meet.

    A poll's tail, from completion to return, is no turn: it unmasks the vector, and another CPU may be polling by then.
    """
    vector, irq = prepare(bound)
    slow_reception(bound, taps=4)
    frames = unanswered(bound, FLIPS * FRAMES_EACH)
    before = bound.netif.queue_packets(), bound.netif.irqs()[f"eth0-rx-{QUEUE}"].total
    with (
        bound.guest.trace.session(probes=(POLL, POLL_RETURN, COMPLETE_RETURN)) as trace,
        bound.card.recording("InterruptSent", "RegisterWritten", "FrameDelivered") as seen,
    ):
        for flip in range(FLIPS):
            bound.guest.proc.set_affinity(irq, [flip % bound.guest.cpus])
            stream(bound, seen, frames[flip * FRAMES_EACH :][:FRAMES_EACH])
        calm(bound)
    received = list(bound.netif.queue_packets() - before[0])
    interrupts = bound.netif.irqs()[f"eth0-rx-{QUEUE}"].total - before[1]
    sent = len(messages(seen, vector))
    [intervals] = polls.turns(trace.records).values()
    cpus = {cpu for _, _, cpu in intervals}
    evidence.note(
        guest={"polls": len(intervals), "CPUs": sorted(cpus), "interrupts": interrupts, "frames": received},
        device={"messages": sent},
    )
    assert received == [0, 0, len(frames), 0]
    assert interrupts == sent <= len(intervals)
    assert len(cpus) == bound.guest.cpus
    assert polls.overlaps(intervals) == []


def meet(bound: Bound, seen: Recording, first: int) -> None:
    """Let 250 frames be polled on one queue, and release a waiting frame's message on the other meanwhile."""
    vectors = receive_vector(bound, QUEUE), receive_vector(bound, NEIGHBOUR)
    steer_to(bound, NEIGHBOUR)
    fill(bound, seen, NEIGHBOUR, unanswered(bound, 1, first=first))
    steer_to(bound, QUEUE)
    fill(bound, seen, QUEUE, unanswered(bound, 250, first=first))
    tail = bound.card.register("RDT", QUEUE)
    deadline = Deadline.after(10)
    bound.card.release_interrupts(vectors[0])
    while bound.card.register("RDT", QUEUE) == tail and not deadline.passed:
        pass  # every look goes to the card and back, which takes long enough
    bound.card.release_interrupts(vectors[1])
    calm(bound)


@claim("NAPI-19")
def test_a_flooded_queue_does_not_starve_its_neighbour(bound: Bound, evidence: Evidence) -> None:
    """Eight bursts of 250, each in four polls of milliseconds; the neighbour's one frame is announced after the first.

    Between the neighbour's interrupt and its poll at most one poll of the flooded NAPI may end.
    """
    prepare(bound)
    neighbour = place(bound, f"eth0-rx-{NEIGHBOUR}", receive_vector(bound, NEIGHBOUR), CPU)
    slow_reception(bound)
    waited, ahead = [], []
    with (
        bound.guest.trace.session(polls.POLL, polls.IRQ, filters={polls.IRQ: f"irq == {neighbour}"}) as trace,
        bound.card.recording("RegisterWritten", "RxWriteBack", "FrameDelivered") as seen,
    ):
        for number in range(ROUNDS):
            meet(bound, seen, 250 * number)
            records = [r for r in trace.read() if r.name == polls.IRQ or r["dev_name"] == bound.netif.name]
            assert {record.cpu for record in records} == {CPU}
            [called] = [at for at, record in enumerate(records) if record.name == polls.IRQ]
            works = [0 if record.name == polls.IRQ else record["work"] for record in records]
            [came] = [at for at, work in enumerate(works) if work == 1]
            waited.append(came - called - 1)
            ahead.append(sum(works[came + 1 :]))
    delivered = [event.queue for event in seen.all("FrameDelivered")]
    evidence.note(
        guest={"polls of the other before its turn": waited, "frames that the other still had": ahead},
        device={"written back, busy and neighbour": [delivered.count(QUEUE), delivered.count(NEIGHBOUR)]},
    )
    assert sum(left > 0 for left in ahead) >= ROUNDS // 2, "the other must have been busy in most rounds"
    assert [polls_before for polls_before in waited if polls_before not in (0, 1)] == []
    assert (delivered.count(QUEUE), delivered.count(NEIGHBOUR)) == (250 * ROUNDS, ROUNDS)
