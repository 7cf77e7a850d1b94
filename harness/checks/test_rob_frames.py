# SPDX-License-Identifier: BSD-3-Clause
"""No frame and no packet goes missing: what both witnesses counted, skb by skb."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.checks.arrivals import strangers
from harness.checks.bursts import calm, free_deferred, quiet, receive_vector, steer_to, without_deferral
from harness.checks.filling import FULL, own_queue, without_ipv6
from harness.checks.mixing import connect_mix, cpu_owns_queue, sent_packets, wait_all_idle
from harness.checks.sending import CPU, QUEUE, pinned_sender, undisturbed
from harness.checks.sinks import got, sink, summaries
from harness.claims import claim
from harness.deadline import Deadline
from harness.frames import Checksum
from harness.traffic import Station, frame, numbered, numbered_frames

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.evidence import Evidence
    from harness.guest.ringbuffer import Record
    from harness.lab import Bound

RECEIVED, CONSUMED, FREED = "net:netif_receive_skb", "skb:consume_skb", "skb:kfree_skb"
STARTED = "net:net_dev_start_xmit"
PORT, CLOSED_PORT = 5301, 5302
FLOOD = 360
"""Full frames behind a held vector: more than 255 slots and 64 KiB of packet buffer hold."""


@dataclass(frozen=True, slots=True)
class Ends:
    """What became of skbs: how many there were, were consumed, were freed as drops, or had no end in the trace."""

    begun: int
    consumed: int
    freed: int
    unended: int


def ends(records: Iterable[Record], begin: str, name: str) -> Ends:
    """Follow each skb from event ``begin`` on interface ``name`` to the event that frees it; addresses come again."""
    live: set[int] = set()
    tally: Counter[str] = Counter()
    for record in records:
        if record.name == begin and record["name"] == name:
            live.add(record["skbaddr"])
            tally[begin] += 1
        elif record.name in (CONSUMED, FREED) and record["skbaddr"] in live:
            live.discard(record["skbaddr"])
            tally[record.name] += 1
    return Ends(tally[begin], tally[CONSUMED], tally[FREED], len(live))


@claim("ROB-01")
def test_every_received_frame_is_accounted_for(bound: Bound, evidence: Evidence) -> None:
    """750 frames in random order, then all at once: for a socket, for nobody, damaged, misaddressed, and too many.

    Sent, taken by the card, delivered, received by the stack, dropped and read add up exactly on every step of the way,
    and each kind of drop is as many as were sent of it.
    """
    quiet(bound)
    without_ipv6(bound)
    receiver = sink(bound, PORT)
    guest = receiver.flow.destination
    elsewhere = replace(receiver.flow, destination=Station(bytes.fromhex("525400424242"), guest.ipv4, guest.ipv6))
    nobody = replace(receiver.flow, destination_port=CLOSED_PORT)
    [stranger] = strangers(bound, 1, protocol="udp")
    good = receiver.frames([random.Random(n).randint(16, 1400) for n in range(200)])  # noqa: S311 - reproducible
    mixed = [
        *good,
        *numbered_frames(nobody, 50, 100),
        *numbered_frames(elsewhere, 40, 100),
        *numbered_frames(stranger, 60, 100),
        *(frame(receiver.flow, numbered(9, n, 100), checksum=Checksum.WRONG) for n in range(40)),
    ]
    random.Random(1).shuffle(mixed)  # noqa: S311 - reproducible
    flood = list(numbered_frames(stranger, FLOOD, FULL - 42))
    before, dropped_before = bound.netif.queue_packets(), bound.netif.per_queue("rx", "drops")
    events = (RECEIVED, CONSUMED, FREED)
    with (
        bound.card.recording("FrameArrived", "FrameDelivered", "FrameDropped") as seen,
        bound.guest.trace.session(*events, buffer_kb=8192) as trace,
    ):
        reading = receiver.start(len(good), 20)
        for start in range(0, len(mixed), 100):
            bound.peer.send(*mixed[start : start + 100])
            seen.wait(min(start + 100, len(mixed)), Deadline.after(10), kind="FrameArrived")
            calm(bound)
        steer_to(bound, 2)
        bound.card.hold_interrupts(receive_vector(bound, 2))
        bound.peer.send(*flood)
        seen.wait(len(mixed) + FLOOD, Deadline.after(10), kind="FrameArrived")
        bound.card.release_interrupts(receive_vector(bound, 2))
        calm(bound)
        read = got(reading.result(25))
        free_deferred(bound)
        calm(bound)
    followed = ends(trace.records, RECEIVED, bound.netif.name)
    packets = (bound.netif.queue_packets() - before).total
    drops = (bound.netif.per_queue("rx", "drops") - dropped_before).total
    arrived, delivered = len(seen.all("FrameArrived")), len(seen.all("FrameDelivered"))
    reasons = Counter(event.reason for event in seen.all("FrameDropped"))
    told = {
        "driver's packets": packets,
        "into the stack": followed.begun,
        "read or consumed": followed.consumed,
        "dropped": followed.freed,
        "without end": followed.unended,
    }
    evidence.note(guest=told, device={"arrived": arrived, "delivered": delivered, "dropped": dict(reasons)})
    assert arrived == len(mixed) + FLOOD
    assert arrived == delivered + reasons.total()
    assert delivered == packets == followed.begun
    assert drops <= reasons["packet-buffer-full"], "the driver's drops are the card's, counted for the queue"
    assert (followed.consumed, followed.unended) == (len(good), 0)
    assert sorted(read) == sorted(summaries(good))
    full = reasons.pop("packet-buffer-full")
    assert full > 0
    assert list(reasons.values()) == [40]
    assert followed.freed == 50 + 60 + 40 + FLOOD - full


@claim("ROB-02")
def test_every_transmitted_skb_is_accounted_for(bound: Bound, evidence: Evidence) -> None:
    """TCP and UDP on four queues, then twelve packets whose completion is withheld when the ring is cleaned.

    Segments by the guest's trace, by the card's descriptors and on the wire are as many, and each skb ends once.
    """
    without_ipv6(bound)
    without_deferral(bound)
    with (
        cpu_owns_queue(bound),
        bound.card.recording("TxDescriptor", "TxWriteBack", "FrameEmitted") as seen,
        bound.guest.trace.session(STARTED, CONSUMED, FREED, buffer_kb=8192) as trace,
    ):
        connect_mix(bound).round(stream=150_000, datagrams=25)
        wait_all_idle(bound)
        undisturbed(bound)
        own_queue(bound)
        sender = pinned_sender(bound)
        bound.netif.set_bql(QUEUE, limit_min=1_000_000)
        sender.send(1, 60)
        wait_all_idle(bound)
        emitted = len(seen.all("FrameEmitted"))
        bound.card.withhold_completions(QUEUE)
        sender.send(12, 300)
        seen.wait(emitted + 12, Deadline.after(10), kind="FrameEmitted")
        bound.netif.ethtool("-r")
        bound.netif.wait_carrier()
        calm(bound)
    followed = ends(trace.records, STARTED, bound.netif.name)
    promised = sum(max(1, record["gso_segs"]) for record in trace.named(STARTED))
    packets = sent_packets(seen.all("TxDescriptor"))
    reported, frames = len(seen.all("TxWriteBack")), len(seen.all("FrameEmitted"))
    evidence.note(
        guest={
            "skbs": followed.begun,
            "consumed": followed.consumed,
            "freed with the ring": followed.freed,
            "without end": followed.unended,
            "segments": promised,
        },
        device={"packets": len(packets), "reported": reported, "frames": frames, "cpu": CPU},
    )
    assert followed.begun == len(packets) > 100
    assert (followed.freed, followed.unended) == (12, 0)
    assert followed.consumed == reported == len(packets) - 12
    assert frames == sum(packet.frames for packet in packets) == promised
    assert any(packet.frames > 1 for packet in packets)
