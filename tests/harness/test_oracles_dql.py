# SPDX-License-Identifier: BSD-3-Clause
"""The oracle of dynamic queue limits against worked examples of the kernel's algorithm."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.oracles.dql import MAX_LIMIT, U32, Dql, after, posdiff, signed

FRAME = 1514


def fill(queue: Dql, size: int = FRAME, now: int = 0) -> int:
    packets = 1
    while not queue.queued(size, now):
        packets += 1
    return packets


def test_single_packets_raise_a_fresh_limit_to_what_each_needed() -> None:
    queue, limits = Dql(), []
    for size in (98, 98, 1514, 1514, 60):
        queue.queued(size)
        queue.completed(size, now=0)
        limits.append(queue.limit)
    assert limits == [98, 98, 1612, 1612, 1612]


def test_filling_until_stopped_and_completing_all_doubles_the_batch() -> None:
    queue, batches, limits = Dql(), [], []
    for now in range(5):
        batches.append(fill(queue))
        queue.completed(queue.inflight, now)
        limits.append(queue.limit)
    assert batches == [1, 2, 4, 8, 16]
    assert limits == [1514, 4542, 10598, 22710, 46934]


def test_completing_all_but_one_does_not_grow_the_limit() -> None:
    queue = Dql(limit=3 * FRAME, adj_limit=3 * FRAME)
    fill(queue)
    queue.completed(3 * FRAME, now=1)
    assert queue.limit == 3 * FRAME


def test_a_steady_stream_shrinks_by_the_least_slack_after_the_hold_time() -> None:
    queue = Dql(limit=100000, adj_limit=100000, slack_hold_time=250)
    fill(queue)
    changes = []
    for now in range(1, 800):
        before = queue.limit
        queue.completed(4 * FRAME, now)
        while queue.avail >= 0:
            queue.queued(FRAME)
        if queue.limit != before:
            changes.append((now, queue.limit))
    assert changes == [(251, 10674), (267, 12112), (518, 10598), (520, 12112), (771, 10598), (773, 12112)]


def test_the_hold_time_must_be_exceeded_not_reached() -> None:
    at, past = (Dql(limit=100000, adj_limit=100000, slack_hold_time=10) for _ in range(2))
    for queue, now in ((at, 10), (past, 11)):
        fill(queue)
        queue.completed(FRAME, 1)
        queue.completed(FRAME, now)
    assert (at.limit, past.limit < 100000) == (100000, True)


def test_reset_forgets_the_limit_but_not_the_adjusted_one() -> None:
    queue = Dql()
    for now in range(2):
        fill(queue)
        queue.completed(queue.inflight, now)
    queue.reset()
    assert (queue.limit, queue.inflight, queue.adj_limit) == (0, 0, 9084)
    assert [queue.queued(FRAME) for _ in range(7)] == [False] * 6 + [True]


def test_a_sum_equal_to_the_limit_does_not_stop_the_queue() -> None:
    queue = Dql(limit=3000, adj_limit=3000)
    assert [queue.queued(1500) for _ in range(3)] == [False, False, True]


def test_zero_bytes_completed_change_nothing() -> None:
    queue, untouched = (Dql(limit=5000, adj_limit=5000, num_queued=700) for _ in range(2))
    assert queue.completed(0, now=99) is False
    assert queue == untouched


def test_limits_clamp_at_the_next_completion_only() -> None:
    queue = Dql(limit=9000, adj_limit=9000)
    queue.queued(100)
    queue.max_limit = 3000
    assert queue.limit == 9000
    queue.completed(100, now=1)
    assert queue.limit == 3000
    queue.min_limit, queue.max_limit = 50000, MAX_LIMIT
    queue.queued(100)
    queue.completed(100, now=2)
    assert queue.limit == 50000


def test_one_completion_of_eight_is_not_eight_completions_of_one() -> None:
    at_once, one_by_one = Dql(limit=4 * FRAME, adj_limit=4 * FRAME), Dql(limit=4 * FRAME, adj_limit=4 * FRAME)
    for queue in (at_once, one_by_one):
        for _ in range(8):
            queue.queued(FRAME)
    at_once.completed(8 * FRAME, now=1)
    for _ in range(8):
        one_by_one.completed(FRAME, now=1)
    assert at_once.limit != one_by_one.limit


def test_completing_reports_the_wake_of_a_stopped_queue_only() -> None:
    queue = Dql(limit=FRAME, adj_limit=FRAME)
    queue.queued(100)
    assert queue.completed(100, now=1) is False
    fill(queue)
    assert queue.stopped
    assert queue.completed(queue.inflight, now=2) is True
    assert not queue.stopped


def test_completing_more_than_in_flight_is_refused_with_both_numbers() -> None:
    queue = Dql()
    queue.queued(100)
    with pytest.raises(ValueError, match="at most the 100 in flight, not 101"):
        queue.completed(101, now=0)


@settings(max_examples=40)
@given(
    start=st.integers(0, U32),
    sizes=st.lists(st.integers(60, 65000), min_size=1, max_size=30),
    releases=st.lists(st.integers(1, 100000), min_size=1, max_size=30),
)
def test_counters_that_wrap_behave_as_counters_that_do_not(start: int, sizes: list[int], releases: list[int]) -> None:
    plain = Dql()
    moved = Dql(num_queued=start, num_completed=start, prev_num_queued=start, adj_limit=start)
    for now, (size, most) in enumerate(zip(sizes, releases, strict=False)):
        assert plain.queued(size) == moved.queued(size)
        release = min(most, plain.inflight)
        assert plain.completed(release, now * 100) == moved.completed(release, now * 100)
        assert (plain.limit, plain.prev_ovlimit, plain.lowest_slack) == (
            moved.limit,
            moved.prev_ovlimit,
            moved.lowest_slack,
        )


def test_a_wait_beyond_the_threshold_is_one_stall() -> None:
    queue = Dql(stall_thrs=4, limit=100000, adj_limit=100000)
    queue.reset(now=1000)
    queue.adj_limit = 100000
    queue.queued(FRAME, now=1001)
    queue.completed(FRAME, now=1026)
    assert (queue.stall_cnt, queue.stall_max, queue.last_reap) == (1, 25, 1026)


@pytest.mark.parametrize(("sent", "done"), [(1001, 1003), (1024, 1025)])
def test_a_short_wait_or_a_late_send_is_no_stall(sent: int, done: int) -> None:
    queue = Dql(stall_thrs=4)
    queue.reset(now=1000)
    queue.queued(FRAME, now=sent)
    queue.completed(FRAME, now=done)
    assert (queue.stall_cnt, queue.stall_max) == (0, 0)


def test_sends_older_than_the_history_are_forgotten() -> None:
    queue = Dql(stall_thrs=100)
    queue.reset(now=0)
    queue.queued(FRAME, now=1)
    queue.queued(FRAME, now=1000)
    queue.completed(2 * FRAME, now=1010)
    assert queue.stall_cnt == 0


def test_arithmetic_is_that_of_32_bit_counters_and_64_bit_jiffies() -> None:
    assert (signed(U32), signed(1 << 31), signed(5)) == (-1, -(1 << 31), 5)
    assert (posdiff(3, U32), posdiff(U32, 3), posdiff(7, 7)) == (4, 0, 0)
    assert (after(2, (1 << 64) - 3), after((1 << 64) - 3, 2), after(9, 9)) == (True, False, False)
