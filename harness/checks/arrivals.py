# SPDX-License-Identifier: BSD-3-Clause
"""Frames that disturb nothing: sent at the guest's pace, to addresses that nobody has, each known by its length."""

from __future__ import annotations

import ipaddress
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.checks.witness import watched
from harness.deadline import Deadline, wait_until
from harness.errors import NotComparable, NotSeen
from harness.oracles import rss
from harness.traffic import PROTOCOLS, Flow, Station, flows, frame, numbered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.guest.ringbuffer import Record
    from harness.lab import Bound
    from harness.seen import Seen

BATCH = 128
"""Frames sent at a time: any one ring has room for them all."""

ENTRY = "net:napi_gro_receive_entry"
ETHERNET_HEADER = 14
LEAST_SIZE = 32
"""Payload of the shortest frame that is told by its length: no frame needs padding then."""

IPV4_NOWHERE = bytes((198, 19))
IPV6_NOWHERE = bytes.fromhex("fd0000820577")
"""Beginnings of addresses that the guest neither has nor routes to: IP drops such packets without an answer."""


def strangers(
    bound: Bound, count: int, family: int = 4, protocol: str = "tcp", *, seed: int = 1, first: int = 0
) -> list[Flow]:
    """Return flows that differ in both addresses and both ports, numbered from ``first``, to nobody behind the card."""
    pick = random.Random(f"{seed} {family} {protocol}")  # noqa: S311 - a reproducible choice, not a secret
    made = []
    for flow in flows(count, bound.peer.station, nowhere(bound), family=family, protocol=protocol, seed=seed):
        ipv4 = IPV4_NOWHERE + bytes((pick.randrange(256), pick.randrange(1, 255)))
        there = Station(flow.destination.mac, ipv4, IPV6_NOWHERE + pick.randbytes(10))
        made.append(replace(flow, destination=there, number=first + flow.number))
    return made


def nowhere(bound: Bound) -> Station:
    """Return the guest's MAC address with IP addresses that nobody has."""
    return Station(bytes.fromhex(bound.netif.mac.replace(":", "")), IPV4_NOWHERE + b"\1\1", IPV6_NOWHERE + bytes(10))


def only_ports(flow: Flow, count: int, *, first: int = 0, seed: int = 1) -> list[Flow]:
    """Return flows between the addresses of ``flow`` that differ in both ports (ICMP: in the identifier)."""
    pick = random.Random(seed)  # noqa: S311 - a reproducible choice, not a secret
    ports = zip(pick.sample(range(1024, 65536), count), pick.sample(range(1024, 65536), count), strict=True)
    return [
        replace(flow, source_port=source, destination_port=destination, number=first + index)
        for index, (source, destination) in enumerate(ports)
    ]


def told(flow: Flow) -> bytes:
    """Return a frame whose payload is 32 bytes and one for each number of ``flow``: its length tells the flow."""
    return frame(flow, numbered(flow.number, 0, LEAST_SIZE + flow.number))


def as_hashed(flow: Flow) -> rss.Flow:
    """Return ``flow`` as the oracle of receive side scaling takes it."""
    source, destination = (str(ipaddress.ip_address(address)) for address in flow.addresses)
    return rss.Flow(source, destination, PROTOCOLS[flow.protocol], flow.source_port, flow.destination_port)


def oracle(bound: Bound, *, udp4_ports: bool = False, udp6_ports: bool = False) -> rss.Rss:
    """Return the predictor for the guest's own key and the table that ethtool shows."""
    key = bound.guest.proc.rss_key()[: rss.KEY_BYTES]
    return rss.Rss(key, tuple(bound.netif.settings.indirection()), udp4_ports, udp6_ports)


def mixed_table(queues: int = 4, seed: int = 82576) -> list[int]:
    """Return a table without pattern, so that no other index into it gives the same queues."""
    pick = random.Random(seed)  # noqa: S311 - a reproducible choice, not a secret
    return [pick.randrange(queues) for _ in range(rss.TABLE_ENTRIES)]


