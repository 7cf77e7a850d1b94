# SPDX-License-Identifier: BSD-3-Clause
"""What everybody saw of one frame on its way in, or on its way out: the material of a timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks.clocks import Sighting
from harness.guest.probes import COMPLETE, MSIX, POLL, XMIT
from harness.guest.trace import FUNCTION
from harness.plots import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.checks.sending import Sender
    from harness.guest.ringbuffer import Record
    from harness.seen import Seen

NET_RX = 3
CORE = "net:netif_receive_skb"
"""Fires inside __netif_receive_skb_core, whose symbol has another suffix in every build."""

SOCKET = ("__udp_enqueue_schedule_skb", "udp_recvmsg")
"""Where a datagram's way in ends."""

LANES = {
    **dict.fromkeys(("igb_msix_ring", "__napi_schedule", "__napi_schedule_irqoff"), "interrupt"),
    "net_rx_action": "softirq",
    **dict.fromkeys(("__napi_poll", "igb_poll", "igb_alloc_rx_buffers", "napi_complete_done"), "NAPI"),
    **dict.fromkeys(SOCKET, "socket"),
}
"""The part of the path to which each function belongs; all others are the stack's."""

ENQUEUED, START, FREE = "net:net_dev_queue", "net:net_dev_start_xmit", "skb:consume_skb"
SOFTIRQ_ENTRY = "irq:softirq_entry"


def name_of(record: Record) -> str:
    """Return the function that was entered, or the event's name."""
    return str(record["function"] if record.name == FUNCTION else record.name)


def way_in(
    sent_ns: int, queue: int, seen: Sequence[Seen], records: Sequence[Record], chain: Sequence[str]
) -> list[Sighting]:
    """Return who saw what of the one frame that went to receive ``queue`` while ``seen`` and ``records`` were made.

    ``chain`` are the functions that it passes on its way to the protocol's handler.
    """
    lanes = {
        "FrameArrived": ("wire", "frame arrives"),
        "RxWriteBack": ("card", "descriptor written back"),
        "InterruptSent": ("card", "MSI-X message"),
        f"RDT[{queue}]": ("card", "tail written (RDT)"),
        "EIMS": ("card", "vector armed (EIMS)"),
    }
    guest = [
        Sighting(LANES.get(name, "stack"), name.rpartition(":")[2], Source.GUEST, record.t)
        for record in records
        if (name := name_of(record)) in (*chain, *SOCKET)
    ]
    return [Sighting("wire", "frame sent", Source.PEER, sent_ns), *_of_card(seen, lanes), *guest]


def way_out(sender: Sender, vector: int, seen: Sequence[Seen], records: Sequence[Record]) -> list[Sighting]:
    """Return who saw what of the first frame of ``sender``, the only one in ``seen``, and of its completion."""
    lanes = {
        f"TDT[{sender.queue}]": ("card", "doorbell (TDT)"),
        "TxDescriptor": ("card", "descriptor fetched"),
        "FrameEmitted": ("wire", "frame leaves"),
        "TxWriteBack": ("card", "DD written back"),
        "InterruptSent": ("card", "MSI-X message"),
        "EIMS": ("card", "vector armed (EIMS)"),
    }
    mine = {"queue": sender.queue, "vector": vector}
    own = [event for event in seen if all(event.fields.get(name, value) == value for name, value in mine.items())]
    begun = seen[0].t_ns if seen else 0
    came = [each for each in sender.bound.peer.arrivals if each.t_ns >= begun and sender.is_mine(each.frame)]
    wire = [Sighting("wire", "frame arrives", Source.PEER, arrival.t_ns) for arrival in came[:1]]
    return [*_of_card(own, lanes), *wire, *_sent_and_freed(sender.queue, records)]


def _of_card(seen: Sequence[Seen], lanes: Mapping[str, tuple[str, str]]) -> Iterator[Sighting]:
    """Yield the first event of each kind (of RegisterWritten: of each register) that has a lane."""
    firsts: dict[str, Seen] = {}
    for event in seen:
        firsts.setdefault(str(event.fields.get("register", event.kind)), event)
    for key, event in firsts.items():
        if key in lanes:
            yield Sighting(*lanes[key], Source.DEVICE, event.t_ns)


def _sent_and_freed(queue: int, records: Sequence[Record]) -> Iterator[Sighting]:
    """Yield the way of the first skb that was handed to ``queue`` until it is freed, and what led to that."""
    start = next((r for r in records if r.name == START and r["queue_mapping"] == queue), None)
    freed = start and next((r for r in records if r.name == FREE and r["skbaddr"] == start["skbaddr"]), None)
    if start is None or freed is None:
        return
    before = {ENQUEUED: ("stack", "net_dev_queue"), START: ("stack", "net_dev_start_xmit")}
    for record in records:
        if record.name in before and record["skbaddr"] == start["skbaddr"] and record.t <= start.t:
            yield Sighting(*before[record.name], Source.GUEST, record.t)
    xmit = [r for r in records if r.name == XMIT.event and r.cpu == start.cpu and r.t >= start.t][:1]
    here = [r for r in records if r.cpu == freed.cpu]
    softirqs = [r for r in here if r.name == SOFTIRQ_ENTRY and r["vec"] == NET_RX and r.t < freed.t][-1:]
    led = {name: [r for r in here if r.name == name and r.t < freed.t][-1:] for name in (MSIX.event, POLL.event)}
    completed = [r for r in here if r.name == COMPLETE.event and r.t > freed.t][:1]
    for lane, what, found in (
        ("driver", "igb_xmit_frame_ring", xmit),
        ("interrupt", "igb_msix_ring", led[MSIX.event]),
        ("softirq", "NET_RX", softirqs),
        ("NAPI", "igb_poll", led[POLL.event]),
        ("NAPI", "consume_skb", [freed]),
        ("NAPI", "napi_complete_done", completed),
    ):
        yield from (Sighting(lane, what, Source.GUEST, record.t) for record in found)
