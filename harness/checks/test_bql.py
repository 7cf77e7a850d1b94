# SPDX-License-Identifier: BSD-3-Clause
"""Byte queue limits from outside: the card withholds completions and releases them by script; sysfs must follow."""

from __future__ import annotations

import random
from itertools import accumulate
from typing import TYPE_CHECKING

import pytest

from harness.checks.filling import FULL, filling
from harness.checks.sending import tails
from harness.claims import claim
from harness.plots import Line, Look, Source

if TYPE_CHECKING:
    from harness.checks.filling import Filling
    from harness.evidence import Evidence
    from harness.lab import Bound

SEEDS = (82576, 576)
STEPS = 14


def complete_all(queue: Filling) -> tuple[int, int]:
    """Complete all that is in flight with one message; return how many packets that were, and the limit now."""
    count = len(queue.twin.flying)
    queue.release(count)
    return count, queue.expect().limit


@claim("BQL-03")
def test_lone_packets_raise_the_limit_as_predicted(bound: Bound, evidence: Evidence) -> None:
    """A size twice in a row, and one below the limit, neither of which may move it; numbers worked out by hand."""
    limits = []
    with filling(bound) as queue:
        before = queue.messages()
        for size in (98, 98, FULL, FULL, 60):
            queue.send(size)
            queue.expect()
            limits.append(complete_all(queue)[1])
        sent = queue.messages() - before
        evidence.note(guest={"limits": limits}, device={"messages": sent, "bytes": queue.handed_over()})
    assert limits == [98, 98, 1612, 1612, 1612]
    assert sent == len(limits)


@claim("BQL-03")
@pytest.mark.parametrize("seed", SEEDS)
def test_random_scripts_move_the_limit_as_predicted(bound: Bound, evidence: Evidence, seed: int) -> None:
    """14 steps that send 1 to 9 packets of any size or release some of those in flight, one message for each release.

    After every step the limit, the bytes in flight and the packets that the card holds are the oracle's.
    """
    pick = random.Random(seed)  # noqa: S311 - a reproducible choice, not a secret
    limits: list[int] = []
    predicted: list[int] = []
    releases = 0
    with filling(bound) as queue:
        before = queue.messages()
        for _ in range(STEPS):
            if queue.twin.flying and pick.random() < 0.5:
                queue.release(pick.randint(1, len(queue.twin.flying)))
                releases += 1
            else:
                queue.send(*(pick.choice((60, pick.randint(22, FULL), FULL)) for _ in range(pick.randint(1, 9))))
            limits.append(queue.expect(f"after step {len(limits)} of {seed}").limit)
            predicted.append(queue.twin.dql.limit)
        sent = queue.messages() - before
        evidence.note(guest={"limits": limits}, device={"messages": sent, "releases": releases})
    assert limits == predicted
    assert sent == releases
    assert len(set(limits)) > 3, "a script that moves nothing proves nothing"


@claim("BQL-04")
@pytest.mark.parametrize(
    ("limit", "sizes"),
    [
        (2 * FULL - 1, [FULL] * 5),
        (2 * FULL, [FULL] * 5),
        (2 * FULL + 1, [FULL] * 5),
        (2000, [700, 1300, 60, 700]),
        (2000, [700, 1299, 60, 700]),
        (1999, [700, 1300, 60, 700]),
    ],
)
def test_queue_stops_at_the_packet_that_exceeds_the_limit(
    bound: Bound, evidence: Evidence, limit: int, sizes: list[int]
) -> None:
    """Sums one below, at and one above the limit: only a sum that exceeds it stops the queue."""
    with filling(bound) as queue:
        queue.raise_limit(limit)
        before, rung = len(queue.handed_over()), len(tails(queue.seen, queue.queue))
        queue.send(*sizes)
        queue.expect()
        accepted = len(queue.handed_over()) - before
        waiting = bound.netif.qdisc_backlog()
        evidence.note(
            guest={"waiting in the qdisc": waiting, "in flight": queue.guest().inflight},
            device={"packets accepted": accepted, "tail writes": len(tails(queue.seen, queue.queue)) - rung},
        )
    exceeding = [count for count, total in enumerate(accumulate(sizes), 1) if total > limit]
    assert accepted == exceeding[0]
    assert waiting == len(sizes) - accepted


