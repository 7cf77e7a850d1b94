# SPDX-License-Identifier: BSD-3-Clause
"""The twin of a stopped queue: what goes, what waits, and what a cleaned ring leaves."""

from __future__ import annotations

from collections import deque

import pytest

from harness.oracles.stopping import Twin

FULL = 1514


def test_packet_that_exceeds_the_limit_goes_and_the_next_waits() -> None:
    twin = Twin()
    assert twin.send(100, 200, 300) == 1
    assert (list(twin.flying), list(twin.backlog)) == ([100], [200, 300])


def test_completion_lets_go_what_the_new_limit_has_room_for() -> None:
    twin = Twin()
    twin.send(*[FULL] * 10)
    assert [twin.complete(len(twin.flying)) for _ in range(3)] == [2, 4, 3]
    assert (twin.dql.limit, len(twin.backlog)) == (10598, 0)


def test_too_small_a_completion_lets_nothing_go() -> None:
    twin = Twin()
    twin.dql.limit = twin.dql.adj_limit = 3000
    twin.send(100, FULL, FULL, FULL)
    assert (twin.complete(1), twin.complete(1)) == (0, 1)


def test_cleaned_ring_keeps_the_stop_of_before() -> None:
    twin = Twin()
    twin.send(*[FULL] * 7)
    twin.complete(1)
    twin.complete(2)
    assert twin.dql.adj_limit == 9084
    twin.reset()
    assert (twin.dql.limit, twin.dql.inflight, len(twin.flying)) == (0, 0, 0)
    assert twin.send(*[FULL] * 12) == 7


def test_more_than_flies_cannot_be_completed() -> None:
    with pytest.raises(ValueError, match="must be 0 to 1, not 2"):
        Twin(flying=deque([60])).complete(2)
