# SPDX-License-Identifier: BSD-3-Clause
"""Where a queue stops: what that does to the doorbell, how much a bulk may hold, and the driver's stop beside BQL's."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import pytest

from harness.checks.bursts import armings, arms, transmit_vector
from harness.checks.filling import FULL, NEVER_MS, filling, own_queue
from harness.checks.generating import generator
from harness.checks.mixing import wait_all_idle
from harness.checks.sending import (
    QUEUE,
    pinned_sender,
    steps,
    tails,
    undisturbed,
    wait_idle,
    wait_tail,
)
from harness.claims import claim
from harness.errors import NotSeen
from harness.oracles import transmit
from harness.oracles.stopping import bulks

if TYPE_CHECKING:
    from harness.checks.filling import Filling
    from harness.checks.sending import Sender
    from harness.evidence import Evidence
    from harness.guest.trace import Session
    from harness.lab import Bound

RING, SMALL_RING, LARGE_RING = 256, 64, 4096
DEQUEUE = "qdisc:qdisc_dequeue"
DRIVER, STACK = 1, 2
"""Bits of netdev_queue.state: __QUEUE_STATE_DRV_XOFF and __QUEUE_STATE_STACK_XOFF."""

SHORT = 60


def stopped_by(trace: Session, sender: Sender) -> int:
    """Return the two stop bits of a stopped queue, which has a packet that waits to be offered again already.

    One more frame makes the qdisc look at the queue (dequeue_skb), which tells its state; the frame waits. A queue that
    runs takes the frame without such a look: 0.
    """
    trace.read()
    trace.records.clear()
    sender.send(1, SHORT)
    try:
        told = trace.read_until(lambda: looks(trace, sender), "the qdisc looking at the queue", seconds=5.0)
    except NotSeen:
        return 0
    return told[-1] & (DRIVER | STACK)


def looks(trace: Session, sender: Sender) -> list[int]:
    """Return txq_state of each look at a stopped queue from the sender's CPU."""
    return [r["txq_state"] for r in trace.named(DEQUEUE) if r.cpu == sender.cpu and not r["skbaddr"]]


def fix_limit(bound: Bound, sender: Sender, limit: int) -> None:
    """Bring the limit of an idle queue to ``limit`` and let nothing but a write of limit_max or limit_min move it."""
    bound.netif.set_bql(sender.queue, limit_max=limit, limit_min=limit, hold_time=NEVER_MS)
    sender.send(1, SHORT)
    wait_idle(bound, sender.queue)
    assert bound.netif.bql(sender.queue).limit == limit


def stoppable(bound: Bound, limit: int) -> Sender:
    """Return a sender whose queue nobody else uses, under a ``limit`` that stays."""
    undisturbed(bound)
    own_queue(bound)
    bound.netif.use_pfifo()
    sender = pinned_sender(bound)
    fix_limit(bound, sender, limit)
    return sender


@claim("BQL-16")
def test_packet_that_stops_the_queue_is_announced_at_once(bound: Bound, evidence: Evidence) -> None:
    """Fifty frames of pktgen belong together, and the seventh of 300 bytes exceeds a limit of 2000.

    So the tail moves by seven where it would have by 50; while the stop lasts, which pktgen does not heed, each packet
    is announced by itself. Without the limit the same burst moves the tail once, which the same judgement must refuse.
    """
    limit, size, burst = 2000, 300, 50
    sender = stoppable(bound, limit)
    pktgen = generator(bound, count=burst, size=size, burst=burst)
    moved: list[list[int]] = []
    story = []
    for stopping in (True, False):
        if not stopping:
            fix_limit(bound, sender, 1_000_000)
        start = bound.card.register("TDT", QUEUE)
        bound.card.withhold_completions(QUEUE)
        with bound.guest.trace.session(DEQUEUE) as trace, bound.card.recording("RegisterWritten") as seen:
            running = pktgen.start()
            wait_tail(bound, QUEUE, (start + burst) % RING)
            if stopping:
                sender.send(1, SHORT)
                state = stopped_by(trace, sender)
            moved.append(list(steps(start, tails(seen, QUEUE), RING)))
            story.append({"sent": pktgen.so_far(), "in flight": bound.netif.bql(QUEUE).inflight})
        bound.card.release_completions(QUEUE)
        pktgen.wait_done(running)
        wait_all_idle(bound)
    evidence.note(guest={"txq_state": state, "with and without the limit": story}, device={"steps of the tail": moved})
    stop = limit // size + 1
    assert state == STACK
    assert moved[0] == [stop] + [1] * (burst - stop)
    assert moved[1] == [burst]
    assert [told["in flight"] for told in story] == [burst * size] * 2