@claim("BQL-06")
@pytest.mark.four_queues
def test_in_flight_is_what_the_card_withholds_and_zero_at_last(bound: Bound, evidence: Evidence) -> None:
    """20 packets of as many sizes, released in unequal groups: one forgotten or counted twice shows by its size."""
    pick = random.Random(6)  # noqa: S311 - a reproducible choice, not a secret
    sizes = pick.sample(range(22, FULL + 1), 20)
    story = []
    with filling(bound) as queue:
        queue.raise_limit(1_000_000)
        before = len(queue.handed_over())
        queue.send(*sizes)
        story.append(queue.expect().inflight)
        for count in (1, 7, 2, 9):
            queue.release(count)
            story.append(queue.expect().inflight)
        withheld = queue.handed_over()[before:]
        queue.finish()
        idle = [bound.netif.bql(number).inflight for number in range(bound.netif.queue_count[1])]
        evidence.note(guest={"in flight": story, "at last": idle}, device={"withheld": withheld})
    assert withheld == sizes
    assert story == [sum(sizes[at:]) for at in (0, 1, 8, 10, 19)]
    assert idle == [0] * 4


@claim("BQL-08")
def test_limit_doubles_while_the_queue_runs_dry(bound: Bound, evidence: Evidence) -> None:
    """Full frames, always as many as the queue takes, completed all at once; numbers worked out by hand.

    In the last round one packet stays behind: a queue that has not run dry must not grow.
    """
    with filling(bound) as queue:
        queue.send(*[FULL] * 90)
        queue.expect()
        rounds, limits, held = [], [queue.expect().limit], [sum(queue.handed_over())]
        predicted = [queue.twin.dql.limit]
        for _ in range(5):
            rounds.append(complete_all(queue))
            limits.append(rounds[-1][1])
            predicted.append(queue.twin.dql.limit)
            held.append(sum(queue.handed_over()[queue.reported() :]))
        queue.release(31)
        kept = queue.expect().limit
        turns = tuple(range(len(limits)))
        evidence.series(
            "A byte limit that doubles while the queue runs dry",
            (
                Line("bytes held by the card", Source.DEVICE, turns, tuple(held), Look.POINTS),
                Line("limit in sysfs", Source.GUEST, turns, tuple(limits), Look.STEPS),
                Line("limit of the oracle", Source.ORACLE, turns, tuple(predicted), Look.STEPS),
            ),
            x="completions of all that is in flight",
            y="bytes",
        )
        evidence.note(
            guest={"limits": [limit for _, limit in rounds], "one kept back": kept},
            device={"packets accepted": [count for count, _ in rounds], "in flight": len(queue.twin.flying)},
        )
    assert [count for count, _ in rounds] == [1, 2, 4, 8, 16]
    assert [limit for _, limit in rounds] == [1514, 4542, 10598, 22710, 46934]
    assert kept == rounds[-1][1]


@claim("BQL-10")
def test_clamps_and_written_limits_act_at_the_next_completion(bound: Bound, evidence: Evidence) -> None:
    """Each value lies beyond the limit in force, and packets wait that a limit in force at once would let go."""
    story = []
    with filling(bound) as queue:
        queue.raise_limit(10 * FULL)
        queue.send(*[FULL] * 60)
        queue.expect()
        for name, value in (("limit_max", 3000), ("limit_max", 80_000), ("limit_min", 50_000), ("limit", 60_000)):
            before = queue.handed_over()
            queue.set_limits(**{name: value})
            shown = queue.expect("after writing a limit").limit
            assert queue.handed_over() == before, "writing must not let packets go"
            queue.release(2)
            story.append((name, value, shown, queue.expect().limit, queue.twin.dql.limit))
        evidence.note(
            guest=[{"file": n, "written": v, "limit before": b, "limit after": a} for n, v, b, a, _ in story],
            device={"packets released each time": 2, "handed over": len(queue.handed_over())},
        )
    assert [after for *_, after, _ in story] == [predicted for *_, predicted in story]
    (_, _, first, small, _), (_, _, second, grown, _), (_, _, third, raised, _), (_, _, fourth, last, _) = story
    assert (first, small, second, third) == (10 * FULL, 3000, 3000, grown)
    assert grown < raised == 50_000
    assert fourth == 60_000 <= last
