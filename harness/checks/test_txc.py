# SPDX-License-Identifier: BSD-3-Clause
"""Transmit completions: where they are cleaned, which descriptor counts, how many at a time, each exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks.bursts import (
    arms,
    receive_vector,
    steer_to,
    transmit_vector,
    without_deferral,
    without_time_limit,
)
from harness.checks.clocks import Comparison
from harness.checks.sending import (
    CPU,
    QUEUE,
    SOL_UDP,
    UDP_SEGMENT,
    b64,
    fetched,
    packets,
    pinned_sender,
    udp_socket,
    undisturbed,
    wait_idle,
    without_bql,
)
from harness.checks.ways import ENQUEUED, FREE, NET_RX, SOFTIRQ_ENTRY, START, way_out
from harness.claims import claim
from harness.deadline import Deadline
from harness.guest.probes import COMPLETE, MSIX, POLL, POLL_RETURN, READ_REGISTER, XMIT
from harness.traffic import numbered_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.checks.sending import Sender
    from harness.evidence import Evidence
    from harness.guest.ringbuffer import Record
    from harness.lab import Bound
    from harness.seen import Recording, Seen

NET_TX = 2
SOFTIRQ_EXIT = "irq:softirq_exit"


class Whereabouts:
    """What each CPU is doing, followed through a trace: the softirqs it serves and whether it is in igb_poll."""

    def __init__(self) -> None:
        self.softirqs: dict[int, list[int]] = {}
        self.polling: set[int] = set()

    def follow(self, record: Record) -> None:
        """Take note of one record."""
        match record.name:
            case "irq:softirq_entry":
                self.softirqs.setdefault(record.cpu, []).append(record["vec"])
            case "irq:softirq_exit":
                self.softirqs.get(record.cpu, [0]).pop()
            case POLL.event:
                self.polling.add(record.cpu)
            case POLL_RETURN.event:
                self.polling.discard(record.cpu)

    def at(self, cpu: int) -> tuple[int, bool]:
        """Return the softirq that ``cpu`` serves (-1: none) and whether it polls igb."""
        serving = self.softirqs.get(cpu, [])
        return serving[-1] if serving else -1, cpu in self.polling


def wait_armed(seen: Recording, vector: int, count: int = 1) -> None:
    """Wait until the driver has armed ``vector`` ``count`` times: it is done polling."""
    seen.wait(count, Deadline.after(10), kind="RegisterWritten", where=lambda event: arms(event, vector))


def of_queue(events: Sequence[Seen], queue: int = QUEUE) -> list[Seen]:
    """Return the events of one queue."""
    return [event for event in events if event.queue == queue]


@claim("TXC-01")
def test_completions_are_cleaned_in_net_rx(bound: Bound, evidence: Evidence) -> None:
    """101 packets, the first alone, with the watchdog's own polls switched off: only completions can free.

    Each skb that started must be consumed inside igb_poll in softirq 3, none by the CPU that allocated it; on the
    card's side each DD is followed by a message of the transmit vector whose cause is that queue, and by an arming EIMS
    write.
    """
    count = 101
    undisturbed(bound)
    without_deferral(bound)
    sender, vector = pinned_sender(bound), transmit_vector(bound, QUEUE)
    events = (ENQUEUED, START, FREE, SOFTIRQ_ENTRY, SOFTIRQ_EXIT)
    kinds = ("TxDescriptor", "FrameEmitted", "TxWriteBack", "CauseRaised", "InterruptSent", "RegisterWritten")
    with (
        bound.guest.trace.session(*events, probes=(POLL, POLL_RETURN, XMIT, MSIX, COMPLETE, READ_REGISTER)) as trace,
        bound.card.recording(*kinds) as seen,
    ):
        clocks = Comparison(bound, trace)
        clocks.compare()
        sender.send(1)
        wait_idle(bound, QUEUE)
        wait_armed(seen, vector)
        alone = seen.all()
        clocks.compare()
        sender.send(count - 1, first=1)
        wait_idle(bound, QUEUE)
        seen.wait(count, kind="TxWriteBack", where=lambda event: event.queue == QUEUE)
        causes = seen.all("CauseRaised", lambda event: event.cause == f"tx-{QUEUE}")
        messages = seen.all("InterruptSent", lambda event: event.vector == vector)
        assert causes
        assert messages
        wait_armed(seen, vector, len(messages))
    where, outstanding, places = Whereabouts(), set(), []
    for record in trace.records:
        where.follow(record)
        if record.name == START and record["queue_mapping"] == QUEUE:
            outstanding.add(record["skbaddr"])
        elif record.name == FREE and record["skbaddr"] in outstanding:
            outstanding.discard(record["skbaddr"])
            places.append(where.at(record.cpu))
    armed = seen.all("RegisterWritten", lambda event: arms(event, vector))
    way = way_out(sender, vector, alone, trace.records)
    clocks.timeline(evidence, "One frame out, from the socket to the wire, and its completion", way)
    evidence.note(
        guest={"consumed at (softirq, in igb_poll)": sorted(set(places)), "skbs": len(places)},
        device={"DD": len(of_queue(seen.all("TxWriteBack"))), "messages": len(messages), "EIMS writes": len(armed)},
    )
    assert places == [(NET_RX, True)] * count
    assert not outstanding
    assert len(messages) == len(armed)


@claim("TXC-02")
def test_shared_vector_cleans_transmit_and_then_receives(bound: Bound, evidence: Evidence) -> None:
    """Completions and frames of queue 1 behind one held message of a vector that is both's: one poll sees them all.

    63 and 100 stay below the limits of 64 frames and 128 completions, and differ from each other.
    """
    bound.netif.settings.set_channels(8)
    bound.netif.wait_carrier()
    without_bql(bound)
    without_deferral(bound)
    without_time_limit(bound)
    steer_to(bound, QUEUE)
    undisturbed(bound)
    sender, vector = pinned_sender(bound), transmit_vector(bound, QUEUE)
    assert vector == receive_vector(bound, QUEUE)
    for sent, received in ((1, 0), (0, 1), (5, 7), (100, 63)):
        shared_poll(bound, evidence, sender, vector, sent, received)


def shared_poll(bound: Bound, evidence: Evidence, sender: Sender, vector: int, sent: int, received: int) -> None:
    """Let ``sent`` completions and ``received`` frames wait behind one message, and judge the poll that it starts."""
    [flow] = bound.peer.flows(1)
    with (
        bound.guest.trace.session(START, FREE, "net:napi_gro_receive_entry", "napi:napi_poll") as trace,
        bound.card.recording("TxWriteBack", "RxWriteBack", "InterruptSent", "RegisterWritten") as seen,
    ):
        bound.card.hold_interrupts(vector)
        if sent:
            sender.send(sent)
            seen.wait(sent, kind="TxWriteBack", where=lambda event: event.queue == QUEUE)
        if received:
            bound.peer.send(*numbered_frames(flow, received))
            seen.wait(received, kind="RxWriteBack", where=lambda event: event.queue == QUEUE)
        bound.card.release_interrupts(vector)
        wait_armed(seen, vector)
        trace.read()
    started, order = set(), []
    for record in trace.records:
        if record.name == START and record["queue_mapping"] == QUEUE:
            started.add(record["skbaddr"])
        elif record.name == FREE and record["skbaddr"] in started:
            started.discard(record["skbaddr"])  # received frames come in skbs that were just freed
            order.append("free")
        elif record.name == "net:napi_gro_receive_entry":
            order.append("receive")
    works = [record["work"] for record in trace.named("napi:napi_poll") if record["dev_name"] == bound.netif.name]
    messages = seen.all("InterruptSent", lambda event: event.vector == vector)
    armed = seen.all("RegisterWritten", lambda event: arms(event, vector))
    evidence.note(
        guest={"polls": works, "freed": order.count("free"), "received": order.count("receive")},
        device={"messages": len(messages), "EIMS writes": len(armed)},
    )
    assert order == ["free"] * sent + ["receive"] * received
    assert works == [received]
    assert (len(messages), len(armed)) == (1, 1)


@claim("TXC-03")
def test_only_dd_on_the_last_descriptor_of_the_oldest_packet_frees(bound: Bound, evidence: Evidence) -> None:
    """The oldest packet has a context, headers and two buffers; the second is a plain frame behind it.

    DD is set everywhere but where it counts: on the second packet, on each earlier descriptor of the first, and on its
    context; then on its end, which frees both. What is in flight says exactly which.
    """
    bound.netif.use_pfifo()
    without_bql(bound)
    undisturbed(bound)
    agent, sender, vector = bound.guest.agent, pinned_sender(bound), transmit_vector(bound, QUEUE)
    with bound.card.recording("TxDescriptor", "TxWriteBack", "RegisterWritten") as seen:
        bound.card.withhold_completions(QUEUE)
        handle = udp_socket(bound)
        agent.call("setsockopt", handle=handle, level=SOL_UDP, option=UDP_SEGMENT, value=1000)
        agent.call("send", cpus=[CPU], handle=handle, payloads=[b64(bytes(2500))])
        sender.send(1)
        bound.peer.expect(4)
        large, small = packets(fetched(seen, QUEUE))
        assert large.context is not None
        assert len(large.data) >= 2
        queued = agent.call("queued", handle=handle)["out"]
        told = [(bound.netif.bql(QUEUE).inflight, agent.call("queued", handle=handle)["out"])]
        slots = [small.last.index, *(slot.index for slot in large.data[:-1]), large.context.index]
        for done, slot in enumerate(slots):
            bound.card.fault("complete_out_of_order", queue=QUEUE, index=slot)
            wait_armed(seen, vector, done + 1)
            told.append((bound.netif.bql(QUEUE).inflight, agent.call("queued", handle=handle)["out"]))
        assert bound.card.release_completions(QUEUE, 1) == 1
        wait_armed(seen, vector, len(slots) + 1)
        told.append((bound.netif.bql(QUEUE).inflight, agent.call("queued", handle=handle)["out"]))
    inflight = large.length + 2 * 42 + small.length
    written = [event.index for event in of_queue(seen.all("TxWriteBack"))]
    evidence.note(guest={"(inflight, SIOCOUTQ) after each": told}, device={"DD set in slots": written})
    assert written == [*slots, large.last.index]
    assert queued > 0
    assert told == [(inflight, queued)] * (len(slots) + 1) + [(0, 0)]


@claim("TXC-04")
def test_each_completed_skb_is_freed_exactly_once(bound: Bound, evidence: Evidence) -> None:
    """2000 packets through a ring of 64: 31 turns, so that every slot and most skb addresses come again and again.

    An skb that starts must not be outstanding, one that is freed in a poll must be, and at the end none is.
    """
    count = 2000
    without_deferral(bound)
    bound.netif.settings.set_rings(tx=64)
    bound.netif.wait_carrier()
    bound.netif.use_pfifo()
    sender = pinned_sender(bound)
    with (
        bound.guest.trace.session(START, FREE, probes=(POLL, POLL_RETURN), buffer_kb=8192) as trace,
        bound.card.recording("TxDescriptor", "TxWriteBack") as seen,
    ):
        sender.send(count, 60)
        written = seen.wait(count, kind="TxWriteBack", where=lambda event: event.queue == QUEUE)
        wait_idle(bound, QUEUE)
    where, outstanding, freed, twice = Whereabouts(), set(), 0, []
    for record in trace.records:
        where.follow(record)
        if record.name == START and record["queue_mapping"] == QUEUE:
            if record["skbaddr"] in outstanding:
                twice.append(record)
            outstanding.add(record["skbaddr"])
        elif record.name == FREE and record["skbaddr"] in outstanding:
            outstanding.discard(record["skbaddr"])
            freed += 1
            assert where.at(record.cpu)[1]
    taken = packets(fetched(seen, QUEUE))
    evidence.note(
        guest={"started": freed + len(outstanding), "freed": freed},
        device={"packets fetched": len(taken), "packets written back": len(written)},
    )
    assert not twice
    assert (freed, len(outstanding)) == (count, 0)
    assert (len(taken), len(written)) == (count, count)


@claim("TXC-05")
def test_one_poll_cleans_at_most_128_packets(bound: Bound, evidence: Evidence) -> None:
    """Completions withheld and then released together behind one message; 127, 128 and 129 tell the edge."""
    bound.netif.settings.set_rings(tx=512)
    bound.netif.wait_carrier()
    bound.netif.use_pfifo()
    without_bql(bound)
    without_time_limit(bound)
    undisturbed(bound)
    sender, vector = pinned_sender(bound), transmit_vector(bound, QUEUE)
    for count, polls in ((127, [0]), (128, [64, 0]), (129, [64, 0]), (256, [64, 64, 0])):
        completions_in_polls(bound, evidence, sender, vector, count, polls)


def completions_in_polls(
    bound: Bound, evidence: Evidence, sender: Sender, vector: int, count: int, polls: list[int]
) -> None:
    """Release ``count`` withheld completions behind one message, and judge the polls that clean them."""
    bound.card.withhold_completions(QUEUE)
    sender.send(count)
    bound.peer.expect(count, sender.is_mine)
    with (
        bound.guest.trace.session("napi:napi_poll") as trace,
        bound.card.recording("InterruptSent", "RegisterWritten", "TxWriteBack") as seen,
    ):
        bound.card.release_completions(QUEUE)
        wait_armed(seen, vector)
        works = [record["work"] for record in trace.read() if record["dev_name"] == bound.netif.name]
    messages = seen.all("InterruptSent", lambda event: event.vector == vector)
    armed = seen.all("RegisterWritten", lambda event: arms(event, vector))
    written = of_queue(seen.all("TxWriteBack"))
    inflight = bound.netif.bql(QUEUE).inflight
    evidence.note(
        guest={"work of each poll": works, "inflight": inflight},
        device={"DD": len(written), "messages": len(messages), "EIMS writes": len(armed)},
    )
    assert (len(written), inflight) == (count, 0)
    assert works == polls
    assert (len(messages), len(armed)) == (1, 1)
