# SPDX-License-Identifier: BSD-3-Clause
"""Ingress: one frame from the descriptor to the protocol handler, and what reaches a socket."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from device_model.igb.spec.descriptors import RxRead, RxWriteback
from harness.checks.arrivals import deliver, poll_on, wait_taken
from harness.checks.bursts import (
    PATIENCE_S,
    arms,
    calm,
    fill,
    quiet,
    receive_vector,
    scheduling,
    steer_to,
    unanswered,
)
from harness.checks.clocks import Comparison
from harness.checks.sinks import PORT, got, sink, summaries
from harness.checks.ways import CORE, SOCKET, name_of, way_in
from harness.checks.witness import watched
from harness.claims import claim
from harness.deadline import Deadline
from harness.guest.probes import READ_REGISTER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Seen

HANDLER = "igb_msix_ring"
QUEUE, CPU = 1, 1


def chain(bound: Bound) -> list[str]:
    """Return what one frame goes through, in order (napi_gro_receive is an inline of gro_receive_skb in 7)."""
    gro = "gro_receive_skb" if bound.guest.kernel_is(">=7") else "napi_gro_receive"
    return [
        HANDLER, scheduling(bound), "net_rx_action", "__napi_poll", "igb_poll", gro,
        "inet_gro_receive", "igb_alloc_rx_buffers", "napi_complete_done", "netif_receive_skb_list_internal", CORE,
        "ip_list_rcv", "ip_rcv_core", "ip_sublist_rcv", "ip_local_deliver",
    ]  # fmt: skip


def first_of(seen: Sequence[Seen], after: int, kind: str, **fields: object) -> int:
    """Return the number of the first event of ``kind`` with ``fields`` after number ``after``; -1 if there is none."""
    for event in seen:
        if event.number > after and event.kind == kind and fields.items() <= event.fields.items():
            return event.number
    return -1


@claim("ING-01")
def test_one_frame_goes_through_the_whole_chain_on_one_cpu(bound: Bound, evidence: Evidence) -> None:
    """64 frames go first: the card fetches descriptors 64 at a time, so this one's fetch is in the log."""
    steer_to(bound, QUEUE)
    poll_on(bound, QUEUE, CPU)
    quiet(bound)
    expected = chain(bound)
    kinds = ("RxDescriptor", "DmaWrite", "RxWriteBack", "InterruptSent", "RegisterWritten", "FrameArrived")
    vector, target = receive_vector(bound, QUEUE), sink(bound)
    [datagram] = target.frames([500])
    with bound.card.recording(*kinds) as seen:
        deliver(bound, unanswered(bound, 64))
        functions = [name for name in (*expected, *SOCKET) if name != CORE]
        with bound.guest.trace.session(CORE, probes=[READ_REGISTER], functions=functions) as trace:
            clocks = Comparison(bound, trace)
            clocks.compare()
            calm(bound)
            trace.read()
            before = seen.all()[-1].number
            receiving = target.start(1, PATIENCE_S)
            burst = bound.peer.send_burst([datagram])
            answer = receiving.result(PATIENCE_S + 5)
            calm(bound)
            meanwhile = seen.all(where=lambda event: event.number > before)
            clocks.compare()
    begun = next(at for at, record in enumerate(trace.records) if record.fields.get("function") == HANDLER)
    since = trace.records[begun:]
    entered = [name for record in since if record.cpu == CPU and (name := name_of(record)) in expected]
    elsewhere = {record.cpu for record in since if record.fields.get("function") in expected[4:]} - {CPU}
    log = seen.all()
    way = way_in(burst.first_ns, QUEUE, meanwhile, since, expected)
    clocks.timeline(evidence, "One frame in, from the wire to the socket", way)
    [written] = [e for e in log if e.kind == "RxWriteBack" and e.number > before]
    fetched = [e for e in log if e.kind == "RxDescriptor" and (e.queue, e.index) == (QUEUE, written.index)]
    order = {
        "descriptor read": fetched[-1].number if fetched else -1,
        "payload": first_of(log, before, "DmaWrite", purpose="rx-payload", size=len(datagram)),
        "write-back": written.number,
        "message": first_of(log, written.number, "InterruptSent", vector=vector),
        "tail": first_of(log, written.number, "RegisterWritten", register=f"RDT[{QUEUE}]"),
        "armed": next((e.number for e in seen.all("RegisterWritten") if e.number > before and arms(e, vector)), -1),
    }
    evidence.note(guest=entered, device=order)
    assert got(answer) == summaries([datagram])
    assert entered == expected
    assert not elsewhere
    assert -1 not in order.values()
    assert all(earlier < later for earlier, later in pairwise(order.values()))


