# SPDX-License-Identifier: BSD-3-Clause
"""Sending so that the count of every step is known: one pinned sender, one queue, no BQL, no disturbance."""

from __future__ import annotations

import base64
import struct
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from device_model.igb.spec.descriptors import TxContext, TxData
from harness import frames
from harness.deadline import Deadline, wait_until
from harness.dissect import dissect
from harness.errors import NotSeen
from harness.frames import pseudo_header
from harness.guest.agent import AgentRefusedError
from harness.guest.program.sockets import numbered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from harness.lab import Bound
    from harness.seen import Recording, Seen

QUEUE, CPU = 1, 2
"""Where a pinned sender sends: neither is the default, and they differ."""

ETHERTYPE = 0x88B5
"""For experiments (IEEE 802): no protocol of the guest's listens, no offload applies."""

SOL_PACKET, PACKET_VNET_HDR, VNET_HEADER = 263, 15, 10
"""Linux include/uapi/linux/if_packet.h; a socket with that option sends a virtio_net_hdr before each frame."""

CHECKSUM_AT = {frames.TCP: 16, frames.UDP: 6}

SOL_UDP, UDP_SEGMENT = 17, 103
"""Linux include/uapi/linux/udp.h: a datagram socket with that option has large sends cut."""

NO_LIMIT = 100_000_000
SEND_BUFFER = 64 << 20
PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Slot:
    """One descriptor as the card fetched it, its fields decoded."""

    index: int
    context: bool
    fields: dict[str, int]

    @classmethod
    def of(cls, event: Seen) -> Slot:
        """Decode a TxDescriptor event."""
        context = TxContext.decode(event.raw)["dtyp"] == TxContext.DTYP
        return cls(event.index, context, (TxContext if context else TxData).decode(event.raw))

    def __getitem__(self, field: str) -> int:
        return self.fields[field]


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet as it lay in the ring: its context descriptor, if any, and its data descriptors."""

    context: Slot | None
    data: tuple[Slot, ...]

    @property
    def last(self) -> Slot:
        """The descriptor that ends it."""
        return self.data[-1]

    @property
    def descriptors(self) -> int:
        """How many slots it takes."""
        return len(self.data) + (self.context is not None)

    @property
    def length(self) -> int:
        """Bytes of its buffers."""
        return sum(slot["dtalen"] for slot in self.data)


def packets(events: Iterable[Seen]) -> list[Packet]:
    """Cut one queue's TxDescriptor events into packets: an optional context, then data up to EOP.

    Raises NotSeen where the descriptors do not follow that grammar.
    """
    found: list[Packet] = []
    context: Slot | None = None
    data: list[Slot] = []
    for slot in map(Slot.of, events):
        if slot.context and (context is not None or data):
            raise NotSeen(f"data must follow a context descriptor, and slot {slot.index} is another context")
        if slot.context:
            context = slot
            continue
        if not slot["dext"] or slot["dtyp"] != TxData.DTYP:
            raise NotSeen(f"slot {slot.index} must be an advanced data descriptor, not {slot.fields}")
        data.append(slot)
        if slot["eop"]:
            found.append(Packet(context, tuple(data)))
            context, data = None, []
    if data or context:
        raise NotSeen(f"the last packet must end with EOP, and has only {len(data)} data descriptors without it")
    return found


def offloaded(frame: bytes, segment_size: int = 0) -> bytes:
    """Return a TCP or UDP frame behind the virtio_net_hdr (virtio 1.2, 5.1.6) that leaves its checksum to the card.

    With ``segment_size`` it is to be segmented too. The checksum field gets the sum of the pseudo header, as from a
    socket (CHECKSUM_PARTIAL).
    """
    packet = dissect(frame)
    assert packet.protocol in CHECKSUM_AT, "a checksum is the card's only for TCP and UDP"
    at = packet.l4 + CHECKSUM_AT[packet.protocol]
    covered = pseudo_header(packet.source_ip, packet.destination_ip, packet.protocol, packet.end - packet.l4)
    seed = frames.ones_sum(covered).to_bytes(2, "big")
    kind = (5 if packet.protocol == frames.UDP else 1 if packet.family == 4 else 4) if segment_size else 0
    header = len(frame) - len(packet.payload) if segment_size else 0
    fields = (1, kind, header, segment_size, packet.l4, CHECKSUM_AT[packet.protocol])
    return struct.pack("<BBHHHH", *fields) + frame[:at] + seed + frame[at + 2 :]


def plain(frame: bytes) -> bytes:
    """Return ``frame`` behind a virtio_net_hdr that asks for nothing."""
    return bytes(VNET_HEADER) + frame


@dataclass(frozen=True, slots=True)
class Sender:
    """A packet socket whose frames all go to transmit queue ``queue``, sent from CPU ``cpu``."""

    bound: Bound
    handle: int
    queue: int
    cpu: int

    @property
    def head(self) -> bytes:
        """The Ethernet header of its frames."""
        return ethernet_head(self.bound)

    def send(self, count: int, size: int = 200, first: int = 0) -> None:
        """Hand over ``count`` numbered frames of ``size`` bytes, numbers from ``first`` on."""
        agent = self.bound.guest.agent
        prefix = base64.b64encode(self.head).decode()
        sent = agent.call(
            "send_numbered", cpus=[self.cpu], handle=self.handle, count=count, size=size, prefix=prefix, first=first
        )["sent"]
        assert sent == count

    def send_raw(self, framed: Iterable[bytes]) -> None:
        """Send frames that ``offloaded`` or ``plain`` made, in one call."""
        agent = self.bound.guest.agent
        agent.call("setsockopt", handle=self.handle, level=SOL_PACKET, option=PACKET_VNET_HDR, value=1)
        payloads = [base64.b64encode(frame).decode() for frame in framed]
        agent.call("send", cpus=[self.cpu], handle=self.handle, payloads=payloads)

    def frames(self, count: int, size: int = 200, first: int = 0) -> list[bytes]:
        """Return the frames that ``send`` makes, as they must look on the wire."""
        return [frames.pad(numbered(self.head, number, size)) for number in range(first, first + count)]

    def is_mine(self, frame: bytes) -> bool:
        """Say whether a frame on the wire has this sender's header."""
        return frame.startswith(self.head)


