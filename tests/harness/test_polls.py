# SPDX-License-Identifier: BSD-3-Clause
"""Traces that the checks of polling must accept, and traces that they must refuse."""

from __future__ import annotations

import doctest
from typing import TYPE_CHECKING

import pytest

from harness.checks.polls import Step, improper, overlaps, softirqs, turns
from harness.guest.ringbuffer import Record
from harness.oracles import napi, vectors

if TYPE_CHECKING:
    from collections.abc import Sequence


def life(*steps: tuple[str, int]) -> list[Step]:
    return [Step(kind, value, number, 0) for number, (kind, value) in enumerate(steps)]


ONE_FRAME = [("irq", 0), ("complete", 1), ("completed", 1), ("poll", 1)]
MISSED = [("irq", 0), ("poll", 64), ("irq", 0), ("complete", 3), ("completed", 0), ("poll", 3)]
AND_AGAIN = [("complete", 0), ("completed", 1), ("poll", 0)]


@pytest.mark.parametrize("steps", [ONE_FRAME, ONE_FRAME * 2, [*MISSED, *AND_AGAIN]])
def test_a_life_as_the_kernel_makes_it_is_accepted(steps: Sequence[tuple[str, int]]) -> None:
    assert improper(life(*steps)) == []


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([("irq", 0), ("complete", 1), ("completed", 0), ("poll", 1)], "returned 0, missed is False"),
        ([("irq", 0), ("irq", 0), ("complete", 1), ("completed", 1), ("poll", 1)], "returned 1, missed is True"),
        ([("irq", 0), ("poll", 1)], "a poll of 1 completed as []"),
        ([("irq", 0), ("complete", 2), ("completed", 1), ("poll", 1)], "a poll of 1 completed as [(2, 1)]"),
        ([("irq", 0), ("complete", 64), ("completed", 1), ("poll", 64)], "a poll of 64 completed as [(64, 1)]"),
        ([("poll", 64)], "a NAPI that nothing scheduled was polled"),
    ],
)
def test_an_impossible_life_is_refused(steps: Sequence[tuple[str, int]], words: str) -> None:
    assert any(words in sentence for sentence in improper(life(*steps)))


def record(name: str, cpu: int = 0, **fields: object) -> Record:
    return Record(name, cpu, 0, 0, "", 0, fields)


def test_polls_are_told_apart_by_softirq_cpu_and_interface() -> None:
    def poll(napi_at: int, work: int, cpu: int = 0, name: str = "eth0") -> Record:
        return record("napi:napi_poll", cpu, napi=napi_at, work=work, dev_name=name)

    entry, leave = (record(f"irq:softirq_{what}", vec=3) for what in ("entry", "exit"))
    other = record("irq:softirq_entry", vec=1)
    trace = [entry, poll(1, 64), other, poll(2, 3), poll(9, 1, name="mgmt0"), poll(8, 1, cpu=1), leave, entry]
    trace += [poll(1, 5), leave, entry, leave]
    assert softirqs(trace, 0, "eth0") == [[(1, 64), (2, 3)], [(1, 5)]]


def test_a_napi_that_is_polled_again_after_a_full_poll_is_named() -> None:
    assert napi.repeats_after_full([("a", 64), ("b", 64), ("a", 1)]) == ["a"]


def test_the_examples_of_the_vector_map_hold() -> None:
    assert doctest.testmod(vectors).failed == 0


def turn(at: int, cpu: int, napi_at: int | None = None, done: int | None = None) -> Record:
    name, fields = ("ig:pollr", {"ret": 0}) if napi_at is None else ("ig:poll", {"napi": napi_at})
    if done is not None:
        name, fields = "n:cdr", {"ret": done}
    return Record(name, cpu, at, 0, "", 0, fields)


def test_turns_are_told_apart_by_napi_and_cpu() -> None:
    trace = [turn(1, 0, 7), turn(2, 1, 8), turn(3, 0), turn(4, 0, 8), turn(5, 1), turn(6, 0), turn(7, 2)]
    assert turns(trace) == {7: [(1, 3, 0)], 8: [(2, 5, 1), (4, 6, 0)]}


def test_a_turn_ends_when_the_napi_is_completed() -> None:
    trace = [
        turn(1, 0, 7),
        turn(2, 0, done=0),
        turn(3, 0),
        turn(4, 0, 7),
        turn(5, 0, done=1),
        turn(6, 1, 7),
        turn(7, 0),
    ]
    assert turns([*trace, turn(7, 0), turn(8, 1)]) == {7: [(1, 3, 0), (4, 5, 0), (6, 8, 1)]}


def test_turns_on_two_cpus_at_once_are_refused() -> None:
    assert overlaps([(1, 3, 0), (3, 5, 1), (6, 7, 0)]) == []
    [sentence] = overlaps([(2, 9, 1), (4, 6, 0), (9, 10, 0)])
    assert sentence == "CPU 0 entered at 4, and CPU 1 left at 9 only"
    assert len(overlaps([(2, 9, 1), (4, 6, 0), (7, 8, 2)])) == 2
