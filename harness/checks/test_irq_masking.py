# SPDX-License-Identifier: BSD-3-Clause
"""From message to unmasking: what the handler does, who masks and unmasks, and what happens to events in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.checks import polls
from harness.checks.bursts import (
    armings,
    arms,
    arms_any,
    calm,
    messages,
    one_by_one,
    place,
    quiet,
    receive_vector,
    scheduling,
    steer_to,
    stream,
    unanswered,
)
from harness.claims import claim
from harness.guest.probes import MSIX, NAPI_POLL, NET_RX_ACTION, POLL, SCHEDULE, SCHEDULE_IRQOFF

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.guest.ringbuffer import Record
    from harness.lab import Bound
    from harness.seen import Seen

QUEUE, CPU = 2, 3
EIMC = 0x1528
EIMS = 0x1524
FUNCTIONS = (MSIX, SCHEDULE, SCHEDULE_IRQOFF, NET_RX_ACTION, NAPI_POLL, POLL)
EVENTS = (polls.IRQ, "irq:irq_handler_exit", "irq:softirq_raise", polls.SOFTIRQ_ENTRY, polls.POLL)
HANDLER = ("irq:irq_handler_entry", "igb_msix_ring")
REST = (
    "irq:softirq_raise", "irq:irq_handler_exit", "irq:softirq_entry", "net_rx_action", "__napi_poll", "igb_poll",
    "napi:napi_poll",
)  # fmt: skip


def told(records: list[Record]) -> list[str]:
    """Return what CPU ``CPU`` did for the interrupt: functions and events from its entry to the end of the poll."""
    functions = {probe.event: probe.place for probe in FUNCTIONS}
    names: list[str] = []
    for record in records:
        if record.cpu == CPU and (names or record.name == polls.IRQ):
            names.append(functions.get(record.name, record.name))
    return names


def filters(irq: int) -> dict[str, str]:
    """Return filters that keep only what belongs to interrupt ``irq`` and to the receive softirq."""
    return {event: f"vec == {polls.NET_RX}" if "softirq" in event else f"irq == {irq}" for event in EVENTS[:-1]}


@claim("IRQ-05")
@pytest.mark.four_queues
def test_the_handler_only_schedules_napi(bound: Bound, evidence: Evidence) -> None:
    """One message with a frame and one without: the sequence is the same, work and frames are 1 and 0."""
    steer_to(bound, QUEUE)
    vector = receive_vector(bound, QUEUE)
    irq = place(bound, f"eth0-rx-{QUEUE}", vector, CPU)
    quiet(bound)
    packets = bound.netif.queue_packets()
    sequences, works, between = [], [], []
    with (
        bound.guest.trace.session(*EVENTS, probes=FUNCTIONS, filters=filters(irq)) as trace,
        bound.card.recording("InterruptSent", "RegisterWritten") as seen,
    ):
        for spurious in (False, True):
            if spurious:
                bound.card.fault("spurious_interrupt", vector=vector)
                seen.wait(2, kind="RegisterWritten", where=lambda event: arms(event, vector))
            else:
                one_by_one(bound, seen, unanswered(bound, 1, first=1))
            calm(bound)
            records = trace.read()
            sequences.append(told(records))
            works.append([record["work"] for record in polls.polls(bound, records)])
    events = seen.all()
    for number, event in enumerate(events):
        if event.kind == "InterruptSent":
            between.append(until_work(events[number + 1 :], vector))
    received = list(bound.netif.queue_packets() - packets)
    evidence.note(
        guest={"sequences": sequences, "work": works, "frames": received},
        device={"written between message and first tail or EIMS": between},
    )
    assert sequences == [[*HANDLER, scheduling(bound), *REST]] * 2
    assert works == [[1], [0]]
    assert received == [0, 0, 1, 0]
    assert len(between) == 2
    for names in between:
        assert names in ([], [f"EITR[{vector}]"])


def until_work(events: list[Seen], vector: int) -> list[str]:
    """Return the registers written before the first tail or arming write of the vector's queue."""
    names = []
    for event in events:
        if event.kind == "InterruptSent" or event.register == f"RDT[{QUEUE}]" or arms(event, vector):
            break
        names.append(event.register)
    return names


@claim("IRQ-07")
def test_a_vector_is_masked_from_its_message_until_napi_has_finished(bound: Bound, evidence: Evidence) -> None:
    """2000 frames on one queue, as fast as they go: messages meet running polls thousands of times if nothing masks."""
    steer_to(bound, QUEUE)
    vector = receive_vector(bound, QUEUE)
    irq = place(bound, f"eth0-rx-{QUEUE}", vector, CPU)
    frames = unanswered(bound, 2000)
    quiet(bound)
    with (
        polls.traced(bound, irq) as trace,
        bound.card.recording("InterruptSent", "RegisterWritten", "FrameDelivered") as seen,
    ):
        stream(bound, seen, frames)
        calm(bound)
    [napi] = polls.napis(bound, trace.records)
    steps = polls.life(trace.records, napi, irq)
    cycle = [(s.kind, s.value) for s in steps if s.kind == "irq" or (s.kind == "completed" and s.value)]
    history = [
        event
        for event in seen.all()
        if event.kind == "InterruptSent" or (event.kind == "RegisterWritten" and arms_any(event))
    ]
    told_by_card = [(event.kind, event.fields.get("value", event.fields.get("vector"))) for event in history]
    count = len(messages(seen, vector))
    evidence.note(
        guest={"frames": sum(polls.values(steps, "poll")), "interrupts": len(polls.values(steps, "irq"))},
        device={"messages": count, "EIMS writes": len(armings(seen, vector))},
    )
    assert sum(polls.values(steps, "poll")) == len(frames)
    assert count > 0
    assert told_by_card == [("InterruptSent", vector), ("RegisterWritten", 1 << vector)] * count
    assert cycle == [("irq", 0), ("completed", 1)] * count


