# SPDX-License-Identifier: BSD-3-Clause
"""The vector that serves no queue, and what a queue's handler leaves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks.bursts import arms, calm, messages, one_by_one, place, quiet, receive_vector, steer_to, unanswered
from harness.claims import claim
from harness.guest.probes import ENQUEUE, OTHER, SCHEDULE, SCHEDULE_IRQOFF

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Recording, Seen

LSC = 1 << 2
OTHER_VECTOR = 0
FLAPS = 2
QUEUE, CPU, ELSEWHERE = 2, 3, 1
FRAMES = 40
SCHEDULING = (SCHEDULE, SCHEDULE_IRQOFF)
"""What a handler may schedule its NAPI by; igb took the second from Linux 7 on."""


def arms_other(event: Seen) -> bool:
    """Tell whether a RegisterWritten event arms vector 0."""
    return arms(event, OTHER_VECTOR)


def answers(seen: Recording) -> list[tuple[str, int]]:
    """Return what the card saw of vector 0: messages, reads of ICR with their LSC bit, writes of EIMS alone for it."""

    def told(event: Seen) -> tuple[str, int] | None:
        if event.kind == "InterruptSent" and event.vector == OTHER_VECTOR:
            return "message", OTHER_VECTOR
        if event.kind == "RegisterRead" and event.register == "ICR":
            return "ICR", event.value & LSC
        if event.kind == "RegisterWritten" and arms_other(event):
            return "EIMS", event.value
        return None

    return [step for step in map(told, seen.all()) if step is not None]


@claim("IRQ-20")
def test_vector_0_carries_the_link_change(bound: Bound, evidence: Evidence) -> None:
    """Two flaps, and a message without a cause before each transition: it is answered alike, but changes no carrier.

    IPv6 is off meanwhile: what it sends at a new carrier may still be queued when the link goes, and then
    igb_watchdog_task resets the card, which has interrupts of its own.
    """
    bound.guest.proc.set_sysctl(f"net.ipv6.conf.{bound.netif.name}.disable_ipv6", 1)
    line = bound.netif.irqs()[bound.netif.name].total
    changes = int(bound.netif.read("carrier_changes"))
    carriers = []
    with (
        bound.guest.trace.session(probes=(OTHER,)) as trace,
        bound.card.recording("InterruptSent", "RegisterRead", "RegisterWritten", "LinkChanged") as seen,
    ):
        for number in range(2 * FLAPS):
            bound.card.fault("spurious_interrupt", vector=OTHER_VECTOR)
            seen.wait(2 * number + 1, kind="RegisterWritten", where=arms_other)
            carriers.append(int(bound.netif.read("carrier_changes")) - changes)
            if number % 2:
                bound.card.link_up()
            else:
                bound.card.link_down()
            bound.netif.wait_carrier(present=bool(number % 2))
            seen.wait(2 * number + 2, kind="RegisterWritten", where=arms_other)
        calm(bound)
    hits = len(trace.named(OTHER.event))
    grown = bound.netif.irqs()[bound.netif.name].total - line
    changed = int(bound.netif.read("carrier_changes")) - changes
    links = [event.speed_mbps for event in seen.all("LinkChanged")]
    steps = answers(seen)
    evidence.note(
        guest={"igb_msix_other": hits, "line": grown, "carrier changes": changed},
        device={"link, Mb/s": links, "vector 0": steps},
    )
    without, with_lsc = ([("message", OTHER_VECTOR), ("ICR", bit), ("EIMS", 1 << OTHER_VECTOR)] for bit in (0, LSC))
    assert links == [0, 1000] * FLAPS
    assert steps == (without + with_lsc) * 2 * FLAPS
    assert carriers == list(range(2 * FLAPS))
    assert changed == 2 * FLAPS
    assert hits == grown == 4 * FLAPS


@claim("IRQ-06")
def test_the_handler_puts_a_napi_on_poll_list_and_no_frame_on_input_pkt_queue(bound: Bound, evidence: Evidence) -> None:
    """40 frames one by one with RPS off: 40 NAPIs are scheduled where the vector is bound to, and nothing is enqueued.

    With rps_cpus set on this queue the same frames must be enqueued one by one, so the probe and the queue are right.
    """
    steer_to(bound, QUEUE)
    vector = receive_vector(bound, QUEUE)
    place(bound, f"eth0-rx-{QUEUE}", vector, CPU)
    quiet(bound)
    scheduling = {probe.event for probe in SCHEDULING}
    scheduled, enqueued, sent = [], [], []
    backlog: list[set[tuple[int, int]]] = []
    with (
        bound.guest.trace.session(probes=(ENQUEUE, *SCHEDULING)) as trace,
        bound.card.recording("InterruptSent", "RegisterWritten", "FrameDelivered") as seen,
    ):
        for cpus in ([], [ELSEWHERE]):
            bound.netif.set_rps(QUEUE, cpus)
            before = len(messages(seen, vector))
            trace.read()
            backlog.append(set())
            for frame in unanswered(bound, FRAMES):
                one_by_one(bound, seen, [frame])
                backlog[-1] |= {(line.backlog_len, line.input_qlen) for line in bound.guest.proc.softnet()}
            calm(bound)
            records = trace.read()
            scheduled.append(sum(r.name in scheduling and r.cpu == CPU and r.in_hardirq for r in records))
            enqueued.append([r["cpu"] for r in records if r.name == ENQUEUE.event])
            sent.append(len(messages(seen, vector)) - before)
    queues = [event.queue for event in seen.all("FrameDelivered")]
    evidence.note(
        guest={
            "NAPIs scheduled by the interrupt": scheduled,
            "frames enqueued": [len(cpus) for cpus in enqueued],
            "(backlog, input_pkt_queue) with RPS off": sorted(backlog[0]),
        },
        device={"messages": sent, "frames written back": len(queues)},
    )
    assert queues == [QUEUE] * 2 * FRAMES
    assert sent == [FRAMES, FRAMES]
    assert enqueued == [[], [ELSEWHERE] * FRAMES]
    assert backlog[0] == {(0, 0)}
    assert scheduled == [FRAMES, FRAMES]