def ethernet_head(bound: Bound, ethertype: int = ETHERTYPE) -> bytes:
    """Return the header of a frame from the guest to the peer."""
    return bound.peer.station.mac + frames.mac(bound.netif.mac) + ethertype.to_bytes(2, "big")


def vlan_device(bound: Bound, vid: int) -> str:
    """Return the name of a VLAN device over the interface that says nothing of its own; gone after the check."""
    name = f"{bound.netif.name}.{vid}"
    bound.netif.ip("link", "add", "link", bound.netif.name, "name", name, "type", "vlan", "id", vid)
    bound.guest.undo.remember(name, lambda: bound.netif.ip("link", "del", name))
    bound.netif.ip("link", "set", name, "addrgenmode", "none", "up")
    return name


def pinned_sender(bound: Bound, queue: int = QUEUE, cpu: int = CPU, device: str = "") -> Sender:
    """Give CPU ``cpu`` the transmit queue ``queue`` for its own and return a sender there; undone after the check.

    It sends through ``device``, which stands on the interface (default: the interface itself).
    """
    bound.netif.set_xps(queue, [cpu])
    agent = bound.guest.agent
    handle = agent.call("open_socket", kind="packet")
    agent.call("bind", handle=handle, address=[device or bound.netif.name, 0])
    agent.call("buffers", handle=handle, send=SEND_BUFFER, receive=None)
    return Sender(bound, handle, queue, cpu)