@claim("ING-02")
@pytest.mark.four_queues
def test_open_ring_has_all_slots_but_one_posted(bound: Bound, evidence: Evidence) -> None:
    """The ring is filled to the last posted slot with the vector held: the slot at the tail is nobody's to write."""
    size, queues = bound.netif.settings.rings().rx, bound.netif.queue_count[0]
    steer_to(bound, 2)
    quiet(bound)
    kinds = ("RegisterWritten", "RxDescriptor", "RxWriteBack", "FrameArrived")
    with bound.card.recording(*kinds) as seen:
        bound.netif.down()
        bound.netif.up()
        bound.netif.wait_carrier()
        writes = seen.all("RegisterWritten")
        lengths = [e.value for e in writes if e.register.startswith("RDLEN[")]
        tails = [e.value for e in writes if e.register.startswith("RDT[") and e.value]
        before = bound.netif.queue_packets()
        fill(bound, seen, 2, unanswered(bound, size - 1))
        more = len(seen.all("FrameArrived")) + 45
        bound.peer.send(*unanswered(bound, 45, first=size - 1))
        seen.wait(more, Deadline.after(PATIENCE_S), kind="FrameArrived")
        full = [e.index for e in seen.all("RxWriteBack")]
        pointers = bound.card.registers("RDH[2]", "RDT[2]")
        fetched = [RxRead.decode(e.raw) for e in seen.all("RxDescriptor", lambda e: e.queue == 2)]
        bound.card.release_interrupts(receive_vector(bound, 2))
        wait_taken(bound, 0)
    growth = bound.netif.queue_packets() - before
    idle = bound.card.registers("RDH[2]", "RDT[2]")
    buffers = {descriptor["packet_address"] for descriptor in fetched[: size - 1]}
    headers = {descriptor["header_address"] for descriptor in fetched[: size - 1]}
    evidence.note(
        guest={"ring": size, "rx_queue_packets": list(growth)},
        device={"RDLEN": lengths, "RDT": tails, "slots written": len(full), "when full": pointers, "idle": idle},
    )
    assert lengths == [16 * size] * queues
    assert tails == [size - 1] * queues
    assert (len(buffers), headers) == (size - 1, {0})
    assert full == list(range(size - 1))
    assert pointers == {"RDH[2]": size - 1, "RDT[2]": size - 1}
    assert (idle["RDT[2]"] - idle["RDH[2]"]) % size == size - 1
    assert list(growth) == [0, 0, size - 1 + 45, 0]


@claim("ING-03")
def test_slot_of_length_zero_stops_the_driver_until_it_has_one(bound: Bound, evidence: Evidence) -> None:
    """The ten slots behind it are complete; afterwards 64 more show that each length comes after its payload."""
    steer_to(bound, QUEUE)
    quiet(bound)
    target = sink(bound)
    held, after = target.frames([200 + n for n in range(11)]), target.frames([900 + n for n in range(64)], first=11)
    before = bound.netif.queue_packets()
    receiving = target.start(len(held) + len(after), PATIENCE_S)
    with bound.guest.trace.session("napi:napi_poll") as trace, bound.card.recording("RxWriteBack") as seen:
        bound.card.fault("receive_write_back", queue=QUEUE, mode="zero-length", count=1)
        for data in held:
            deliver(bound, [data])
        calm(bound)
        stalled = bound.netif.queue_packets() - before
        works = [record["work"] for record in trace.read() if record["dev_name"] == bound.netif.name]
        bound.card.fault("receive_write_back", queue=QUEUE, mode="normal")
        wait_taken(bound, 0)
        calm(bound)
        resumed = [record["work"] for record in trace.read() if record["dev_name"] == bound.netif.name]
        grown = bound.netif.queue_packets() - before
        deliver(bound, after)
    answer = receiving.result(PATIENCE_S + 5)
    slots = [RxWriteback.decode(event.raw) for event in seen.all("RxWriteBack")][: len(held)]
    evidence.note(
        guest={"polls while it had none": works, "frames then": stalled[QUEUE], "polls once it had": resumed},
        device={"lengths written": [slot["length"] for slot in slots], "dd": [slot["dd"] for slot in slots]},
    )
    assert [(slot["dd"], slot["length"]) for slot in slots] == [(1, 0), *((1, len(data)) for data in held[1:])]
    assert set(works) == {0}
    assert list(stalled) == [0] * len(stalled)
    assert [work for work in resumed if work] == [len(held)]
    assert grown[QUEUE] == len(held)
    assert got(answer) == summaries([*held, *after])


@claim("ING-05")
@pytest.mark.parametrize("queue", [0, 1, 2, 3])
def test_frames_of_every_length_arrive_whole_once_and_in_order(bound: Bound, evidence: Evidence, queue: int) -> None:
    """All lengths from 60 to 1514 bytes, shuffled by a step that is prime to their number: 5 times round the ring."""
    steer_to(bound, queue)
    target = sink(bound, PORT + queue)
    count = 1514 - 60 + 1
    frames = target.frames([18 + n * 389 % count for n in range(count)])
    assert sorted(len(data) for data in frames) == list(range(60, 1515))
    before = bound.netif.queue_packets()
    receiving = target.start(count, 30.0)
    with watched(bound, "FrameDelivered") as seen:
        deliver(bound, frames)
    delivered = None if seen is None else [event.length for event in seen.all() if event.queue == queue]
    answer = receiving.result(35.0)
    growth = bound.netif.queue_packets() - before
    found, wanted = got(answer), summaries(frames)
    wrong = [at for at, (have, want) in enumerate(zip(found, wanted, strict=False)) if have != want]
    evidence.note(
        guest={"datagrams": len(found), "first wrong": wrong[:1], "rx_queue_packets": growth[queue]},
        device=delivered and {"frames": len(delivered)},
    )
    assert found == wanted
    assert delivered in (None, [len(data) for data in frames])
    assert growth[queue] == count