def bulks_of(trace: Session, queue: Filling) -> list[list[int]]:
    """Return the bytes of the packets of each bulk since the last call."""
    fresh = [record for record in trace.read() if record.cpu == queue.sender.cpu]
    counts = [record["packets"] for record in fresh if record.name == DEQUEUE and record["skbaddr"]]
    lengths = [r["len"] for r in fresh if r.name == "net:net_dev_start_xmit" and r["queue_mapping"] == queue.queue]
    ends = [0, *accumulate(counts)]
    assert ends[-1] == len(lengths)
    return [lengths[begin:end] for begin, end in pairwise(ends)]


@claim("BQL-17")
def test_bulk_takes_no_more_than_was_available_and_the_last_packet(bound: Bound, evidence: Evidence) -> None:
    """60 packets of unequal sizes wait; each release makes another number of bytes available, once to the very byte.

    Every bulk is the oracle's, packet by packet, and each is one step of the tail.
    """
    sizes = [700, 1300, SHORT, FULL, 200, 1000] * 10
    seen: list[list[int]] = []
    predicted: list[list[int]] = []
    available = []
    with filling(bound) as queue, bound.guest.trace.session(DEQUEUE, "net:net_dev_start_xmit") as trace:
        queue.raise_limit(3 * FULL)
        queue.send(*sizes)
        queue.expect()
        trace.read()
        start = tails(queue.seen, QUEUE)[-1]
        rung = len(tails(queue.seen, QUEUE))
        for count in (1, 2, 4, 3, 5, 7):
            twin = queue.twin
            waiting = list(twin.backlog)
            queue.release(count)
            available.append(twin.dql.avail + sum(waiting) - sum(twin.backlog))
            predicted += bulks(available[-1], waiting)
            queue.expect(f"after releasing {count}")
            seen += bulks_of(trace, queue)
        moved = list(steps(start, tails(queue.seen, QUEUE)[rung:], RING))
        evidence.note(guest={"bulks": seen, "available": available}, device={"steps of the tail": moved})
    assert seen == predicted
    assert moved == [len(bulk) for bulk in seen]
    assert max(moved) > 3, "bulks of one packet prove nothing"


@claim("BQL-17")
def test_bulk_of_a_qdisc_for_all_queues_does_not_ask_what_is_available(bound: Bound, evidence: Evidence) -> None:
    """The same wait in one qdisc over all queues (no TCQ_F_ONETXQUEUE): nine packets go where there is room for one."""
    limit = 2 * FULL - 1
    sender = stoppable(bound, limit)
    bound.netif.tc("qdisc", "replace", "dev", bound.netif.name, "root", "pfifo", "limit", "100")
    bound.card.withhold_completions(QUEUE)
    start = bound.card.register("TDT", QUEUE)
    with bound.guest.trace.session(DEQUEUE) as trace, bound.card.recording("RegisterWritten") as seen:
        sender.send(30, FULL)
        wait_tail(bound, QUEUE, (start + 2) % RING)
        trace.read()
        trace.records.clear()
        bound.card.release_completions(QUEUE, 2)

        def large() -> list[int]:
            return [r["packets"] for r in trace.named(DEQUEUE) if r["skbaddr"] and r["packets"] > 1]

        taken = trace.read_until(large, "a bulk leaving the qdisc")
        moved = list(steps(start, tails(seen, QUEUE), RING))
        evidence.note(guest={"packets of a bulk": taken, "limit": limit}, device={"steps of the tail": moved})
    bound.card.release_completions(QUEUE)
    wait_idle(bound, QUEUE)
    assert max(taken) * FULL > limit + FULL
    assert sum(moved) >= 2 + max(taken)