def udp_socket(bound: Bound, family: int = 4, *, port: int = 9, source_port: int = 0) -> int:
    """Return a UDP socket of the guest, connected to the peer, with room for everything."""
    station, agent = bound.peer.station, bound.guest.agent
    handle: int = agent.call("open_socket", kind="udp", family=2 if family == 4 else 10)
    agent.call("buffers", handle=handle, send=SEND_BUFFER, receive=None)
    if source_port:
        agent.call("bind", handle=handle, address=["0.0.0.0" if family == 4 else "::", source_port])  # noqa: S104
    agent.call("connect", handle=handle, address=[text(station.ipv4 if family == 4 else station.ipv6), port])
    return handle


def text(address: bytes) -> str:
    """Return an IP address as people write it."""
    return str(ip_address(address))


def without_bql(bound: Bound, queue: int = QUEUE, cpu: int = CPU) -> None:
    """Lift the byte limit of ``queue`` until the check is over.

    A limit is taken into account at the next completion only (dql_completed), so a frame is sent for each change.
    """
    sender = pinned_sender(bound, queue, cpu)

    def nudge() -> None:
        sender.send(1, 60)
        bound.peer.expect(1, sender.is_mine)
        wait_idle(bound, queue)

    def back() -> None:
        again = pinned_sender(bound, queue, cpu)
        bound.netif.set_bql(queue, limit_min=0, limit=0)
        again.send(1, 60)
        wait_idle(bound, queue)
        bound.guest.agent.call("close", handle=again.handle)

    bound.guest.undo.remember(("bql", queue), back)
    bound.netif.set_bql(queue, limit_min=NO_LIMIT)
    nudge()


def undisturbed(bound: Bound) -> None:
    """Let the driver's watchdog neither poll (EICS) nor report hangs (STATUS.TXOFF), until the check is over."""
    bound.card.fault("ignore_eics", on=True)
    bound.card.fault("tx_off", on=True)


def fetched(seen: Recording, queue: int) -> list[Seen]:
    """Return the descriptors fetched from ``queue``."""
    return seen.all("TxDescriptor", lambda event: event.queue == queue)


def tails(seen: Recording, queue: int) -> list[int]:
    """Return the tails that the driver wrote for ``queue``."""
    return [e.value for e in seen.all("RegisterWritten", lambda event: event.register == f"TDT[{queue}]")]


def steps(before: int, written: Iterable[int], count: int) -> Iterator[int]:
    """Yield by how many descriptors each tail write moved the tail of a ring of ``count``."""
    for tail in written:
        yield (tail - before) % count
        before = tail


def wait_tail(bound: Bound, queue: int, tail: int, seconds: float = PATIENCE_S) -> None:
    """Wait until the tail of ``queue`` is ``tail``. Raises NotSeen."""
    wait_until(
        lambda: bound.card.register("TDT", queue) == tail,
        Deadline.after(seconds),
        f"TDT[{queue}] being {tail}",
        NotSeen,
    )


def wait_idle(bound: Bound, queue: int, seconds: float = PATIENCE_S) -> None:
    """Wait until nothing of ``queue`` is in flight. Raises NotSeen."""
    wait_until(lambda: bound.netif.bql(queue).inflight == 0, Deadline.after(seconds), f"tx-{queue} being idle", NotSeen)


def tcp_syn(bound: Bound, family: int = 4, *, protocol: int = 0, port: int = 7) -> None:
    """Let the guest open a connection to the peer, which does not answer, and give up after one SYN or INIT."""
    agent, station = bound.guest.agent, bound.peer.station
    handle = agent.call("open_socket", kind="tcp", family=2 if family == 4 else 10, protocol=protocol)
    address = [text(station.ipv4 if family == 4 else station.ipv6), port]
    with suppress(AgentRefusedError):
        agent.call("connect", cpus=[CPU], handle=handle, address=address, seconds=0.05)
    agent.call("close", handle=handle)


def b64(data: bytes) -> str:
    """Return bytes as they travel to the agent."""
    return base64.b64encode(data).decode()
