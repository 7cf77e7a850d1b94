# SPDX-License-Identifier: BSD-3-Clause
"""What a packet is on its way out: its descriptors, the context that offloads need, and the frame on the wire."""

from __future__ import annotations

import base64
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import frames
from harness.checks.sending import (
    CPU,
    QUEUE,
    SOL_UDP,
    UDP_SEGMENT,
    Packet,
    b64,
    ethernet_head,
    fetched,
    packets,
    pinned_sender,
    tcp_syn,
    text,
    udp_socket,
    vlan_device,
    without_bql,
)
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.dissect import dissect, ip_checksum_right, transport_checksum_right
from harness.errors import NotSeen
from harness.guest.program.sockets import numbered
from harness.oracles import transmit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.evidence import Evidence
    from harness.guest.ringbuffer import Record
    from harness.lab import Bound
    from harness.seen import Recording

PARTIAL = 3
"""CHECKSUM_PARTIAL: the card is to complete the checksum."""

L4T = {frames.UDP: 0, frames.TCP: 1, frames.SCTP: 2}
HEADER = {frames.UDP: 8}
PRESENT = 0x1000
"""The bit that the trace event sets in vlan_tci of a tagged skb (skb_vlan_tag_get)."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One skb as the driver got it, the descriptors it became, and the frames that left for them."""

    skb: Record
    packet: Packet
    frames: tuple[bytes, ...]


def sample(bound: Bound) -> list[Sent]:
    """Let the guest send one packet of each kind, and return the three views of each, in order of queues.

    ARP, ICMP and a foreign protocol (no offload), TCP, UDP and SCTP over IPv4, TCP and UDP over IPv6 (checksum),
    large UDP over both (segments), and both a tag alone and a tag with a checksum.
    """
    agent, peer = bound.guest.agent, bound.peer.station
    bound.netif.tool("modprobe", "sctp")
    bound.guest.proc.set_sysctl(f"net.ipv4.neigh.{bound.netif.name}.mcast_solicit", 1)
    tagged = vlan_device(bound, 5)
    bound.netif.ip("address", "add", "198.18.5.1/24", "dev", tagged)
    bound.netif.ip("neigh", "replace", "198.18.5.2", "lladdr", peer.mac.hex(":"), "dev", tagged, "nud", "permanent")
    with (
        bound.peer.answering(),
        bound.card.recording("TxDescriptor", "FrameEmitted") as seen,
        bound.guest.trace.session(
            "net:net_dev_start_xmit", filters={"net:net_dev_start_xmit": f'name == "{bound.netif.name}"'}
        ) as trace,
    ):
        sender = pinned_sender(bound)
        sender.send(1, 200)
        unknown = agent.call("open_socket", kind="udp")
        agent.call("send", cpus=[CPU], handle=unknown, payloads=[b64(b"who?")], address=["198.18.0.77", 9])
        for version, address in (("-4", peer.ipv4), ("-6", peer.ipv6)):
            agent.start("run", cpus=[CPU], argv=["ping", version, "-c1", "-W1", text(address)], seconds=5).result()
        for family in (4, 6):
            handle = udp_socket(bound, family)
            agent.call("send", cpus=[CPU], handle=handle, payloads=[b64(bytes(range(101)))])
            agent.call("setsockopt", handle=handle, level=SOL_UDP, option=UDP_SEGMENT, value=1000)
            agent.call("send", cpus=[CPU], handle=handle, payloads=[b64(bytes(range(250)) * 10)])
            tcp_syn(bound, family)
        tcp_syn(bound, 4, protocol=frames.SCTP)
        over_vlan = agent.call("open_socket", kind="udp")
        agent.call("send", cpus=[CPU], handle=over_vlan, payloads=[b64(b"tagged" * 9)], address=["198.18.5.2", 9])
        bare = agent.call("open_socket", kind="packet")
        agent.call("bind", handle=bare, address=[tagged, 0])
        agent.call("send", cpus=[CPU], handle=bare, payloads=[b64(ethernet_head(bound) + bytes(80))])
        wait_fetched(bound)
    return matched(trace.records, seen, bound.netif.queue_count[1])


def wait_fetched(bound: Bound) -> None:
    """Wait until the card has fetched all that the driver handed over."""

    def level() -> bool:
        rings = [bound.card.ring("tx", queue) for queue in range(bound.netif.queue_count[1])]
        return all(ring["fetched"] == ring["tail"] for ring in rings)

    wait_until(level, Deadline.after(5), "the card fetching up to every tail", NotSeen)


