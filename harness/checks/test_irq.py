# SPDX-License-Identifier: BSD-3-Clause
"""Interrupts: which vectors there are, what the card was told of them, which one fires, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.checks import polls
from harness.checks.bursts import (
    calm,
    messages,
    one_by_one,
    pin,
    quiet,
    receive_vector,
    steer_to,
    transmit_vector,
    unanswered,
)
from harness.checks.sending import pinned_sender
from harness.claims import claim
from harness.oracles import vectors

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

RING_CAUSES = ("rx-", "tx-")


def queues_in_use(bound: Bound) -> int:
    """Return the number of queues, receive and transmit alike."""
    receive, transmit = bound.netif.queue_count
    assert receive == transmit
    return receive


@claim("IRQ-01")
@pytest.mark.parametrize("channels", [None, 3, 5, 8])
def test_one_vector_for_each_queue_and_one_for_everything_else(
    bound: Bound, evidence: Evidence, channels: int | None
) -> None:
    """As found at boot, then 3, 5 and 8 channels: 4 and 5 are the two sides of the edge where queues are paired."""
    if channels is not None:
        bound.netif.settings.set_channels(channels)
    count = vectors.queues(bound.guest.cpus) if channels is None else channels
    expected = vectors.handlers(count)
    irqs = bound.netif.irqs()
    allotted = sorted(int(name) for name in bound.guest.agent.listdir(bound.netif.path("device/msi_irqs")))
    named = [receive_vector(bound, queue) for queue in range(count)]
    named += [transmit_vector(bound, queue) for queue in range(count)]
    registers = bound.card.registers("EIMS", "EIAC", "EIAM", "IVAR_MISC")
    mode = bound.card.describe()["interrupts"]
    evidence.note(
        guest={"handlers": {name: irq.number for name, irq in irqs.items()}, "msi_irqs": allotted},
        device={"mode": mode, "vectors in IVAR": named, **{name: hex(value) for name, value in registers.items()}},
    )
    assert mode == "msix"
    assert sorted(irqs) == sorted(expected)
    assert sorted(irq.number for irq in irqs.values()) == allotted
    assert {irq.chip for irq in irqs.values()} == {"PCI-MSIX-0000:01:00.0"}
    assert {0, *named} == set(expected.values())
    in_use = (1 << len(expected)) - 1
    assert (registers["EIAC"], registers["EIAM"]) == (in_use, in_use)


@claim("IRQ-02")
@pytest.mark.parametrize("channels", [None, 6])
def test_ivar_and_gpie_say_what_the_vector_map_says(bound: Bound, evidence: Evidence, channels: int | None) -> None:
    """Unpaired, the two bytes of an entry differ, so that an exchange shows; paired they do not.

    The map is taken from the order of the interrupts that the guest names; 6 is neither the boot's nor the largest.
    """
    with bound.card.recording("RegisterWritten") as seen:
        if channels is None:
            bound.netif.down()
            bound.netif.up()
        else:
            bound.netif.settings.set_channels(channels)
        bound.netif.wait_carrier()
    count = queues_in_use(bound)
    assert count == (channels or vectors.queues(bound.guest.cpus))
    by_number = sorted(bound.netif.irqs().values(), key=lambda irq: irq.number)
    vector_of = {irq.name: vector for vector, irq in enumerate(by_number)}
    names = ["IVAR_MISC", "GPIE", *(f"IVAR[{queue}]" for queue in range(count))]
    written = {event.register: event.value for event in seen.all("RegisterWritten") if event.register in names}
    held = bound.card.registers(*names)
    expected = {"IVAR_MISC": vectors.IVAR_MISC, "GPIE": vectors.GPIE}
    expected |= {f"IVAR[{queue}]": vectors.ivar(count, queue) for queue in range(count)}
    evidence.note(
        guest=vector_of,
        device={
            "written": {name: hex(value) for name, value in written.items()},
            "held": {name: hex(value) for name, value in held.items()},
        },
    )
    assert vector_of == vectors.handlers(count)
    assert written == expected
    assert held == expected


@claim("IRQ-03")
@pytest.mark.four_queues
def test_a_queues_event_fires_its_own_vector_and_no_other(bound: Bound, evidence: Evidence) -> None:
    """Another number of events for each queue and direction, one at a time: every line of the guest tells its own.

    (6, 7, 8, 9) received and (3, 4, 5, 6) sent, ticks off, so that the counts must be exact.
    """
    count = queues_in_use(bound)
    received = {queue: unanswered(bound, 6 + queue) for queue in range(count)}
    sent = {queue: 3 + queue for queue in range(count)}
    quiet(bound)
    before = {name: irq.total for name, irq in bound.netif.irqs().items()}
    with bound.card.recording("CauseRaised", "InterruptSent", "RegisterWritten") as seen:
        for queue, frames in received.items():
            steer_to(bound, queue)
            one_by_one(bound, seen, frames)
        for queue, number in sent.items():
            sender = pinned_sender(bound, queue, cpu=queue % bound.guest.cpus)
            for first in range(number):
                armed = len(seen.all("RegisterWritten", lambda e: e.register == "EIMS"))
                sender.send(1, first=first)
                seen.wait(armed + 1, kind="RegisterWritten", where=lambda e: e.register == "EIMS")
        calm(bound)
        after = {name: irq.total for name, irq in bound.netif.irqs().items()}
    grown = {name: after[name] - before[name] for name in after}
    sent_on = {name: len(messages(seen, vector)) for name, vector in vectors.handlers(count).items()}
    causes = {(e.cause, e.vector) for e in seen.all("CauseRaised") if e.cause.startswith(RING_CAUSES)}
    evidence.note(guest=grown, device={"messages": sent_on, "causes": sorted(causes)})
    expected = {f"eth0-rx-{queue}": len(frames) for queue, frames in received.items()}
    expected |= {f"eth0-tx-{queue}": number for queue, number in sent.items()}
    assert grown == {"eth0": 0} | expected
    assert sent_on == grown
    assert causes == {
        *((f"rx-{queue}", receive_vector(bound, queue)) for queue in range(count)),
        *((f"tx-{queue}", transmit_vector(bound, queue)) for queue in range(count)),
    }


@claim("IRQ-04")
def test_affinity_decides_where_interrupt_poll_and_reception_happen(bound: Bound, evidence: Evidence) -> None:
    """Every receive queue on every CPU, five frames each, in another order for each queue: no place by luck.

    A message travels to where the table entry says until the first interrupt after the change rewrites it
    (irq_move_irq), so the first of the five is still taken on the former CPU, and that must show too.
    """
    quiet(bound)
    irqs = bound.netif.irqs()
    numbers = {irqs[f"eth0-rx-{queue}"].number for queue in range(queues_in_use(bound))}
    only_these = " || ".join(f"irq == {number}" for number in sorted(numbers))
    expected: list[tuple[int, int]] = []
    effective: list[tuple[int, ...]] = []
    wanted: list[tuple[int, ...]] = []
    with (
        bound.guest.trace.session(
            polls.POLL, polls.IRQ, "net:netif_receive_skb", filters={polls.IRQ: only_these}
        ) as trace,
        bound.card.recording("InterruptSent", "RegisterWritten") as seen,
    ):
        for queue in range(queues_in_use(bound)):
            irq = irqs[f"eth0-rx-{queue}"].number
            steer_to(bound, queue)
            [at] = bound.guest.proc.affinity(irq)
            for cpu in ((n + queue) % bound.guest.cpus for n in range(bound.guest.cpus)):
                pin(bound, f"eth0-rx-{queue}", cpu)
                one_by_one(bound, seen, unanswered(bound, 5))
                expected += [(irq, place) for place in (at, cpu, cpu, cpu, cpu)]
                at = cpu
                effective.append(bound.guest.proc.affinity(irq))
                wanted.append((cpu,))
        calm(bound)
    hard = [(record["irq"], record.cpu) for record in trace.named(polls.IRQ)]
    polled = [record.cpu for record in polls.polls(bound, trace.records)]
    received = [r.cpu for r in trace.named("netif_receive_skb") if r["name"] == bound.netif.name]
    sent = [event.vector for event in seen.all("InterruptSent")]
    evidence.note(guest={"interrupts": hard, "polls": polled, "skbs": received}, device={"messages": sent})
    assert hard == expected
    assert polled == [cpu for _, cpu in expected]
    assert received == polled
    assert effective == wanted
    vector_of = {irqs[f"eth0-rx-{queue}"].number: receive_vector(bound, queue) for queue in range(len(numbers))}
    assert sent == [vector_of[irq] for irq, _ in expected]
