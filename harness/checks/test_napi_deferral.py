# SPDX-License-Identifier: BSD-3-Clause
"""Deferred interrupts: after work, timer polls come before the vector is armed (napi_defer_hard_irqs)."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.checks import polls
from harness.checks.bursts import armings, arms, calm, messages, one_by_one, unanswered
from harness.checks.test_napi import QUEUE, prepare
from harness.claims import claim
from harness.deadline import Deadline

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.guest.trace import Session
    from harness.lab import Bound

NS_PER_MS = 1_000_000
CLOCKS = 0.98
"""How much shorter an interval may look by another clock than by the one that measured it out."""

CASES = ((3, 20), (5, 6), (4, 0))
COUNT, PERIOD_MS = 30, 40
FRAMES, PAUSE = 5, 8


def defer(bound: Bound, count: int, period_ms: int) -> None:
    """Let ``count`` timer polls without work, ``period_ms`` apart, go before the interrupt, until the check is over."""
    bound.netif.set_file("napi_defer_hard_irqs", count)
    bound.netif.set_file("gro_flush_timeout", period_ms * NS_PER_MS)


def completions(steps: list[polls.Step]) -> list[tuple[int, int]]:
    """Return work and return value of each completion."""
    return list(zip(polls.values(steps, "complete"), polls.values(steps, "completed"), strict=True))


@claim("NAPI-11")
def test_the_timer_polls_before_the_vector_is_armed_again(bound: Bound, evidence: Evidence) -> None:
    """One frame at 3 polls 20 ms apart, at 5 polls 6 ms apart, and at 4 with a time of 0, which must defer nothing."""
    vector, irq = prepare(bound)
    told: dict[str, list[tuple[int, int]]] = {}
    gaps, held, sent = {}, {}, {}
    with (
        polls.traced(bound, irq) as trace,
        bound.card.recording("InterruptSent", "RegisterWritten", "FrameDelivered") as seen,
    ):
        for (count, period_ms), frame in zip(CASES, unanswered(bound, len(CASES)), strict=True):
            case = f"{count} polls of {period_ms} ms"
            defer(bound, count, period_ms)
            before = len(messages(seen, vector)), len(armings(seen, vector))
            one_by_one(bound, seen, [frame])
            calm(bound)
            records = trace.read()
            [name] = polls.napis(bound, records)
            steps = polls.life(records, name, irq)
            told[case] = completions(steps)
            ends = [step.t for step in steps if step.kind == "complete"]
            gaps[case] = [late - early for early, late in pairwise(ends)]
            [message] = messages(seen, vector)[before[0] :][:1]
            [armed] = armings(seen, vector)[before[1] :][:1]
            held[case] = armed.t_ns - message.t_ns
            sent[case] = len(messages(seen, vector)) - before[0], len(armings(seen, vector)) - before[1]
    evidence.note(
        guest={
            "(work, return) of each completion": told,
            "ms between them": {case: [gap // NS_PER_MS for gap in found] for case, found in gaps.items()},
        },
        device={
            "messages and EIMS writes": sent,
            "ms from message to EIMS": {case: held_ns // NS_PER_MS for case, held_ns in held.items()},
        },
    )
    for count, period_ms in CASES:
        case = f"{count} polls of {period_ms} ms"
        assert sent[case] == (1, 1)
        assert told[case] == ([(1, 0), *[(0, 0)] * (count - 1), (0, 1)] if period_ms else [(1, 1)])
        assert all(gap >= CLOCKS * period_ms * NS_PER_MS for gap in gaps[case])
        assert held[case] >= CLOCKS * count * period_ms * NS_PER_MS


def rested(bound: Bound, trace: Session, first: int, frames: int) -> bool:
    """Tell whether ``frames`` frames have been polled since record ``first``, and ``PAUSE`` polls were empty since."""
    works = [record["work"] for record in polls.polls(bound, trace.records[first:])]
    return sum(works) == frames and len(works) >= PAUSE and not any(works[-PAUSE:])


@claim("NAPI-12")
def test_a_frame_during_deferral_starts_the_count_anew(bound: Bound, evidence: Evidence) -> None:
    """Five frames, 8 timer polls of 40 ms apart: more polls than the 30 that would have armed the vector.

    Without deferral the same frames cost a message each. At the end the time is set to 0, so that nobody waits for 30;
    what came while the vector was masked is then announced by one message, which finds nothing left.
    """
    vector, irq = prepare(bound)
    frames = unanswered(bound, 2 * FRAMES)
    with (
        polls.traced(bound, irq) as trace,
        bound.card.recording("InterruptSent", "RegisterWritten", "FrameDelivered") as seen,
    ):
        one_by_one(bound, seen, frames[:FRAMES])
        calm(bound)
        plain = len(messages(seen, vector))
        trace.read()
        defer(bound, COUNT, PERIOD_MS)
        first = len(trace.records)
        for number, frame in enumerate(frames[FRAMES:]):
            bound.peer.send(frame)
            fact = partial(rested, bound, trace, first, number + 1)
            trace.read_until(fact, f"{PAUSE} polls without work after frame {number + 1}")
        early = len(armings(seen, vector)) - FRAMES
        bound.netif.set_file("gro_flush_timeout", 0)
        seen.wait(FRAMES + 1, Deadline.after(10), kind="RegisterWritten", where=lambda event: arms(event, vector))
        calm(bound)
    records = trace.records[first:]
    [name] = polls.napis(bound, records)
    steps = polls.life(records, name, irq)
    told = completions(steps)
    deferred = len(messages(seen, vector)) - plain
    written = [event.queue for event in seen.all("FrameDelivered")]
    evidence.note(
        guest={"(work, return) of each completion": told, "interrupts": len(polls.values(steps, "irq"))},
        device={"messages without and with deferral": [plain, deferred], "written back": len(written)},
    )
    assert written == [QUEUE] * 2 * FRAMES
    assert plain == FRAMES
    assert sum(work for work, _ in told) == FRAMES
    assert sum(not work for work, _ in told) > COUNT
    assert told[-2:] == [(0, 1), (0, 1)], "armed by the timer's poll, then the one message for what came while masked"
    assert not any(returned for _, returned in told[:-2])
    assert (early, deferred) == (0, 2)
    assert [step.kind for step in steps if step.kind in ("irq", "complete")].index("irq", 1) == len(told)
    assert len(polls.values(steps, "irq")) == 2