def matched(skbs: Sequence[Record], seen: Recording, queues: int) -> list[Sent]:
    """Put skbs, descriptors and frames together, queue by queue in order; each must account for the others whole.

    The card's recording is the longer one: what it holds before or after the trace is left out.
    """
    found: list[Sent] = []
    for queue in range(queues):
        mine = [skb for skb in skbs if skb["queue_mapping"] == queue]
        taken = packets(fetched(seen, queue))
        emitted = [event.frame for event in seen.all("FrameEmitted") if event.queue == queue]
        sent = [(packet, tuple(emitted.pop(0) for _ in range(frames_of(packet)) if emitted)) for packet in taken]
        lengths = [packet.length for packet in taken]
        wanted = [max(17, skb["len"]) for skb in mine]
        at = next((n for n in range(len(taken)) if lengths[n : n + len(wanted)] == wanted), None) if mine else 0
        if at is None:
            raise NotSeen(f"tx-{queue} must carry skbs of {wanted} bytes, and carried {lengths}")
        found += [Sent(skb, *pair) for skb, pair in zip(mine, sent[at : at + len(mine)], strict=True)]
    return found


def frames_of(packet: Packet) -> int:
    """Return how many frames a packet must make, going by its own descriptors."""
    if not packet.data[0]["tse"]:
        return 1
    assert packet.context is not None
    return transmit.segments(packet.data[0]["paylen"], packet.context["mss"])


@claim("TX-02")
def test_packets_are_advanced_descriptors_with_eop_and_rs_on_the_last(bound: Bound, evidence: Evidence) -> None:
    """One packet of each kind, twelve and more; ``packets`` refuses whatever does not follow the grammar.

    PAYLEN tells segmented from plain: 2500 bytes of data behind 42 or 62 of headers against the whole length.
    """
    sent = sample(bound)
    seen = [
        {"len": one.skb["len"], "gso_size": one.skb["gso_size"], "descriptors": one.packet.descriptors} for one in sent
    ]
    evidence.note(guest={"skbs": seen}, device={"PAYLEN": [one.packet.data[0]["paylen"] for one in sent]})
    assert len(sent) >= 13
    assert sum(one.packet.descriptors > 2 for one in sent) >= 2
    for one in sent:
        first, skb = one.packet.data[0], one.skb
        headers = skb["transport_offset"] + HEADER[frames.UDP] if skb["gso_size"] else 0
        assert first["paylen"] == max(17, skb["len"]) - headers
        for slot in one.packet.data:
            assert (slot["dtyp"], slot["dext"], slot["ifcs"], slot["idx"], slot["dd"]) == (3, 1, 1, 0, 0)
            last = slot is one.packet.last
            assert (slot["eop"], slot["rs"]) == (last, last)


@claim("TX-03")
def test_context_comes_exactly_when_an_offload_needs_it(bound: Bound, evidence: Evidence) -> None:
    """The same packets; each field of the context is worked out from the skb and, for L4T, from the frame that left.

    Checksums of the frames that left are right although TUCMD.IPV4 is 0 in all but one context.
    """
    sent = sample(bound)
    evidence.note(
        guest={"ip_summed": [one.skb["ip_summed"] for one in sent], "gso": [one.skb["gso_size"] for one in sent]},
        device={"contexts": [one.packet.context.fields if one.packet.context else None for one in sent]},
    )
    assert {one.skb["ip_summed"] for one in sent} == {0, PARTIAL}
    assert {dissect(one.frames[0]).protocol for one in sent if one.packet.context} >= set(L4T)
    for one in sent:
        needed = one.skb["ip_summed"] == PARTIAL or one.skb["vlan_tagged"] or one.skb["gso_size"]
        assert (one.packet.context is not None) == bool(needed)
        first = one.packet.data[0]
        if one.packet.context is None:
            assert (first["txsm"], first["ixsm"], first["tse"], first["vle"]) == (0, 0, 0, 0)
        else:
            assert one.packet.context.fields == context_for(one.skb, dissect(one.frames[0]).protocol)
            partial, large = one.skb["ip_summed"] == PARTIAL, bool(one.skb["gso_size"])
            ipv4 = one.skb["protocol"] == frames.ETHERTYPE_IPV4
            assert (first["txsm"], first["ixsm"]) == (partial, large and ipv4)
            assert (first["tse"], first["vle"]) == (large, bool(one.skb["vlan_tagged"]))
        assert one.frames
        for packet in map(dissect, one.frames):
            assert ip_checksum_right(packet)
            assert transport_checksum_right(packet)


def context_for(skb: Record, protocol: int) -> dict[str, int]:
    """Return the fields of the context descriptor that igb must write for ``skb`` (igb_tx_csum, igb_tso)."""
    partial, segment = skb["ip_summed"] == PARTIAL, skb["gso_size"]
    return {
        "iplen": skb["transport_offset"] - skb["network_offset"] if partial else 0,
        "maclen": skb["network_offset"],
        "vlan": skb["vlan_tci"] & ~PRESENT if skb["vlan_tagged"] else 0,
        "ipv4": int(bool(segment) and skb["protocol"] == frames.ETHERTYPE_IPV4),
        "l4t": L4T[protocol] if partial else 0,
        "dtyp": 2,
        "dext": 1,
        "idx": 0,
        "l4len": HEADER[protocol] if segment else 0,
        "mss": segment,
    }


