# SPDX-License-Identifier: BSD-3-Clause
"""The plot of a queue's limit: what it shows of which completions, and on which clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from harness.checks.clocks import Clocks
from harness.checks.dql_watch import Completion, busiest, picture
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


def lines(found: list[Completion], tmp_path: Path, *more: Any) -> dict[str, Line]:
    evidence = Evidence(tmp_path / "a", tmp_path)
    picture(evidence, "Limits", found, *more)
    [plot] = evidence.plots
    assert isinstance(plot, Series)
    return {line.name: line for line in plot.lines}


def test_the_story_is_one_that_the_oracle_tells_too() -> None:
    assert [each.mismatches() for each in story(1, 2, 3)] == [[], [], []]


def test_limit_flight_and_oracle_are_shown_at_every_completion(tmp_path: Path) -> None:
    shown = lines(story(10, 11, 15), tmp_path)
    assert list(shown) == ["in flight, says the guest", "limit", "limit, says the oracle"]
    assert shown["limit"] == Line("limit", Source.GUEST, (0.0, 1.0, 5.0), (1514, 4542, 10598), Look.STEPS)
    assert shown["limit, says the oracle"].y == shown["limit"].y
    assert shown["in flight, says the guest"].y == (1514, 0, 3028, 0, 6056, 0)


def test_what_the_card_holds_is_put_onto_the_guests_clock(tmp_path: Path) -> None:
    held = [(1 * MS, 700), (4 * MS, 3028), (6 * MS, 0), (20 * MS, 1514)]
    shown = lines(story(10, 11, 15), tmp_path, Clocks(8 * MS, 5000, 400), held)
    assert shown["in the card"] == Line("in the card", Source.DEVICE, (2.0, 4.0), (3028, 0), Look.AREA)
    assert "in the card" not in lines(story(10, 11, 15), tmp_path, None, held), "nobody knows where to put it"


def test_the_busiest_stretch_in_which_the_limit_moves_is_chosen() -> None:
    moving = story(0, 100, 200, 300)
    idle = [cast("Any", each) for each in story(0)] * 3
    still = [Completion(2, 0, (400 + n) * MS, 1, each.after, each.after) for n, each in enumerate(idle)]
    assert busiest([*moving, *still], 2) == moving[:2]
    assert busiest(moving, 10) == moving
