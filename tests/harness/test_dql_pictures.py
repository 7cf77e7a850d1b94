# SPDX-License-Identifier: BSD-3-Clause
"""The plot of a queue's limit: what it shows of which completions, and on which clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.checks.clocks import Clocks
from harness.checks.dql_watch import FLIGHT, HELD, LIMIT, PREDICTED, Completion, picture_in_time, picture_in_turns
from harness.evidence import Evidence
from harness.guest.dql_probes import BEFORE
from harness.oracles.dql import Dql
from harness.plots import Line, Look, Series, Source

if TYPE_CHECKING:
    from pathlib import Path

MS = 1_000_000


def fields(twin: Dql, jiffy: int) -> dict[str, Any]:
    return {"jif": jiffy, **{name: getattr(twin, member) for name, member in BEFORE.items()}}


def story(*times_ms: int) -> list[Completion]:
    """Return completions of full frames at these times: as many as the queue takes, all completed at once."""
    twin, found = Dql(slack_hold_time=1 << 40), []
    for number, t_ms in enumerate(times_ms):
        while twin.queued(1514) is False:
            pass
        before, count = fields(twin, number), twin.inflight
        twin.completed(count, number)
        twin.stopped = False
        found.append(Completion(2, count, t_ms * MS, 1, before, fields(twin, number)))
    return found


def lines(evidence: Evidence) -> dict[str, Line]:
    [plot] = evidence.plots
    assert isinstance(plot, Series)
    return {line.name: line for line in plot.lines}


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return Evidence(tmp_path / "a", tmp_path)


def test_the_story_is_one_that_the_oracle_tells_too() -> None:
    assert [each.mismatches() for each in story(1, 2, 3)] == [[], [], []]


def test_limit_flight_and_oracle_are_shown_over_time(evidence: Evidence) -> None:
    picture_in_time(evidence, "Limits", story(10, 11, 15))
    shown = lines(evidence)
    assert list(shown) == [FLIGHT, LIMIT, PREDICTED]
    assert shown[LIMIT] == Line(LIMIT, Source.GUEST, (0.0, 1.0, 5.0), (1514, 4542, 10598), Look.STEPS)
    assert shown[PREDICTED].y == shown[LIMIT].y
    assert (shown[FLIGHT].x, shown[FLIGHT].y) == ((0, 0, 1, 1, 5, 5), (1514, 0, 3028, 0, 6056, 0))


def test_what_the_card_held_most_is_told_for_the_time_since_the_completion_before(evidence: Evidence) -> None:
    held = [(1 * MS, 700), (2 * MS, 0), (3 * MS - 10, 1514), (4 * MS, 3028), (6 * MS, 60), (20 * MS, 9999)]
    picture_in_turns(evidence, "Limits", story(10, 11, 15), Clocks(8 * MS, 5000, 400), held)
    shown = lines(evidence)
    assert shown[HELD] == Line(HELD, Source.DEVICE, (1, 2, 3), (700, 1514, 3028), Look.AREA)
    assert shown[FLIGHT].y == (1514, 3028, 6056)
    assert shown[LIMIT].x == (1, 2, 3)


def test_without_clocks_nobody_knows_when_the_card_held_what(evidence: Evidence) -> None:
    picture_in_turns(evidence, "Limits", story(10, 11, 15), None, [(1 * MS, 700)])
    assert list(lines(evidence)) == [FLIGHT, LIMIT, PREDICTED]
