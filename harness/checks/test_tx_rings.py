# SPDX-License-Identifier: BSD-3-Clause
"""Transmit rings: how the driver sets them up, rings the doorbell, stops before they are full and wakes again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.checks.bursts import arms, transmit_vector
from harness.checks.generating import generator
from harness.checks.sending import (
    QUEUE,
    fetched,
    offloaded,
    packets,
    pinned_sender,
    plain,
    steps,
    tails,
    udp_socket,
    undisturbed,
    wait_idle,
    wait_tail,
    without_bql,
)
from harness.claims import claim
from harness.deadline import Deadline
from harness.oracles import transmit
from harness.traffic import flows, numbered_frames

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Seen

DESCRIPTOR = 16
TXDCTL_MSIX = 0x0201_0108
"""Enable, WTHRESH 1, HTHRESH 1, PTHRESH 8 (igb_configure_tx_ring)."""

NET_TX = 2
RING = 256


@claim("TX-01")
def test_each_ring_is_set_up_with_its_size_and_without_head_write_back(bound: Bound, evidence: Evidence) -> None:
    """Three sizes: no power of two, the most, the least; none is the one before it, or the default.

    Over 64 and 72 more frames are sent than the ring has slots: a card with another idea of the size loses some.
    """
    bound.netif.use_pfifo()
    without_bql(bound)
    sender = pinned_sender(bound)
    _, queues = bound.netif.queue_count
    for size in (72, 4096, 64):
        with bound.card.recording("RegisterWritten") as seen:
            bound.netif.settings.set_rings(tx=size)
            bound.netif.wait_carrier()
        written = {queue: ring_writes(seen.all(), queue) for queue in range(queues)}
        held = [bound.card.registers(*(f"{name}[{queue}]" for name in ("TDLEN", "TDBAL"))) for queue in range(queues)]
        reported = bound.netif.settings.rings().tx
        evidence.note(what=f"-G tx {size}", guest={"ring": reported}, device={"writes of queue 1": written[1]})
        assert reported == size
        for queue in range(queues):
            got = written[queue]
            assert got["TDLEN"] == [DESCRIPTOR * size]
            assert (got["TDH"], got["TDT"][:1]) == ([0], [0])
            assert got["TXDCTL"][-1] == TXDCTL_MSIX
            assert set(got["TXDCTL"][:-1]) == {0}
            assert len(got["TDBAL"]) == len(got["TDBAH"]) == 1
            assert got["TDBAL"][0] % 128 == 0
            assert held[queue] == {f"TDLEN[{queue}]": DESCRIPTOR * size, f"TDBAL[{queue}]": got["TDBAL"][0]}
        assert not seen.all(where=lambda event: event.register.startswith("TDWBA"))
        if size < RING:
            sender.send(size + 5, first=size)
            assert bound.peer.expect(size + 5, sender.is_mine) == sender.frames(size + 5, first=size)


def ring_writes(events: list[Seen], queue: int) -> dict[str, list[int]]:
    """Return what was written to the ring registers of ``queue``, by name."""
    names = ("TDBAL", "TDBAH", "TDLEN", "TDH", "TDT", "TXDCTL")
    return {name: [e.value for e in events if e.register == f"{name}[{queue}]"] for name in names}


@claim("TX-05")
@pytest.mark.parametrize("burst", [8, 1])
def test_burst_of_pktgen_rings_the_doorbell_once(bound: Bound, evidence: Evidence, burst: int) -> None:
    """Only what the driver is told of more to come differs; 200 packets, so that the ring never fills."""
    count = 200
    without_bql(bound)
    pktgen = generator(bound, count=count, size=60, burst=burst)
    before = bound.card.register("TDT", QUEUE)
    with bound.card.recording("RegisterWritten", "FrameEmitted") as seen:
        running = pktgen.start()
        seen.wait(count, kind="FrameEmitted", where=lambda event: event.queue == QUEUE)
        said = pktgen.wait_done(running)
    moved = list(steps(before, tails(seen, QUEUE), RING))
    evidence.note(guest={"pktgen has sent": said}, device={"tail writes": len(moved), "steps": sorted(set(moved))})
    assert said == count
    assert moved == [burst] * (count // burst)


@claim("TX-05")
def test_backlog_of_a_woken_queue_rings_the_doorbell_once(bound: Bound, evidence: Evidence) -> None:
    """300 frames meet a ring that takes 235; 64 completions then make room for 64 of the 65 that wait.

    The first of them had been offered to the stopped driver and goes alone (dev_requeue_skb); the other 64 are handed
    over in one bulk, of which the driver takes 63 until it stops again: tail writes of 1 and of 63.
    """
    frames, released = 300, 64
    accepted = transmit.accepted_until_stop(RING)
    bound.netif.use_pfifo()
    without_bql(bound)
    undisturbed(bound)
    sender = pinned_sender(bound)
    bound.card.withhold_completions(QUEUE)
    start = bound.card.register("TDT", QUEUE)
    sender.send(frames)
    wait_tail(bound, QUEUE, (start + accepted) % RING)
    with (
        bound.guest.trace.session("net:net_dev_start_xmit", "qdisc:qdisc_dequeue") as trace,
        bound.card.recording("RegisterWritten") as seen,
    ):
        bound.card.release_completions(QUEUE, released)
        wait_tail(bound, QUEUE, (start + accepted + released) % RING)
        waiting = bound.netif.qdisc_backlog()
        trace.read()
    bulks = [record["packets"] for record in trace.named("qdisc_dequeue") if record["skbaddr"]]
    started = len([record for record in trace.named("net_dev_start_xmit") if record["queue_mapping"] == QUEUE])
    moved = list(steps(start + accepted, tails(seen, QUEUE), RING))
    evidence.note(
        guest={"bulks": bulks, "handed over": started, "still waiting": waiting}, device={"steps of TDT": moved}
    )
    assert (bulks, started, waiting) == ([1, released], released, frames - accepted - released)
    assert moved == [1, released - 1]
    bound.card.release_completions(QUEUE)
    assert bound.peer.expect(frames, sender.is_mine) == sender.frames(frames)
    wait_idle(bound, QUEUE)


@claim("TX-06")
def test_all_descriptors_below_the_tail_are_fresh(bound: Bound, evidence: Evidence) -> None:
    """1500 packets through a ring of 64, eight of one descriptor and seven of two in turns: 22 do not divide 64.

    So each slot changes its kind, and what the card finds there from an earlier turn is a spent descriptor with DD, or
    brings a frame whose number was there before.
    """
    size, count = 64, 1500
    bound.netif.settings.set_rings(tx=size)
    bound.netif.wait_carrier()
    bound.netif.use_pfifo()
    without_bql(bound)
    sender = pinned_sender(bound)
    assert bound.peer.guest is not None
    [flow] = flows(1, bound.peer.guest, bound.peer.station)
    made = list(numbered_frames(flow, count, 60))
    before = bound.netif.per_queue("tx", "packets")
    with bound.card.recording("RegisterWritten", "TxDescriptor") as seen:
        tail = bound.card.register("TDT", QUEUE)
        sender.send_raw(plain(frame) if at % 15 < 8 else offloaded(frame) for at, frame in enumerate(made))
        frames = bound.peer.expect(count, lambda frame: frame[12:14] == b"\x08\0")
        wait_idle(bound, QUEUE)
    counted = (bound.netif.per_queue("tx", "packets") - before)[QUEUE]
    announced, taken = tail, tail
    for event in seen.all():
        if event.kind == "RegisterWritten" and event.register == f"TDT[{QUEUE}]":
            announced += (event.value - announced) % size
        elif event.kind == "TxDescriptor" and event.queue == QUEUE:
            assert event.index == taken % size
            assert taken < announced
            assert any(event.raw)
            taken += 1
    found = packets(fetched(seen, QUEUE))
    evidence.note(
        guest={"packets": counted},
        device={"descriptors": taken - tail, "packets": len(found), "turns of the ring": (taken - tail) // size},
    )
    assert not [packet for packet in found for slot in packet.data if slot["dd"]]
    assert (taken, len(found), counted) == (announced, count, count)
    assert frames == made


@claim("TX-07")
@pytest.mark.parametrize("descriptors", [1, 2])
def test_queue_stops_before_the_ring_is_full(bound: Bound, evidence: Evidence, descriptors: int) -> None:
    """A plain frame takes one descriptor, a datagram with its context two: 235 and 236 outstanding, as only 21 tell."""
    frames, accepted = 300, transmit.accepted_until_stop(RING, descriptors)
    bound.netif.use_pfifo()
    without_bql(bound)
    undisturbed(bound)
    sender = pinned_sender(bound)
    with (
        bound.guest.trace.session("net:net_dev_start_xmit") as trace,
        bound.card.recording("RegisterWritten", "TxDescriptor", "TxWriteBack") as seen,
    ):
        bound.card.withhold_completions(QUEUE)
        start = bound.card.register("TDT", QUEUE)
        if descriptors == 1:
            sender.send(frames)
        else:
            handle = udp_socket(bound)
            bound.guest.agent.call("send_numbered", cpus=[sender.cpu], handle=handle, count=frames, size=99)
        wait_tail(bound, QUEUE, (start + accepted * descriptors) % RING)
        waiting = bound.netif.qdisc_backlog()
        limits = bound.netif.bql(QUEUE)
        taken = packets(fetched(seen, QUEUE))
        started = len([record for record in trace.read() if record["queue_mapping"] == QUEUE])
        outstanding = sum(steps(start, tails(seen, QUEUE), RING))
        early = seen.all("TxWriteBack", lambda event: event.queue == QUEUE)
    evidence.note(
        guest={"handed over": started, "waiting in the qdisc": waiting, "inflight": limits.inflight},
        device={"packets fetched": len(taken), "descriptors outstanding": outstanding, "completed": len(early)},
    )
    assert not early
    assert {packet.descriptors for packet in taken} == {descriptors}
    assert limits.inflight < limits.limit  # it is the ring that stops the queue, not BQL
    assert (started, waiting) == (accepted, frames - accepted)
    assert (len(taken), outstanding) == (accepted, accepted * descriptors)
    assert outstanding < RING
    bound.card.release_completions(QUEUE)
    bound.peer.expect(frames)


@claim("TX-08")
def test_queue_wakes_at_42_free_descriptors_and_not_at_41(bound: Bound, evidence: Evidence) -> None:
    """235 of 256 outstanding; 21 completions leave 41 free, the 22nd makes 42. What lies between is one descriptor.

    The driver is known to have looked when it arms the vector again; a woken queue would have raised NET_TX before.
    """
    accepted = transmit.accepted_until_stop(RING)
    enough = transmit.completed_until_wake(RING, accepted)
    bound.netif.use_pfifo()
    without_bql(bound)
    undisturbed(bound)
    sender, vector = pinned_sender(bound), transmit_vector(bound, QUEUE)
    bound.card.withhold_completions(QUEUE)
    start = bound.card.register("TDT", QUEUE)
    sender.send(300)
    wait_tail(bound, QUEUE, (start + accepted) % RING)
    name = f"tx_queue_{QUEUE}_restart"
    before = bound.netif.statistics()[name]
    told: list[dict[str, int]] = []
    moved: list[list[int]] = []
    for count in (enough - 1, 1):
        with (
            bound.guest.trace.session("irq:softirq_raise") as trace,
            bound.card.recording("RegisterWritten") as seen,
        ):
            bound.card.release_completions(QUEUE, count)
            seen.wait(1, Deadline.after(5), kind="RegisterWritten", where=lambda event: arms(event, vector))
            raised = len([record for record in trace.read() if record["vec"] == NET_TX])
            if count == 1:
                wait_tail(bound, QUEUE, (start + accepted + enough) % RING)
        moved.append(list(steps(start + accepted, tails(seen, QUEUE), RING)))
        told.append({"NET_TX raised": raised > 0, "restarts": bound.netif.statistics()[name] - before})
    evidence.note(guest={"after 21": told[0], "after 22": told[1]}, device={"after 21": moved[0], "after 22": moved[1]})
    assert told == [{"NET_TX raised": False, "restarts": 0}, {"NET_TX raised": True, "restarts": 1}]
    assert moved == [[], [1, enough - 1]]
    bound.card.release_completions(QUEUE)
    assert bound.peer.expect(300, sender.is_mine) == sender.frames(300)