def deliver(bound: Bound, frames: Sequence[bytes], batch: int = BATCH) -> None:
    """Send ``frames``, ``batch`` at a time, each after the driver has taken those before.

    Raises NotSeen when the driver does not come to rest. No vector may be held. A card without a control socket cannot
    say what it has taken: there every frame must be one that the driver counts.
    """
    for start in range(0, len(frames), batch):
        part = frames[start : start + batch]
        if bound.control is None:
            before = bound.netif.queue_packets().total
            bound.peer.send(*part)
            wait_counted(bound, before + len(part))
            continue
        target = bound.card.wire_counts()["arrived"] + len(part)
        bound.peer.send(*part)
        wait_taken(bound, target)


def wait_counted(bound: Bound, packets: int) -> None:
    """Wait until the driver has counted ``packets`` on all its queues."""
    what = f"the driver having counted packet {packets}"
    wait_until(lambda: bound.netif.queue_packets().total >= packets, Deadline.after(20), what, NotSeen)


def wait_taken(bound: Bound, arrived: int) -> None:
    """Wait until the card has taken ``arrived`` frames off its wire and the driver has armed every vector again."""

    def look() -> bool:
        if bound.card.wire_counts()["arrived"] < arrived:
            return False
        now = bound.card.registers("EIMS", "EIAC", "EICR")
        return now["EIMS"] & now["EIAC"] == now["EIAC"] and not now["EICR"] & now["EIAC"]

    wait_until(look, Deadline.after(20), f"the driver having taken frame {arrived}", NotSeen)


def poll_on(bound: Bound, queue: int, cpu: int) -> None:
    """Move the interrupt of ``queue``, where all frames go, to ``cpu``, until the check is over.

    The kernel moves a message's target only when the next one comes (irq_move_irq): one frame goes ahead.
    """
    number = bound.netif.irqs()[f"{bound.netif.name}-rx-{queue}"].number
    bound.guest.proc.set_affinity(number, [cpu])
    [flow] = strangers(bound, 1, protocol="udp")
    deliver(bound, [told(flow)])
    moved = f"IRQ {number} moving to CPU {cpu}"
    wait_until(lambda: bound.guest.proc.affinity(number) == (cpu,), Deadline.after(5), moved, NotSeen)


@dataclass(frozen=True, slots=True)
class Reception:
    """What became of frames: one record for each skb in order of polling, one event for each frame in order.

    A card without a control socket tells nothing: there ``delivered`` is None, and so is what follows from it.
    """

    skbs: list[Record]
    delivered: list[Seen] | None

    @property
    def events(self) -> list[Seen]:
        """What the card says of each frame. Raises NotComparable for a card that says nothing."""
        if self.delivered is None:
            raise NotComparable("the check must hear from the card what became of each frame, and this one is silent")
        return self.delivered

    def hashes(self) -> dict[int, int]:
        """Return the hash in the skb by length of the frame."""
        return {skb["len"] + ETHERNET_HEADER: skb["hash"] for skb in self.skbs}

    def queues(self) -> dict[int, int]:
        """Return the queue that the skb records by length of the frame (the trace counts them from 1)."""
        return {skb["len"] + ETHERNET_HEADER: skb["queue_mapping"] - 1 for skb in self.skbs}

    def device_hashes(self) -> dict[int, int] | None:
        """Return the hash written back by length of the frame."""
        return None if self.delivered is None else {event.length: event.rss_hash for event in self.delivered}

    def device_queues(self) -> dict[int, int] | None:
        """Return the queue that the card chose by length of the frame."""
        return None if self.delivered is None else {event.length: event.queue for event in self.delivered}


def receive(bound: Bound, frames: Sequence[bytes]) -> Reception:
    """Deliver ``frames`` and return what guest and card say of each; both must speak of as many."""
    with bound.guest.trace.session(ENTRY) as trace, watched(bound, "FrameDelivered") as seen:
        deliver(bound, frames)
    skbs = [record for record in trace.records if record["name"] == bound.netif.name]
    delivered = None if seen is None else seen.all("FrameDelivered")
    assert len(skbs) == len(frames)
    assert delivered is None or len(delivered) == len(frames)
    return Reception(skbs, delivered)
