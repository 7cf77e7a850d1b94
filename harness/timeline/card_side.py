# SPDX-License-Identifier: BSD-3-Clause
"""The card's witness: its events as marks of queues, vectors and wires, and as the time that a vector was masked."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from harness.dissect import dissect
from harness.frames import ICMP, ICMPV6, SCTP, TCP, UDP
from harness.timeline.line import DEVICE, FROM_GUEST, REGISTERS, TO_GUEST, Lane, Mark, Slice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.seen import Seen

KINDS = (
    *("RegisterRead", "RegisterWritten", "TxDescriptor", "TxWriteBack", "RxDescriptor", "RxWriteBack"),
    *("FrameEmitted", "FrameArrived", "FrameDelivered", "FrameDropped", "CauseRaised", "InterruptSent"),
    *("InterruptWithheld", "AutoMasked", "LinkChanged", "PauseFrame", "DeviceReset", "GuestError"),
)
DMA = ("DmaRead", "DmaWrite")
UNMASK, MASK = "EIMS", "EIMC"
AUTO = "auto-mask"
PROTOCOLS = {ICMP: "ICMP", ICMPV6: "ICMPv6", TCP: "TCP", UDP: "UDP", SCTP: "SCTP"}
QUEUED = {
    "TxDescriptor": "tx",
    "TxWriteBack": "tx",
    "RxDescriptor": "rx",
    "RxWriteBack": "rx",
    "FrameDelivered": "rx",
    "FrameDropped": "rx",
}
WORDS = {
    "TxDescriptor": "fetch",
    "TxWriteBack": "write-back",
    "RxDescriptor": "fetch",
    "RxWriteBack": "write-back",
    "FrameDelivered": "delivered",
    "FrameDropped": "dropped",
    "FrameEmitted": "frame",
    "FrameArrived": "frame",
    "CauseRaised": "cause",
    "InterruptSent": "message",
    "InterruptWithheld": "withheld",
    "LinkChanged": "link",
    "PauseFrame": "pause frame",
    "DeviceReset": "reset",
    "GuestError": "guest error",
    "DmaRead": "DMA read",
    "DmaWrite": "DMA write",
}


def marks(events: Sequence[Seen]) -> list[Mark]:
    """Return a mark for each event but AutoMasked, which ``masked`` shows."""
    return [
        Mark(_lane(event), _name(event), event.t_ns, _details(event), event.kind)
        for event in events
        if event.kind != "AutoMasked"
    ]


def masked(events: Sequence[Seen], end_ns: int) -> list[Slice]:
    """Return from each message that masked its vector until EIMS was written for it, or ``end_ns``."""
    since: dict[int, tuple[int, str]] = {}
    found: list[Slice] = []

    def end(vector: int, t_ns: int, by: str) -> None:
        begun, why = since.pop(vector)
        found.append(Slice(Lane.vector(vector), "masked", begun, t_ns, {"by": why, "until": by}, "masked"))

    for event in events:
        if event.kind == "AutoMasked":  # just before its message is sent
            since.setdefault(event.vector, (event.t_ns, AUTO))
        elif event.kind == "RegisterWritten" and event.register == MASK:
            for vector in _bits(event.value):
                since.setdefault(vector, (event.t_ns, MASK))
        elif event.kind == "RegisterWritten" and event.register == UNMASK:
            for vector in _bits(event.value):
                if vector in since:
                    end(vector, event.t_ns, UNMASK)
    for vector in list(since):
        end(vector, end_ns, "the end of the recording")
    return sorted(found, key=lambda each: each.begin_ns)


def _bits(value: int) -> list[int]:
    return [bit for bit in range(25) if value >> bit & 1]


def _lane(event: Seen) -> Lane:
    fields = event.fields
    if event.kind in ("RegisterRead", "RegisterWritten"):
        return REGISTERS
    if event.kind == "FrameEmitted":
        return FROM_GUEST
    if event.kind == "FrameArrived":
        return TO_GUEST
    if "vector" in fields:
        return Lane.vector(fields["vector"])
    if event.kind in DMA:
        return Lane.queue(str(fields["purpose"])[:2], fields["queue"])
    if event.kind in QUEUED:
        return Lane.queue(QUEUED[event.kind], fields["queue"]) if fields["queue"] >= 0 else DEVICE
    return DEVICE


def _name(event: Seen) -> str:
    if event.kind in ("RegisterRead", "RegisterWritten"):
        return f"{'read' if event.kind == 'RegisterRead' else 'write'} {event.register}"
    return WORDS.get(event.kind, event.kind)


def _details(event: Seen) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in event.fields.items():
        if name == "frame":
            found |= {"length": len(value), "what": summary(value) if len(value) >= 14 else "runt"}
        elif name == "raw":
            found["raw"] = value.hex()
        elif name in ("value", "offset", "iova"):
            found[name] = f"{value:#x}"
        else:
            found[name] = value
    return found


def summary(frame: bytes) -> str:
    """Return a frame in a few words, as ``UDP 198.18.0.1:7000 → 198.18.0.2:9, VLAN 5``.

    >>> summary(bytes(14))
    'EtherType 0x0000'
    """
    packet = dissect(frame)
    vlans = "".join(f", VLAN {tag & 0xFFF}" for tag in packet.vlans)
    if not packet.family:
        return f"EtherType {packet.ethertype:#06x}{vlans}"
    ends = []
    for address, port in (
        (packet.source_ip, packet.source_port),
        (packet.destination_ip, packet.destination_port),
    ):
        text = str(ip_address(address))
        ends.append(text if port is None else f"[{text}]:{port}" if packet.family == 6 else f"{text}:{port}")
    protocol = PROTOCOLS.get(packet.protocol, f"protocol {packet.protocol}")
    return f"{protocol} {' → '.join(ends)}{', fragment' if packet.fragment else ''}{vlans}"
