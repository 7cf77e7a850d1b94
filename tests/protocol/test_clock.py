# SPDX-License-Identifier: BSD-3-Clause
"""Timers of the emulator, by hand-cranked time and by the host's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from emulator.clock import MonotonicClock


class Hands:
    def __init__(self) -> None:
        self.now = 1_000

    def __call__(self) -> int:
        return self.now


def test_calls_run_in_order_of_time_and_then_of_request() -> None:
    hands, said = Hands(), []
    clock = MonotonicClock(hands)
    for when, word in ((3_000, "c"), (2_000, "a"), (3_000, "d"), (2_500, "b")):
        clock.call_at(when, lambda word=word: said.append(word))  # type: ignore[misc]
    assert clock.next_deadline_ns() == 2_000
    assert clock.run_due() == 0
    hands.now = 2_999
    assert clock.run_due() == 2
    hands.now = 3_000
    assert clock.run_due() == 2
    assert said == ["a", "b", "c", "d"]
    assert clock.next_deadline_ns() is None


def test_a_cancelled_call_is_not_made_and_sets_no_deadline() -> None:
    hands, said = Hands(), []
    clock = MonotonicClock(hands)
    first = clock.call_at(2_000, lambda: said.append(1))
    clock.call_at(5_000, lambda: said.append(2))
    first.cancel()
    assert clock.next_deadline_ns() == 5_000
    hands.now = 5_000
    clock.run_due()
    first.cancel()
    assert said == [2]


def test_a_call_can_cancel_another_that_is_due_with_it() -> None:
    hands, said = Hands(), []
    clock = MonotonicClock(hands)

    def first() -> None:
        second.cancel()
        said.append(1)

    clock.call_at(2_000, first)
    second = clock.call_at(2_000, lambda: said.append(2))
    hands.now = 2_000
    clock.run_due()
    assert said == [1]


def test_a_call_for_the_past_waits_for_the_next_round() -> None:
    hands, said = Hands(), []
    clock = MonotonicClock(hands)

    def again() -> None:
        said.append(hands.now)
        clock.call_at(0, again)

    clock.call_at(0, again)
    assert said == [], "never from inside call_at"
    clock.run_due()
    assert said == [1_000]
    clock.run_due()
    assert said == [1_000, 1_000]


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans())), st.lists(st.integers(1, 20), max_size=6))
def test_every_call_runs_once_and_never_early(wanted: list[tuple[int, bool]], steps: list[int]) -> None:
    hands = Hands()
    hands.now = 0
    clock = MonotonicClock(hands)
    ran: list[tuple[int, int]] = []
    for number, (when, cancelled) in enumerate(wanted):
        timer = clock.call_at(when, lambda number=number: ran.append((number, hands.now)))  # type: ignore[misc]
        if cancelled:
            timer.cancel()
    for step in [*steps, 60]:
        hands.now += step
        clock.run_due()
    assert sorted(number for number, _ in ran) == [n for n, (_, cancelled) in enumerate(wanted) if not cancelled]
    assert all(at >= wanted[number][0] for number, at in ran)


def test_the_hosts_time_only_goes_forward() -> None:
    clock = MonotonicClock()
    assert 0 < clock.now_ns() <= clock.now_ns()