@claim("TX-04")
def test_frame_on_the_wire_is_the_skb(bound: Bound, evidence: Evidence) -> None:
    """300 linear frames of 14 to 1514 bytes without any offload, and 51 datagrams of up to 17 pieces, each on a page.

    The tap stands before the driver. Of the datagrams, whose UDP sum is the card's to fill in, all other bytes are
    compared, and the sum by itself.
    """
    choose = random.Random(402)  # noqa: S311 - a reproducible choice
    bound.netif.use_pfifo()
    without_bql(bound)
    agent, sender = bound.guest.agent, pinned_sender(bound)
    tap = agent.call("open_socket", kind="packet", protocol=3)
    agent.call("bind", handle=tap, address=[bound.netif.name, 3])
    agent.call("buffers", handle=tap, send=None, receive=16 << 20)
    linear = [sender.head + choose.randbytes(choose.randrange(1501)) for _ in range(300)]
    pieces = [[choose.randrange(1, 80) for _ in range(1 + at % 17)] for at in range(51)]
    with bound.card.recording("TxDescriptor") as seen:
        agent.call("send", cpus=[CPU], handle=sender.handle, payloads=[b64(frame) for frame in linear])
        handle = udp_socket(bound)
        agent.call("send_pieces", cpus=[CPU], handle=handle, datagrams=pieces)
        wire = bound.peer.expect(len(linear) + len(pieces), lambda frame: ours(frame, bound))
        told = agent.call("receive", handle=tap, count=0, seconds=10, quiet_s=0.2, body=True)
        taken = packets(fetched(seen, QUEUE))
    tapped = [base64.b64decode(body) for *_, body in told["got"]]
    tapped = [frames.pad(frame) for frame in tapped if ours(frame, bound)]
    evidence.note(
        guest={"frames at the tap": len(tapped), "longest": max(map(len, tapped))},
        device={
            "frames on the wire": len(wire),
            "most descriptors": max(packet.descriptors for packet in taken),
            "longest buffer": max(slot["dtalen"] for packet in taken for slot in packet.data),
        },
    )
    assert wire[: len(linear)] == tapped[: len(linear)] == [frames.pad(frame) for frame in linear]
    assert [without_sum(frame) for frame in wire[len(linear) :]] == [without_sum(f) for f in tapped[len(linear) :]]
    assert len(tapped) == len(wire)
    assert all(transport_checksum_right(dissect(frame)) for frame in wire[len(linear) :])
    assert max(len(packet.data) for packet in taken) == 18  # the headers and 17 pieces
    assert all(slot["dtalen"] <= transmit.MAX_DATA for packet in taken for slot in packet.data)


def ours(frame: bytes, bound: Bound) -> bool:
    """Say whether a frame is one of the experiment's or a UDP datagram to the peer."""
    head = ethernet_head(bound)
    packet = dissect(frame)
    return frame.startswith(head) or (packet.protocol == frames.UDP and packet.destination == head[:6])


def without_sum(frame: bytes) -> bytes:
    """Return a UDP frame over IPv4 with its checksum blanked."""
    return frame[:40] + b"\0\0" + frame[42:]


@claim("TX-21")
def test_completed_buffer_is_never_read_again(bound: Bound, evidence: Evidence) -> None:
    """400 datagrams sent from one page that is overwritten as soon as SIOCOUTQ says it is free, which is at its DD."""
    count, size = 400, 1000
    handle = udp_socket(bound)
    with bound.card.recording("DmaRead", "TxWriteBack", "FrameEmitted") as seen:
        spoiled = bound.guest.agent.call("send_spoiling", cpus=[CPU], handle=handle, count=count, size=size)
        wire = bound.peer.expect(count, lambda frame: ours(frame, bound))
        events = seen.all(where=lambda e: e.kind != "DmaRead" or e.purpose == "tx-payload")
    bodies = [dissect(frame).payload for frame in wire]
    reads: dict[int, int] = {}
    reads_after = 0
    for event in events:
        if event.kind == "DmaRead":
            reads[event.queue] = reads.get(event.queue, 0) + 1
        elif event.kind == "TxWriteBack":
            reads_after += reads.pop(event.queue, 0) != 2
    evidence.note(
        guest={"pages overwritten": spoiled},
        device={"frames": len(wire), "write-backs not right after both reads of their packet": reads_after},
    )
    assert bodies == [numbered(b"", number, size) for number in range(count)]
    assert (spoiled, reads_after) == (count, 0)
    assert len([event for event in events if event.kind == "TxWriteBack"]) == count
