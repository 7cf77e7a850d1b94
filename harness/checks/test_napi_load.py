# SPDX-License-Identifier: BSD-3-Clause
"""NAPI under load: wake-ups during a poll, turns between NAPIs, the packet budget, and how few interrupts it takes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from harness.checks import polls
from harness.checks.arrivals import deliver
from harness.checks.bursts import (
    armings,
    burst,
    calm,
    fill,
    messages,
    place,
    quiet,
    receive_vector,
    steer_to,
    stream,
    unanswered,
    without_time_limit,
)
from harness.checks.test_napi import CPU, QUEUE, prepare
from harness.claims import claim
from harness.deadline import Deadline
from harness.oracles import napi
from harness.plots import Bar, Line, Look, Source

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Recording

ROUNDS = 8
EIMC, EIMS = 0x1528, 0x1524
ETH_P_ALL = 0x0003
RECEIVE_BUFFER = 8 << 20


def slow_reception(bound: Bound, taps: int = 12) -> None:
    """Let every frame be cloned for ``taps`` packet sockets, so that the polls of a burst last for milliseconds."""
    agent = bound.guest.agent
    for _ in range(taps):
        handle = agent.call("open_socket", kind="packet", protocol=ETH_P_ALL)
        agent.call("buffers", handle=handle, send=None, receive=RECEIVE_BUFFER)


def repeat_during_polls(bound: Bound, seen: Recording, vector: int, first: int) -> None:
    """Release a burst of 250 frames and, as soon as the driver returns slots, send the same message once more."""
    fill(bound, seen, QUEUE, unanswered(bound, 250, first=first))
    tail = bound.card.register("RDT", QUEUE)
    deadline = Deadline.after(10)
    bound.card.release_interrupts(vector)
    while bound.card.register("RDT", QUEUE) == tail and not deadline.passed:
        pass  # every look goes to the card and back, which takes long enough
    bound.card.fault("spurious_interrupt", vector=vector)
    calm(bound)


@claim("NAPI-05")
def test_a_wake_up_during_a_poll_is_not_lost(bound: Bound, evidence: Evidence) -> None:
    """Eight bursts of 250 with a repeated message during their four polls, then 600 frames without any.

    Each completion of the trace is replayed: false exactly when an interrupt came while the NAPI was scheduled, and
    then one more poll before EIMS is written. Both kinds must have occurred, and the second part may have no false one.
    """
    vector, irq = prepare(bound)
    slow_reception(bound)
    with (
        polls.traced(bound, irq) as trace,
        bound.card.recording("InterruptSent", "RegisterWritten", "RxWriteBack", "FrameDelivered") as seen,
    ):
        for number in range(ROUNDS):
            repeat_during_polls(bound, seen, vector, 250 * number)
        repeated = trace.read()
        marks = len(messages(seen, vector)), len(armings(seen, vector))
        stream(bound, seen, unanswered(bound, 600, first=250 * ROUNDS), window=64)
        calm(bound)
        plain = trace.read()
    [name] = polls.napis(bound, repeated)
    lives = [polls.life(records, name, irq) for records in (repeated, plain)]
    returns = [polls.values(steps, "completed") for steps in lives]
    interrupts = [len(polls.values(steps, "irq")) for steps in lives]
    sent = [marks[0], len(messages(seen, vector)) - marks[0]]
    armed = [marks[1], len(armings(seen, vector)) - marks[1]]
    evidence.note(
        guest={"false returns": [part.count(0) for part in returns], "interrupts": interrupts},
        device={"messages": sent, "EIMS writes": armed},
    )
    assert [polls.improper(steps) for steps in lives] == [[], []]
    assert sent[0] == 2 * ROUNDS
    assert interrupts == sent
    assert returns[0].count(0) >= ROUNDS // 2, "most repeated messages must have met a running poll"
    assert returns[1].count(0) == 0
    assert [sum(part) for part in returns] == armed


@claim("NAPI-06")
def test_no_napi_is_polled_again_in_the_softirq_in_which_it_used_its_budget(bound: Bound, evidence: Evidence) -> None:
    """2000 frames after a burst of 250, with all slots used: full polls follow each other as fast as they can."""
    prepare(bound)
    with (
        polls.softirqs_traced(bound) as trace,
        bound.card.recording("RegisterWritten", "RxWriteBack", "FrameDelivered") as seen,
    ):
        fill(bound, seen, QUEUE, unanswered(bound, 250))
        bound.card.release_interrupts(receive_vector(bound, QUEUE))
        stream(bound, seen, unanswered(bound, 2000, first=250), window=400)
        calm(bound)
    runs = polls.softirqs(trace.records, CPU, bound.netif.name)
    works = [work for run in runs for _, work in run]
    written = len(seen.all("RxWriteBack"))
    evidence.note(
        guest={"softirqs": len(runs), "full polls": works.count(napi.BUDGET), "frames": sum(works)},
        device={"written back": written},
    )
    assert sum(works) == written == 2250
    assert works.count(napi.BUDGET) >= 3
    assert [napi.repeats_after_full([(str(name), work) for name, work in run]) for run in runs] == [[]] * len(runs)


def squeezed(bound: Bound) -> int:
    """Return time_squeeze of the CPU under test."""
    [line] = [line for line in bound.guest.proc.softnet() if line.cpu == CPU]
    return line.time_squeeze


@claim("NAPI-07")
def test_time_squeeze_counts_softirqs_out_of_packet_budget(bound: Bound, evidence: Evidence) -> None:
    """One NAPI; 63 and 64 frames at netdev_budget 64, 64 at 65: each case differs from another in one number by one.

    A burst of 130 polls 64, 64, 2 in three softirqs, none of which reaches 65.
    """
    prepare(bound)
    cases = ((64, 63), (64, 64), (65, 64), (64, 130), (65, 130))
    grown, works = {}, {}
    with (
        polls.softirqs_traced(bound) as trace,
        bound.card.recording("RegisterWritten", "RxWriteBack") as seen,
    ):
        for budget, frames in cases:
            bound.guest.proc.set_sysctl("net.core.netdev_budget", budget)
            before = squeezed(bound)
            burst(bound, seen, QUEUE, unanswered(bound, frames))
            calm(bound)
            key = f"{frames} frames at {budget}"
            grown[key] = squeezed(bound) - before
            works[key] = [work for run in polls.softirqs(trace.read(), CPU, bound.netif.name) for _, work in run]
    evidence.note(guest={"time_squeeze": grown, "work": works}, device={"written back": len(seen.all("RxWriteBack"))})
    assert works == {f"{frames} frames at {budget}": napi.receive_polls(frames) for budget, frames in cases}
    assert grown == {
        f"{frames} frames at {budget}": sum(
            napi.squeezes(1, budget) for work in napi.receive_polls(frames) if work == napi.BUDGET
        )
        for budget, frames in cases
    }
    assert list(grown.values()) == [0, 1, 0, 2, 0]


@claim("NAPI-07")
def test_five_full_polls_in_one_softirq_use_up_a_budget_of_300(bound: Bound, evidence: Evidence) -> None:
    """Eight paired queues on one CPU with 192 frames each, unmasked by one write of EIMS.

    While one is polled the others get scheduled, so that softirqs with five and more full polls must follow; the
    squeezes are those that the trace predicts, run by run. With four queues (256 frames a round) there is none.
    """
    bound.netif.settings.set_channels(8)
    bound.netif.wait_carrier()
    without_time_limit(bound)
    for queue in range(8):
        place(bound, f"eth0-TxRx-{queue}", receive_vector(bound, queue), CPU)
    quiet(bound)
    counted, predicted, fullest = [], [], []
    with (
        polls.softirqs_traced(bound) as trace,
        bound.card.recording("RegisterWritten", "RxWriteBack", "FrameDelivered") as seen,
    ):
        for count in (1, 4, 8):
            bits = sum(1 << receive_vector(bound, queue) for queue in range(count))
            bound.card.write_register(EIMC, bits)
            for queue in range(count):
                steer_to(bound, queue)
                stream(bound, seen, unanswered(bound, 192))
            trace.read()
            before = squeezed(bound)
            bound.card.write_register(EIMS, bits)
            calm(bound)
            runs = [[work for _, work in run] for run in polls.softirqs(trace.read(), CPU, bound.netif.name)]
            assert sum(map(sum, runs)) == 192 * count
            counted.append(squeezed(bound) - before)
            predicted.append(sum(napi.squeezes(run.count(napi.BUDGET), 300) for run in runs))
            fullest.append(max(run.count(napi.BUDGET) for run in runs))
    evidence.note(
        guest={"time_squeeze with 1, 4, 8 queues": counted, "most full polls in a softirq": fullest},
        device={"written back": len(seen.all("RxWriteBack"))},
    )
    assert counted == predicted
    assert counted[:2] == [0, 0]
    assert fullest[2] == 5
    assert counted[2] > 0


LOADS = {1: 32, 2: 48, 4: 64, 16: 128, 64: 256, 128: 384}
"""Frames sent at once, and how many are sent that way."""

WORKS = {
    "0": range(1),
    "1–15": range(1, 16),
    "16–31": range(16, 32),
    "32–47": range(32, 48),
    "48–63": range(48, 64),
} | {"64": range(64, 65)}
"""Amounts of work of a poll, put together for a picture."""


@claim("NAPI-10")
def test_the_more_frames_come_at_once_the_fewer_interrupts_each_takes(bound: Bound, evidence: Evidence) -> None:
    """One to 128 frames at once, the next only when the driver has come to rest: at best one interrupt for all.

    A lone frame takes its own interrupt. How many share one depends on the machine; the other check bounds that.
    """
    vector, _ = prepare(bound)
    guest, device = {}, {}
    with bound.card.recording("InterruptSent") as seen:
        for at_once, count in LOADS.items():
            before = len(messages(seen, vector)), bound.netif.irqs()[f"eth0-rx-{QUEUE}"].total
            deliver(bound, unanswered(bound, count), at_once)
            calm(bound)
            device[at_once] = len(messages(seen, vector)) - before[0]
            guest[at_once] = bound.netif.irqs()[f"eth0-rx-{QUEUE}"].total - before[1]
    evidence.note(guest={"interrupts": guest}, device={"messages": device, "frames": LOADS})
    x = tuple(LOADS)
    evidence.series(
        "Interrupts per frame over load",
        (
            Line("guest: interrupts", Source.GUEST, x, tuple(guest[each] / LOADS[each] for each in x)),
            Line("device: messages", Source.DEVICE, x, tuple(device[each] / LOADS[each] for each in x), Look.POINTS),
            Line("one for all", Source.ORACLE, x, tuple(1 / each for each in x)),
        ),
        x="frames sent at once",
        y="interrupts per frame",
        log_x=True,
        log_y=True,
    )
    assert guest == device
    assert guest[1] == LOADS[1]
    assert all(count // at_once <= guest[at_once] <= count for at_once, count in LOADS.items())


@claim("NAPI-10")
def test_under_load_there_are_far_fewer_interrupts_than_frames(bound: Bound, evidence: Evidence) -> None:
    """Ten times: a held burst of 200, and 200 more while it is polled, so that the ring does not run empty.

    A card that interrupts for frames which arrive during polls exceeds the number of completed polls at once.
    """
    vector, irq = prepare(bound)
    packets = bound.netif.queue_packets()
    line = bound.netif.irqs()[f"eth0-rx-{QUEUE}"].total
    with (
        polls.traced(bound, irq) as trace,
        bound.card.recording("InterruptSent", "RegisterWritten", "RxWriteBack", "FrameDelivered") as seen,
    ):
        for number in range(10):
            fill(bound, seen, QUEUE, unanswered(bound, 200, first=400 * number))
            bound.card.release_interrupts(vector)
            stream(bound, seen, unanswered(bound, 200, first=400 * number + 200), window=128)
            calm(bound)
    received = (bound.netif.queue_packets() - packets)[QUEUE]
    interrupts = bound.netif.irqs()[f"eth0-rx-{QUEUE}"].total - line
    [name] = polls.napis(bound, trace.records)
    steps = polls.life(trace.records, name, irq)
    completed = sum(polls.values(steps, "completed"))
    works = Counter(polls.values(steps, "poll"))
    written = len(seen.all("RxWriteBack"))
    evidence.bars(
        "Frames per poll under load",
        tuple(WORKS),
        [Bar("polls", Source.GUEST, tuple(sum(works[work] for work in part) for part in WORKS.values()))],
        x="frames taken by one poll",
        y="polls",
        note=f"{received} frames in {works.total()} polls behind {interrupts} interrupts. At 64 the budget is used up.",
    )
    evidence.note(
        guest={"interrupts": interrupts, "completed polls": completed, "frames": received},
        device={"messages": len(messages(seen, vector)), "written back": written},
    )
    assert received == written == 4000
    assert interrupts == len(messages(seen, vector))
    assert 10 <= interrupts <= completed
    assert received > 4 * interrupts
