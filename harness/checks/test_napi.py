# SPDX-License-Identifier: BSD-3-Clause
"""NAPI: how a burst is cut into polls, when the vector is armed again, and what a poll may not do."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from harness.checks import polls
from harness.checks.bursts import (
    armings,
    arms,
    arms_any,
    burst,
    calm,
    fill,
    messages,
    one_by_one,
    place,
    quiet,
    receive_vector,
    steer_to,
    stream,
    tail_steps,
    unanswered,
    without_time_limit,
)
from harness.claims import claim
from harness.oracles import napi
from harness.plots import Bar, Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Seen

QUEUE, CPU = 2, 3
SIZES = (1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 200, 255)


def prepare(bound: Bound) -> tuple[int, int]:
    """Steer to one queue on one CPU, without ticks and time limits; return its vector and its interrupt."""
    steer_to(bound, QUEUE)
    vector = receive_vector(bound, QUEUE)
    irq = place(bound, f"eth0-rx-{QUEUE}", vector, CPU)
    without_time_limit(bound)
    quiet(bound)
    return vector, irq


def answers(vector: int) -> Callable[[Seen], bool]:
    """Return what tells the writes of EIMS that arm ``vector``."""
    return lambda event: arms(event, vector)


@claim("NAPI-01")
def test_one_poll_may_do_64_frames_whatever_dev_weight_says(bound: Bound, evidence: Evidence) -> None:
    """Bursts of 200 at dev_weight 64, 16 and 128: a budget that follows it in either direction cuts them otherwise."""
    prepare(bound)
    budgets, works, steps = [], [], []
    with (
        bound.guest.trace.session(polls.POLL) as trace,
        bound.card.recording("RegisterWritten", "RxWriteBack") as seen,
    ):
        for number, weight in enumerate((64, 16, 128)):
            bound.guest.proc.set_sysctl("net.core.dev_weight", weight)
            tail = bound.card.register("RDT", QUEUE)
            begun = len(seen.all())
            burst(bound, seen, QUEUE, unanswered(bound, 200, first=200 * number))
            calm(bound)
            found = polls.polls(bound, trace.read())
            budgets.append({record["budget"] for record in found})
            works.append([record["work"] for record in found])
            steps.append(tail_steps(seen, QUEUE, tail, since=begun))
    evidence.note(guest={"budgets": [sorted(b) for b in budgets], "work": works}, device={"tail steps": steps})
    assert budgets == [{napi.BUDGET}] * 3
    assert works == [napi.receive_polls(200)] * 3
    assert [sum(part) for part in steps] == [sum(part) for part in works]


@claim("NAPI-02")
def test_held_burst_is_polled_in_batches_of_64(bound: Bound, evidence: Evidence) -> None:
    """Thirteen sizes, each held behind one message, so that the cut cannot depend on timing; edges from both sides."""
    vector, _ = prepare(bound)
    guest: dict[int, list[int]] = {}
    device: dict[int, tuple[int, int, list[int]]] = {}
    with (
        bound.guest.trace.session(polls.POLL) as trace,
        bound.card.recording("InterruptSent", "RegisterWritten", "RxWriteBack") as seen,
    ):
        first = 0
        for size in SIZES:
            tail = bound.card.register("RDT", QUEUE)
            begun = len(seen.all())
            before = len(messages(seen, vector)), len(armings(seen, vector))
            burst(bound, seen, QUEUE, unanswered(bound, size, first=first))
            calm(bound)
            first += size
            guest[size] = [record["work"] for record in polls.polls(bound, trace.read())]
            device[size] = (
                len(messages(seen, vector)) - before[0],
                len(armings(seen, vector)) - before[1],
                tail_steps(seen, QUEUE, tail, since=begun),
            )
    evidence.note(guest=guest, device={"messages, EIMS writes, tail steps": device})
    most = max(map(len, guest.values()))
    evidence.bars(
        "How a held burst is cut into polls",
        SIZES,
        [
            Bar(f"poll {turn + 1}", Source.GUEST, tuple(sum(guest[size][turn : turn + 1]) for size in SIZES))
            for turn in range(most)
        ],
        x="frames behind one message",
        y="frames, poll by poll",
        note="Each part of a bar is one poll; every burst cost one message and one write of EIMS.",
        stacked=True,
    )
    assert guest == {size: napi.receive_polls(size) for size in SIZES}
    assert device == {size: (1, 1, napi.tail_steps(size)) for size in SIZES}


@claim("NAPI-03")
def test_a_poll_that_used_its_budget_is_repeated_without_an_interrupt(bound: Bound, evidence: Evidence) -> None:
    """While three full polls work off a held burst of 200, 400 more frames arrive: each would interrupt if it could."""
    vector, irq = prepare(bound)
    with (
        polls.traced(bound, irq) as trace,
        bound.card.recording("InterruptSent", "RegisterWritten", "RxWriteBack", "FrameDelivered") as seen,
    ):
        fill(bound, seen, QUEUE, unanswered(bound, 200))
        bound.card.release_interrupts(vector)
        stream(bound, seen, unanswered(bound, 400, first=200), window=128)
        calm(bound)
    [name] = polls.napis(bound, trace.records)
    steps = polls.life(trace.records, name, irq)
    kinds = [(step.kind, step.value) for step in steps]
    follows = [after for before, after in pairwise(kinds) if before == ("poll", napi.BUDGET)]
    history = [
        event.kind
        for event in seen.all()
        if event.kind == "InterruptSent" or (event.kind == "RegisterWritten" and arms_any(event))
    ]
    evidence.note(
        guest={"work of each poll": polls.values(steps, "poll"), "after a full poll": sorted(map(str, set(follows)))},
        device={"messages": len(messages(seen, vector)), "EIMS writes": len(armings(seen, vector))},
    )
    works = polls.values(steps, "poll")
    assert works[:3] == [napi.BUDGET] * 3
    assert sum(works) == 600
    assert history == ["InterruptSent", "RegisterWritten"] * len(armings(seen, vector))
    assert polls.improper(steps) == []
    for kind, value in follows:
        assert (kind, value) == ("poll", napi.BUDGET) or kind == "complete", "an interrupt came between two polls"
    interrupts = len(polls.values(steps, "irq"))
    assert interrupts == sum(polls.values(steps, "completed")) == len(messages(seen, vector))


@claim("NAPI-04")
@pytest.mark.four_queues
def test_a_poll_under_budget_completes_once_and_arms_once(bound: Bound, evidence: Evidence) -> None:
    """Seven single frames, bursts of 63 and 130, and then on each vector a message that nothing caused."""
    vector, irq = prepare(bound)
    queues = range(bound.netif.queue_count[0])
    vectors = {*(receive_vector(bound, queue) for queue in queues), *range(1, 1 + 2 * len(queues))}
    with (
        polls.traced(bound, irq) as trace,
        bound.card.recording("InterruptSent", "RegisterWritten", "RxWriteBack") as seen,
    ):
        one_by_one(bound, seen, unanswered(bound, 7))
        for size in (63, 130):
            burst(bound, seen, QUEUE, unanswered(bound, size))
        calm(bound)
        for one in vectors:
            before = len(armings(seen, one))
            bound.card.fault("spurious_interrupt", vector=one)
            seen.wait(before + 1, kind="RegisterWritten", where=answers(one))
        calm(bound)
    names = polls.napis(bound, trace.records)
    completions = {name: polls.life(trace.records, name, 0) for name in names}
    true_returns = {name: sum(polls.values(steps, "completed")) for name, steps in completions.items()}
    armed = {one: len(armings(seen, one)) for one in vectors}
    busy = max(true_returns, key=lambda name: true_returns[name])
    works = [step.value for step in completions[busy] if step.kind == "poll"]
    evidence.note(
        guest={"true returns": list(true_returns.values()), "work of the busy NAPI": works},
        device={"EIMS writes": armed, "messages": len(messages(seen, vector))},
    )
    for name in names:
        steps = polls.life(trace.records, name, irq if name == busy else 0)
        assert polls.values(steps, "complete") == [work for work in polls.values(steps, "poll") if work < napi.BUDGET]
    assert polls.improper(polls.life(trace.records, busy, irq)) == []
    assert works[:11] == [1] * 7 + [63, 64, 64, 2]
    assert works[11:] == [0]
    assert true_returns[busy] == armed[vector] == len(messages(seen, vector))
    assert sorted(true_returns.values()) == sorted(armed.values())
