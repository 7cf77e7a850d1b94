# SPDX-License-Identifier: BSD-3-Clause
"""Byte queue limits keep queues apart, and keep the wait out of the card."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.checks.filling import FULL, own_queue
from harness.checks.mixing import cpu_owns_queue, wait_all_idle
from harness.checks.sending import CPU, QUEUE, pinned_sender, undisturbed, wait_idle
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.errors import NotSeen
from harness.lab import PEER_IPV4

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.checks.sending import Sender
    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Recording

QUEUES = range(4)
RING = 256
PATIENCE_S = 10.0
SLOWEST_MBPS = 1
ROUND_TRIP = re.compile(r"time=([\d.]+) ms")


def states(bound: Bound) -> dict[int, tuple[int, int]]:
    """Return limit and bytes in flight of every queue."""
    now = {queue: bound.netif.bql(queue) for queue in QUEUES}
    return {queue: (each.limit, each.inflight) for queue, each in now.items()}


def in_time(fact: Callable[[], bool]) -> bool:
    """Say whether ``fact`` came true within the patience of a check."""
    try:
        wait_until(lambda: fact() or None, Deadline.after(PATIENCE_S), "it", NotSeen)
    except NotSeen:
        return False
    return True


@claim("BQL-18")
def test_queue_whose_completions_are_withheld_leaves_the_others_alone(bound: Bound, evidence: Evidence) -> None:
    """Each queue has a limit of its own; queue 1 fills up and stops, then each of the others sends forty frames.

    While queue 1 fills nothing of the others may change; then they complete all of theirs while nothing of it does.
    """
    limits = {0: 4000, 1: 5000, 2: 6000, 3: 7000}
    undisturbed(bound)
    bound.netif.use_pfifo()
    with cpu_owns_queue(bound), bound.card.recording("TxDescriptor", "TxWriteBack") as seen:
        senders = {queue: pinned_sender(bound, queue, queue) for queue in QUEUES}
        for queue, sender in senders.items():
            bound.netif.set_bql(queue, limit_max=limits[queue], limit_min=limits[queue])
            sender.send(1, 60)
            wait_idle(bound, queue)
        before = states(bound)
        reported = count(seen, "TxWriteBack")
        bound.card.withhold_completions(QUEUE)
        senders[QUEUE].send(20, 900)
        full = limits[QUEUE] // 900 + 1
        in_time(lambda: states(bound)[QUEUE][1] == full * 900)
        filled = states(bound)
        for queue in QUEUES:
            if queue != QUEUE:
                senders[queue].send(40, 700)

        def reports() -> dict[int, int]:
            return {queue: count(seen, "TxWriteBack")[queue] - reported[queue] for queue in QUEUES}

        def idle() -> bool:
            others = [queue for queue in QUEUES if queue != QUEUE]
            return all(reports()[queue] == 40 and not states(bound)[queue][1] for queue in others)

        became_idle = in_time(idle)
        after, device = states(bound), reports()
        bound.card.release_completions(QUEUE)
        wait_idle(bound, QUEUE)
    evidence.note(guest={"before": before, "filled": filled, "after": after}, device={"reports meanwhile": device})
    assert before == {queue: (limit, 0) for queue, limit in limits.items()}
    assert filled == {**before, QUEUE: (limits[QUEUE], full * 900)}
    assert became_idle
    assert after == filled
    assert device == {queue: 0 if queue == QUEUE else 40 for queue in QUEUES}


def count(seen: Recording, kind: str) -> dict[int, int]:
    """Return how many events of ``kind`` each queue has had."""
    return {queue: len(seen.all(kind, lambda event, n=queue: event.queue == n)) for queue in QUEUES}  # type: ignore[misc]


def held_most(seen: Recording, start: int) -> int:
    """Return the most packets, each in one slot, that the card was told of on QUEUE and had not yet reported."""
    tail, done, most = start, start, 0
    for event in seen.all():
        if event.kind == "TxWriteBack" and event.queue == QUEUE:
            done = (event.index + 1) % RING
        elif event.kind == "RegisterWritten" and event.register == f"TDT[{QUEUE}]":
            tail = event.value
            most = max(most, (tail - done) % RING)
    return most


def bulk_and_ping(bound: Bound, sender: Sender, frames: int) -> tuple[int, float]:
    """Send a bulk of full frames and then an echo request on the same queue; return the backlog and the round trip."""
    sender.send(frames, FULL)
    backlog = bound.netif.qdisc_backlog()
    argv = ["ping", "-n", "-c", "1", "-W", "20", PEER_IPV4]
    said = bound.guest.agent.call("run", within_s=30.0, cpus=[CPU], argv=argv, seconds=25.0)["out"]
    found = ROUND_TRIP.search(said)
    assert found is not None, said
    return backlog, float(found[1])


@claim("BQL-21")
def test_bql_keeps_the_wait_out_of_the_card(bound: Bound, evidence: Evidence) -> None:
    """250 full frames on a link of 1 Mb/s, 12 ms each; an echo request overtakes in the qdisc (fq_codel) alone.

    Once BQL lets the card have three frames and the last one, once limit_min lets it have the whole ring.
    """
    limit, frames = 3 * FULL, 250
    undisturbed(bound)
    own_queue(bound)
    sender = pinned_sender(bound)
    story = {}
    with bound.peer.answering():
        for name, least, most in (("bql", 0, limit), ("limit_min", 1_000_000, 1_000_000)):
            bound.card.rate("auto")
            bound.netif.set_bql(QUEUE, limit_max=most, limit_min=least)
            sender.send(1, 60)
            wait_idle(bound, QUEUE)
            bound.card.rate(SLOWEST_MBPS)
            start = bound.card.register("TDT", QUEUE)
            with bound.card.recording("RegisterWritten", "TxWriteBack") as seen:
                backlog, round_trip = bulk_and_ping(bound, sender, frames)
                held = held_most(seen, start)
            story[name] = {"backlog": backlog, "ms": round_trip, "held": held}
            bound.card.rate("unlimited")
            wait_all_idle(bound)
    evidence.note(
        guest={name: {"backlog": told["backlog"], "round trip ms": told["ms"]} for name, told in story.items()},
        device={name: {"most packets in the card": told["held"]} for name, told in story.items()},
    )
    quick, slow = story["bql"], story["limit_min"]
    assert quick["held"] <= limit // FULL + 1
    assert quick["backlog"] > frames // 2 > slow["backlog"]
    assert slow["held"] > frames // 2
    assert quick["ms"] < slow["ms"]
