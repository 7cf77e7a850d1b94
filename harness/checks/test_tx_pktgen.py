# SPDX-License-Identifier: BSD-3-Clause
"""Who asks whether a queue is stopped: pktgen, past the qdisc, heeds the ring alone; a qdisc heeds BQL too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks.filling import own_queue
from harness.checks.generating import generator
from harness.checks.sending import QUEUE, pinned_sender, steps, tails, undisturbed, wait_idle, wait_tail
from harness.claims import claim
from harness.oracles import transmit

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

RING = 256
SILENCE_S = 0.5


@claim("TX-18")
def test_pktgen_heeds_the_ring_and_not_bql(bound: Bound, evidence: Evidence) -> None:
    """A limit of 3000 bytes, frames of 500, none completed: a qdisc's sender stops at the seventh.

    pktgen goes on to 235, where the driver stops the ring, pauses there, and ends its 300 when completions come.
    """
    limit, size, count = 3000, 500, 300
    undisturbed(bound)
    own_queue(bound)
    bound.netif.use_pfifo()
    sender = pinned_sender(bound)
    bound.netif.set_bql(QUEUE, limit_max=limit)
    sender.send(1, 60)
    wait_idle(bound, QUEUE)
    bound.netif.set_bql(QUEUE, limit_min=limit)
    sender.send(1, 60)
    wait_idle(bound, QUEUE)
    pktgen = generator(bound, count=count, size=size, burst=1)
    bound.peer.drain()
    start = bound.card.register("TDT", QUEUE)
    bound.card.withhold_completions(QUEUE)
    with bound.card.recording("RegisterWritten", "TxWriteBack") as seen:
        sender.send(10, size)
        accepted = limit // size + 1
        seen.wait(accepted, kind="RegisterWritten", where=lambda event: event.register == f"TDT[{QUEUE}]")
        qdisc = {"in flight": bound.netif.bql(QUEUE).inflight, "waiting": bound.netif.qdisc_backlog()}
        running = pktgen.start()
        stop = transmit.accepted_until_stop(RING)
        wait_tail(bound, QUEUE, (start + stop) % RING)
        bound.peer.expect(stop)
        bound.peer.expect_silence(SILENCE_S)
        stopped = {"in flight": bound.netif.bql(QUEUE).inflight, "limit": bound.netif.bql(QUEUE).limit}
        moved = list(steps(start, tails(seen, QUEUE), RING))
        paused_at = pktgen.so_far()
        early = seen.all("TxWriteBack", lambda event: event.queue == QUEUE)
        bound.card.release_completions(QUEUE)
        sent = pktgen.wait_done(running)
        wait_idle(bound, QUEUE)
        all_moved = sum(steps(start, tails(seen, QUEUE), RING))
    evidence.note(
        guest={"qdisc's sender": qdisc, "pktgen paused": {**stopped, "at": paused_at}, "pktgen sent": sent},
        device={"tail writes until the pause": len(moved), "descriptors": [sum(moved), all_moved]},
    )
    assert early == []
    assert qdisc == {"in flight": accepted * size, "waiting": 10 - accepted}
    assert stopped == {"in flight": stop * size, "limit": limit}
    assert (sum(moved), paused_at) == (stop, stop - accepted)
    assert (sent, all_moved) == (count, count + 10)
