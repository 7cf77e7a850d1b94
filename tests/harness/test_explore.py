# SPDX-License-Identifier: BSD-3-Clause
"""Schedules: chosen by number, written as text and read, made of rules that a card takes, shrunk to what matters."""

from __future__ import annotations

import pytest

from emulator.rules.rule import parse_rule
from harness.errors import UsageError
from harness.explore.moves import (
    KINDS,
    LIMIT_US,
    GatherCompletions,
    LateInterrupt,
    MergeInterrupts,
    Shape,
    TrickleCompletions,
    move_of,
    text_of,
)
from harness.explore.schedule import MOST_MOVES, Schedule, schedule_of, shrink

SHAPE = Shape(4, (1, 2, 3, 4), 300)
MANY = [move for seed in range(200) for move in schedule_of(seed, SHAPE)]


def test_a_number_is_always_the_same_schedule_and_all_kinds_come() -> None:
    assert schedule_of(7, SHAPE) == schedule_of(7, SHAPE) != schedule_of(8, SHAPE)
    assert {type(move) for move in MANY} == set(KINDS.values())
    assert {len(schedule_of(seed, SHAPE)) for seed in range(200)} == set(range(1, MOST_MOVES + 1))


def test_a_move_is_written_as_it_is_read() -> None:
    assert [move_of(text_of(move)) for move in MANY] == MANY
    assert text_of(GatherCompletions(1, 290, 129)) == "gather-completions queue=1 at=290 frames=129"


def test_every_rule_of_a_move_is_one_that_a_card_takes_and_ends_in_time() -> None:
    for move in MANY:
        begin, *ends = (parse_rule(text, 1) for text in move.rules())
        assert begin.action.name in ("hold_interrupts", "withhold_completions")
        assert all(end.action.name.startswith("release_") for end in ends)
        assert 0 < max(end.delay_us for end in ends) <= LIMIT_US


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "a move must be one of gather-completions"),
        ("sleep long=1", "a move must be one of gather-completions, .*, not 'sleep'"),
        ("late-interrupt vector=1", "late-interrupt must have vector=N, at=N, delay_us=N, not"),
        ("late-interrupt vector=1 at=2 delay_us=soon", "late-interrupt must have vector=N"),
        ("late-interrupt vector=1 at=2 delay_us=-3", "late-interrupt must have vector=N"),
        ("late-interrupt vector=1 at=2 delay_us=3 more=4", "late-interrupt must have vector=N"),
        ("late-interrupt vector", "late-interrupt must have vector=N"),
    ],
)
def test_a_move_that_is_none_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        move_of(text)


def test_shrinking_keeps_what_does_harm_and_nothing_else() -> None:
    guilty = MergeInterrupts(2, 100, 200)
    schedule = (LateInterrupt(1, 5, 2000), guilty, TrickleCompletions(0, 9, 4), LateInterrupt(3, 5, 20), guilty)
    tried: list[Schedule] = []

    def harmful(smaller: Schedule) -> bool:
        tried.append(smaller)
        return any(isinstance(move, MergeInterrupts) and move.causes >= 32 for move in smaller)

    assert shrink(schedule, harmful) == (MergeInterrupts(2, 100, 32),)
    assert len(tried) < 30


def test_harm_that_needs_two_moves_keeps_both() -> None:
    pair = (LateInterrupt(1, 1, 20), GatherCompletions(0, 1, 2))
    schedule = (LateInterrupt(4, 1, 20), *pair, LateInterrupt(3, 1, 20))
    assert shrink(schedule, lambda smaller: set(pair) <= set(smaller)) == pair