@claim("IRQ-08")
def test_an_event_on_a_masked_vector_fires_when_it_is_unmasked(bound: Bound, evidence: Evidence) -> None:
    """First by hand, 20 times: mask, frame, no message, unmask, one message, one poll of 1.

    Then 1000 frames as fast as they go: many fall between the last look of a poll and its EIMS write, and with the
    ticks off a frame that is forgotten there stays forgotten.
    """
    steer_to(bound, QUEUE)
    vector = receive_vector(bound, QUEUE)
    place(bound, f"eth0-rx-{QUEUE}", vector, CPU)
    bit = 1 << vector
    quiet(bound)
    alone: list[tuple[int, ...]] = []
    with (
        bound.guest.trace.session(polls.POLL) as trace,
        bound.card.recording("InterruptSent", "InterruptWithheld", "RegisterWritten", "FrameDelivered") as seen,
    ):
        for number, frame in enumerate(unanswered(bound, 20)):
            bound.card.write_register(EIMC, bit)
            bound.peer.send(frame)
            seen.wait(number + 1, kind="FrameDelivered")
            pending = bound.card.register("EICR")
            sent = len(messages(seen, vector))
            bound.card.write_register(EIMS, bit)
            after = seen.wait(2 * number + 2, kind="RegisterWritten", where=lambda event: arms(event, vector))
            alone.append((pending, sent, len(messages(seen, vector)), len(after)))
        calm(bound)
        works = [record["work"] for record in polls.polls(bound, trace.read())]
        frames = unanswered(bound, 1000, first=20)
        stream(bound, seen, frames, window=8)
        calm(bound)
        raced = sum(record["work"] for record in polls.polls(bound, trace.read()))
    unmasked = [event for event in messages(seen, vector) if event.why == "unmask"]
    lateness = lateness_us(seen.all(), vector)
    evidence.note(
        guest={"work of each poll, by hand": works, "frames of the race": raced},
        device={"messages at unmasking": len(unmasked), "latest message after unmasking, us": max(lateness, default=0)},
    )
    assert works == [1] * 20
    assert alone == [(bit, n, n + 1, 2 * n + 2) for n in range(20)]
    assert raced == len(frames)
    assert len(unmasked) >= 30, "the race must have been run, not only the part by hand"


def lateness_us(events: list[Seen], vector: int) -> list[int]:
    """Return the microseconds from each arming that found an event pending to its message."""
    armed = 0
    late = []
    for event in events:
        if event.kind == "RegisterWritten" and arms(event, vector):
            armed = event.t_ns
        elif event.kind == "InterruptSent" and event.vector == vector and event.why in ("unmask", "timer"):
            late.append((event.t_ns - armed) // 1000)
    return late


@claim("IRQ-09")
@pytest.mark.four_queues
def test_sending_a_message_acknowledges_its_cause(bound: Bound, evidence: Evidence) -> None:
    """From opening to closing, with 10 frames on each of two queues: a cause that stays set would raise no second."""
    with bound.card.recording("RegisterRead", "RegisterWritten", "InterruptSent") as seen:
        bound.netif.down()
        bound.netif.up()
        bound.netif.wait_carrier()
        quiet(bound)
        before = {name: irq.total for name, irq in bound.netif.irqs().items()}
        start = len(seen.all("InterruptSent"))
        causes = []
        for queue in (1, QUEUE):
            steer_to(bound, queue)
            for frame in unanswered(bound, 10):
                one_by_one(bound, seen, [frame])
                causes.append(bound.card.register("EICR"))
        calm(bound)
        sent = seen.all("InterruptSent")[start:]
        grown = {name: irq.total - before[name] for name, irq in bound.netif.irqs().items()}
        bound.netif.down()
        bound.netif.up()
        bound.netif.wait_carrier()
    touched = seen.all(where=lambda event: event.kind != "InterruptSent" and event.register == "EICR")
    evidence.note(
        guest={name: number for name, number in grown.items() if number},
        device={"accesses to EICR": [str(event) for event in touched], "messages": len(sent)},
    )
    assert touched == []
    assert set(causes) == {0}
    assert [event.vector for event in sent] == [receive_vector(bound, 1)] * 10 + [receive_vector(bound, QUEUE)] * 10
    assert {name: number for name, number in grown.items() if number} == {"eth0-rx-1": 10, f"eth0-rx-{QUEUE}": 10}
