# SPDX-License-Identifier: BSD-3-Clause
"""A schedule: a few moves made in one run of the workload; and the way to a smaller one that still does harm."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from harness.explore.moves import choose_move

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.explore.moves import Move, Shape

Schedule = tuple["Move", ...]
MOST_MOVES = 8


def schedule_of(seed: int, shape: Shape) -> Schedule:
    """Return the schedule with number ``seed``: one to eight moves."""
    dice = Random(seed)  # noqa: S311 - reproducible, not secret
    return tuple(choose_move(dice, shape) for _ in range(dice.randint(1, MOST_MOVES)))


def shrink(schedule: Schedule, harmful: Callable[[Schedule], bool]) -> Schedule:
    """Return a schedule from which no move can be taken, and in which none can do less, without losing the harm."""
    while True:
        for smaller in _smaller(schedule):
            if harmful(smaller):
                schedule = smaller
                break
        else:
            return schedule


def _smaller(schedule: Schedule) -> Iterator[Schedule]:
    """Yield what is one step smaller: halves first, then one move fewer, then one move that does less."""
    count = len(schedule)
    if count > 2:
        yield schedule[: count // 2]
        yield schedule[count // 2 :]
    if count > 1:
        for at in range(count):
            yield schedule[:at] + schedule[at + 1 :]
    for at, move in enumerate(schedule):
        for less in move.smaller():
            yield (*schedule[:at], less, *schedule[at + 1 :])
