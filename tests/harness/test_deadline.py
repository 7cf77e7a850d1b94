# SPDX-License-Identifier: BSD-3-Clause
"""Waiting: for a fact, and for something that no longer changes."""

from __future__ import annotations

from itertools import chain, count, repeat

import pytest

from harness.deadline import Deadline, wait_still, wait_until
from harness.errors import LabBroken, NotSeen


def test_the_answer_of_the_look_that_found_something_is_returned() -> None:
    looks = iter([None, 0, "found", "too late"])
    assert wait_until(lambda: next(looks), Deadline.after(5), "finding") == "found"


def test_what_never_comes_ends_with_the_deadline_and_the_asked_for_error() -> None:
    with pytest.raises(NotSeen, match=r"the moon rising must happen within 0\.01 s"):
        wait_until(lambda: None, Deadline.after(0.01), "the moon rising", NotSeen)


@pytest.mark.parametrize("last", [7, 0])
def test_a_value_is_still_once_it_came_often_enough_in_a_row(last: int) -> None:
    values = chain([1, last, last, 2], repeat(last, 3), count(100))
    assert wait_still(lambda: next(values), 3, Deadline.after(5), "the values") == last


def test_a_value_that_always_moves_is_said_by_name() -> None:
    values = count()
    with pytest.raises(LabBroken, match="the clock standing still must happen within"):
        wait_still(lambda: next(values), 2, Deadline.after(0.02), "the clock")