@claim("BQL-20")
@pytest.mark.parametrize(
    ("ring", "size", "stop", "accepted"),
    [(SMALL_RING, SHORT, DRIVER, 43), (LARGE_RING, FULL, STACK, 7)],
    ids=["small packets in a small ring", "large packets in a large ring"],
)
def test_whichever_stop_comes_first_stops_the_queue(
    bound: Bound, evidence: Evidence, ring: int, size: int, stop: int, accepted: int
) -> None:
    """The limit, 10000 bytes, is the same: 43 packets of 60 are far below it, seven of 1514 exceed it."""
    bound.netif.settings.set_rings(tx=ring)
    bound.netif.wait_carrier()
    sender = stoppable(bound, 10_000)
    bound.card.withhold_completions(QUEUE)
    start = bound.card.register("TDT", QUEUE)
    with bound.guest.trace.session(DEQUEUE) as trace, bound.card.recording("RegisterWritten") as seen:
        sender.send(60, size)
        wait_tail(bound, QUEUE, (start + accepted) % ring)
        state = stopped_by(trace, sender)
        handed_over = sum(steps(start, tails(seen, QUEUE), ring))
        inflight = bound.netif.bql(QUEUE).inflight
    bound.card.release_completions(QUEUE)
    wait_idle(bound, QUEUE)
    evidence.note(guest={"txq_state": state, "in flight": inflight}, device={"descriptors outstanding": handed_over})
    assert state == stop
    assert (handed_over, inflight) == (accepted, accepted * size)


@claim("BQL-20")
@pytest.mark.parametrize("last", ["driver", "stack"])
def test_queue_runs_only_when_both_stops_are_gone(bound: Bound, evidence: Evidence, last: str) -> None:
    """The 43rd packet of 60 bytes stops a ring of 64 and exceeds a limit of 2579: both bits at once.

    One completion ends BQL's stop, 22 the driver's, unless the limit falls to 500 meanwhile: then BQL's lasts until 35
    are completed. Up to the one that ends the last stop nothing may be handed over.
    """
    outstanding = transmit.accepted_until_stop(SMALL_RING)
    wake = transmit.completed_until_wake(SMALL_RING, outstanding)
    bound.netif.settings.set_rings(tx=SMALL_RING)
    bound.netif.wait_carrier()
    sender = stoppable(bound, outstanding * SHORT - 1)
    releases = ((1, wake - 2), (1,)) if last == "driver" else ((wake, 12), (1,))
    vector = transmit_vector(bound, QUEUE)
    bound.card.withhold_completions(QUEUE)
    start = bound.card.register("TDT", QUEUE)
    with bound.guest.trace.session(DEQUEUE) as trace, bound.card.recording("RegisterWritten") as seen:
        sender.send(outstanding + 2, SHORT)
        wait_tail(bound, QUEUE, (start + outstanding) % SMALL_RING)
        states = [stopped_by(trace, sender)]
        if last == "stack":
            bound.netif.set_bql(QUEUE, limit_min=0, limit_max=500)
        before_last, final = releases
        for count in before_last:
            armed = len(armings(seen, vector))
            bound.card.release_completions(QUEUE, count)
            seen.wait(armed + 1, kind="RegisterWritten", where=lambda event: arms(event, vector))
            states.append(stopped_by(trace, sender))
        silent = tails(seen, QUEUE)
        evidence.note(
            guest={"txq_state after each release": states},
            device={"released": releases, "descriptors outstanding": sum(steps(start, silent, SMALL_RING))},
        )
        one = DRIVER if last == "driver" else STACK
        assert states == [DRIVER | STACK, one, one]
        assert sum(steps(start, silent, SMALL_RING)) == outstanding
        bound.card.release_completions(QUEUE, *final)
        seen.wait(len(silent) + 1, kind="RegisterWritten", where=lambda event: event.register == f"TDT[{QUEUE}]")
    bound.card.release_completions(QUEUE)
    wait_idle(bound, QUEUE)
