# SPDX-License-Identifier: BSD-3-Clause
"""Offloads: every frame on the wire against a reference that is built without the card's help.

The guest sends through a packet socket with a virtio_net_hdr, so that the check chooses each byte of the skb: numbers
that wrap, flags, options, sums that come out as 0.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from harness import frames
from harness.checks.sending import (
    QUEUE,
    VNET_HEADER,
    Packet,
    Sender,
    fetched,
    offloaded,
    packets,
    pinned_sender,
    plain,
    tcp_syn,
    vlan_device,
    without_bql,
)
from harness.checks.witness import watched
from harness.claims import claim
from harness.dissect import dissect, transport_checksum_right
from harness.frames import ACK, FIN, PSH, Checksum
from harness.oracles import transmit
from harness.traffic import FILLER, Flow, flows, frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.evidence import Evidence
    from harness.guest.ringbuffer import Record
    from harness.lab import Bound

VID, TAG = 0x5A3, 4
TIMESTAMPS = b"\x01\x01\x08\x0a" + bytes(range(0x81, 0x89))
"""TCP options of 12 bytes: NOP, NOP, timestamps (RFC 7323)."""

NEAR_WRAP = 0xFFFF_F000


def tcp_frame(flow: Flow, payload: bytes, sequence: int, flags: int, ident: int, options: bytes = b"") -> bytes:
    """Return a TCP frame of ``flow`` with everything that segmentation must step or keep."""
    addresses = flow.addresses
    ports = flow.source_port, flow.destination_port
    body = frames.tcp(addresses, *ports, payload, sequence=sequence, flags=flags, options=options)
    if flow.family == 6:
        packet, kind = frames.ipv6(*addresses, frames.TCP, body), frames.ETHERTYPE_IPV6
    else:
        packet, kind = frames.ipv4(*addresses, frames.TCP, body, ident=ident & 0xFFFF), frames.ETHERTYPE_IPV4
    return frames.pad(frames.ethernet(flow.destination.mac, flow.source.mac, kind, packet, flow.vlans))


def flow_of(bound: Bound, protocol: str, family: int) -> Flow:
    """Return a flow from the guest to the peer."""
    assert bound.peer.guest is not None
    [flow] = flows(1, bound.peer.guest, bound.peer.station, family=family, protocol=protocol, seed=family)
    return flow


def sent_by_the_card(
    bound: Bound, sender: Sender, framed: Sequence[bytes], count: int
) -> tuple[list[bytes], list[Packet], list[Record]]:
    """Send what is ``framed`` and return the ``count`` frames that come of it, the packets and the skbs at eth0.

    There are no packets where the card has no control socket to tell of descriptors. Other lengths do not count: the
    sender's CPU may have to say something of its own, such as a neighbour solicitation that an earlier check caused.
    """
    sizes = {len(one) - VNET_HEADER + more for one in framed for more in (0, TAG)}
    with (
        bound.guest.trace.session(
            "net:net_dev_start_xmit", filters={"net:net_dev_start_xmit": f'name == "{bound.netif.name}"'}
        ) as trace,
        watched(bound, "TxDescriptor") as seen,
    ):
        sender.send_raw(framed)
        wire = bound.peer.expect(count, lambda one: dissect(one).protocol in (frames.TCP, frames.UDP))
        taken = [] if seen is None else packets(fetched(seen, QUEUE))
    skbs = [record for record in trace.records if record["queue_mapping"] == QUEUE and record["len"] in sizes]
    return wire, [packet for packet in taken if packet.length in sizes], skbs


@claim("TX-09", "TX-10")
@pytest.mark.parametrize(
    ("family", "options", "tagged"), [(4, b"", False), (4, TIMESTAMPS, False), (6, TIMESTAMPS, False), (4, b"", True)]
)
def test_tcp_is_segmented_by_the_card(
    bound: Bound, evidence: Evidence, family: int, options: bytes, *, tagged: bool
) -> None:
    """9001 bytes in segments of 1400: six whole ones and one of 601. Sequence number and IP id both wrap on the way.

    FIN and PSH are set, so that only the last segment may have them. Options and tag make the headers 54 to 86 bytes.
    """
    size, ident, flags = 1400, 0xFFFD, FIN | PSH | ACK
    without_bql(bound)
    sender = pinned_sender(bound, device=vlan_device(bound, VID) if tagged else "")
    flow = flow_of(bound, "tcp", family)
    payload = FILLER[:9001]
    large = tcp_frame(flow, payload, NEAR_WRAP, flags, ident, options)
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    on_wire = replace(flow, vlans=(VID,)) if tagged else flow
    expected = [
        tcp_frame(on_wire, part, NEAR_WRAP + at * size, flags if part is parts[-1] else ACK, ident + at, options)
        for at, part in enumerate(parts)
    ]
    wire, taken, [skb] = sent_by_the_card(bound, sender, [offloaded(large, size)], len(expected))
    evidence.note(
        guest={"gso_size": skb["gso_size"], "gso_segs": skb["gso_segs"], "len": skb["len"]},
        device={"descriptors": [packet.descriptors for packet in taken], "frames": [len(one) for one in wire]},
    )
    assert (skb["gso_size"], skb["gso_segs"], skb["len"]) == (size, len(expected), len(large))
    if bound.control is not None:
        [packet] = taken
        assert packet.context is not None
        assert packet.data[0]["tse"]
        assert (packet.context["mss"], packet.context["l4len"]) == (size, 20 + len(options))
        assert (packet.context["maclen"], packet.context["iplen"]) == (14, 20 if family == 4 else 40)
        assert packet.data[0]["paylen"] == len(payload)
    assert [len(one) - 4 * tagged for one in wire] == transmit.frame_lengths(len(large) - len(payload), 9001, size)
    assert wire == expected


@claim("TX-11")
@pytest.mark.parametrize("family", [4, 6])
def test_udp_is_segmented_into_datagrams(bound: Bound, evidence: Evidence, family: int) -> None:
    """5000 bytes in datagrams of 1400, the last of 800: each with its own header, id and sum, none a fragment."""
    size, ident = 1400, 0xFFFE
    without_bql(bound)
    sender, flow, payload = pinned_sender(bound), flow_of(bound, "udp", family), FILLER[77:5077]
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    expected = [frame(flow, part, ident=ident + at & 0xFFFF) for at, part in enumerate(parts)]
    large = frame(flow, payload, ident=ident)
    wire, taken, [skb] = sent_by_the_card(bound, sender, [offloaded(large, size)], len(expected))
    evidence.note(
        guest={"gso_size": skb["gso_size"], "gso_segs": skb["gso_segs"], "gso_type": skb["gso_type"]},
        device={"frames": [len(one) for one in wire], "fragments": sum(dissect(one).fragment for one in wire)},
    )
    assert (skb["gso_size"], skb["gso_segs"]) == (size, len(expected))
    if bound.control is not None:
        [packet] = taken
        assert packet.context is not None
        assert (packet.data[0]["tse"], packet.context["l4t"], packet.context["l4len"]) == (1, 0, 8)
    assert not any(dissect(one).fragment for one in wire)
    assert wire == expected


@claim("TX-12")
@pytest.mark.parametrize("tagged", [False, True])
def test_checksums_are_the_cards_and_right(bound: Bound, evidence: Evidence, *, tagged: bool) -> None:
    """TCP and UDP over IPv4 and IPv6, 40 lengths each, odd and even, and datagrams whose sum of 0 is sent as 0xFFFF.

    SCTP comes from a real socket; its CRC32c is another sum altogether.
    """
    without_bql(bound)
    sender = pinned_sender(bound, device=vlan_device(bound, VID) if tagged else "")
    made: list[bytes] = []
    for family in (4, 6):
        for protocol in ("tcp", "udp"):
            flow = flow_of(bound, protocol, family)
            made += [frame(flow, FILLER[at : at + 31 * at + at % 2]) for at in range(1, 41)]
        made.append(frame(flow, summing_to_zero(flow)))
    made = [one for one in made if len(one) > frames.FRAME_LEAST]
    expected = [one[:12] + struct.pack("!HH", 0x8100, VID) + one[12:] for one in made] if tagged else made
    wire, taken, skbs = sent_by_the_card(bound, sender, [offloaded(one) for one in made], len(made))
    evidence.note(
        guest={"partial": sum(skb["ip_summed"] == 3 for skb in skbs)},
        device={"TXSM": sum(packet.data[0]["txsm"] for packet in taken), "frames": len(wire)},
    )
    assert [skb["ip_summed"] for skb in skbs] == [3] * len(made)
    if bound.control is not None:
        assert [packet.data[0]["txsm"] for packet in taken] == [1] * len(made)
    assert wire == expected
    if not tagged:
        bound.netif.tool("modprobe", "sctp")
        tcp_syn(bound, protocol=frames.SCTP)
        [init] = bound.peer.expect(1, lambda one: dissect(one).protocol == frames.SCTP)
        assert transport_checksum_right(dissect(init))


def summing_to_zero(flow: Flow) -> bytes:
    """Return a UDP payload of 40 bytes whose checksum comes out as 0, which UDP writes as 0xFFFF (RFC 768)."""
    payload = FILLER[:38] + b"\0\0"
    packet = dissect(frame(flow, payload, checksum=Checksum.RIGHT))
    return payload[:38] + packet.frame[packet.l4 + 6 : packet.l4 + 8]


@claim("TX-14")
@pytest.mark.parametrize("inserted", [True, False])
def test_vlan_tag_is_inserted_by_the_card_only_when_told(bound: Bound, evidence: Evidence, *, inserted: bool) -> None:
    """50 frames over a VLAN device whose id is no palindrome; the wire must look the same with the offload off.

    The driver has one switch for both directions (igb_fix_features), so that txvlan is switched by rxvlan.
    """
    count = 50
    if not inserted:
        bound.netif.settings.set_features(rxvlan=False)
    without_bql(bound)
    sender = pinned_sender(bound, device=vlan_device(bound, VID))
    flow = flow_of(bound, "udp", 4)
    made = [frame(flow, FILLER[at : at + 100 + at]) for at in range(count)]
    wire, taken, skbs = sent_by_the_card(bound, sender, [plain(one) for one in made], count)
    expected = [one[:12] + struct.pack("!HH", 0x8100, VID) + one[12:] for one in made]
    tags = {packet.context["vlan"] if packet.context else None for packet in taken}
    evidence.note(
        guest={"vlan_tagged": sorted({skb["vlan_tagged"] for skb in skbs})},
        device={"VLE": sum(packet.data[0]["vle"] for packet in taken), "tags in contexts": sorted(map(str, tags))},
    )
    assert {bool(skb["vlan_tagged"]) for skb in skbs} == {inserted}
    if bound.control is not None:
        assert {packet.data[0]["vle"] for packet in taken} == {int(inserted)}
        assert tags == {VID if inserted else None}
        assert [packet.length for packet in taken] == [len(one) + (0 if inserted else 4) for one in made]
    assert wire == expected


@claim("TX-19")
def test_short_frames_are_padded_to_60(bound: Bound, evidence: Evidence) -> None:
    """Every length from 14 to 61, filled with ones, from which padding differs; the driver itself pads up to 17."""
    without_bql(bound)
    sender = pinned_sender(bound)
    made = [sender.head + b"\xff" * extra for extra in range(48)]
    with watched(bound, "TxDescriptor") as seen:
        sender.send_raw(plain(one) for one in made)
        wire = bound.peer.expect(len(made), sender.is_mine)
        taken = None if seen is None else [packet.length for packet in packets(fetched(seen, QUEUE))]
    evidence.note(
        guest={"sent": [len(one) for one in made]},
        device={"descriptors": taken, "on the wire": sorted({len(one) for one in wire})},
    )
    assert taken in (None, [max(17, len(one)) for one in made])
    assert wire == [frames.pad(one) for one in made]
