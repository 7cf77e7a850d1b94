# SPDX-License-Identifier: BSD-3-Clause
"""Segmentation inside a tunnel: the card steps the outer header and the inner TCP, software has done the rest."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from harness import frames
from harness.answers_tcp import answer_tcp
from harness.checks.streams import send_stream
from harness.claims import claim
from harness.dissect import Packet, dissect, ip_checksum_right, transport_checksum_right
from harness.lab import GUEST_IPV4, PEER_IPV4
from harness.traffic import Station

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

VXLAN_PORT, VNI, VXLAN_HEADER = 4789, 0x5A31C, 8
VALID_VNI = 0x0800_0000
"""RFC 7348 5: the I flag."""

NAME = "vx0"
GUEST = {4: "10.77.3.1", 6: "fd77:3::1"}
PARTNER = Station.of("02:77:00:00:00:02", "10.77.3.2", "fd77:3::2")
THERE = {4: "10.77.3.2", 6: "fd77:3::2"}
PREFIX = {4: 24, 6: 64}
PORT = 7300

TCPV4, TCPV6, TUNNEL, TUNNEL_CSUM, PARTIAL = 1 << 0, 1 << 4, 1 << 10, 1 << 11, 1 << 12
"""Bits of gso_type: SKB_GSO_TCPV4, SKB_GSO_UDP_TUNNEL, … (include/linux/skbuff.h)."""


def vxlan(bound: Bound, *, sums: bool) -> None:
    """Make a VXLAN device over the interface, whose outer datagrams have a checksum or none; gone after the check."""
    netif = bound.netif
    words = ("local", GUEST_IPV4, "remote", PEER_IPV4, "dev", netif.name, "dstport", VXLAN_PORT, "nolearning")
    netif.ip("link", "add", NAME, "type", "vxlan", "id", VNI, *words, "udpcsum" if sums else "noudpcsum")
    bound.guest.undo.remember(NAME, lambda: netif.ip("link", "del", NAME))
    netif.ip("link", "set", NAME, "addrgenmode", "none", "up")
    for family, address in GUEST.items():
        netif.ip("address", "add", f"{address}/{PREFIX[family]}", "dev", NAME, *(("nodad",) if family == 6 else ()))
        mac = PARTNER.mac.hex(":")
        netif.ip("neigh", "replace", THERE[family], "lladdr", mac, "dev", NAME, "nud", "permanent")


def inside(frame: bytes) -> bytes:
    """Return the frame in the tunnel, or the frame itself if it is none of the tunnel's."""
    outer = dissect(frame)
    tunnelled = outer.protocol == frames.UDP and outer.destination_port == VXLAN_PORT
    return outer.payload[VXLAN_HEADER:] if tunnelled else frame


def answer_inside(frame: bytes, station: Station) -> bytes | None:
    """Return what the partner at the other end of the tunnel answers to TCP in it."""
    outer, inner = dissect(frame), inside(frame)
    reply = answer_tcp(inner, PARTNER) if inner is not frame else None
    if reply is None:
        return None
    body = struct.pack("!II", VALID_VNI, VNI << 8) + reply
    addresses = outer.destination_ip, outer.source_ip
    datagram = frames.ipv4(*addresses, frames.UDP, frames.udp(addresses, 50_000, VXLAN_PORT, body))
    return frames.ethernet(outer.source, station.mac, frames.ETHERTYPE_IPV4, datagram)


def faults(frame: bytes, *, sums: bool) -> list[str]:
    """Return what is wrong with the headers of a tunnelled segment, outer and inner."""
    outer, inner = dissect(frame), dissect(inside(frame))
    lengths = [int.from_bytes(frame[at : at + 2], "big") for at in (outer.l3 + 2, outer.l4 + 4)]
    found = {
        "outer IP checksum": ip_checksum_right(outer),
        "outer IP length": lengths[0] == len(frame) - outer.l3,
        "outer UDP length": lengths[1] == len(frame) - outer.l4,
        "outer UDP checksum": transport_checksum_right(outer),
        "outer UDP checksum where none is due": (frame[outer.l4 + 6 : outer.l4 + 8] != b"\0\0") == sums,
        "VXLAN header": outer.payload[:VXLAN_HEADER] == struct.pack("!II", VALID_VNI, VNI << 8),
        "inner IP checksum": ip_checksum_right(inner),
        "inner IP length": inner.end == len(inner.frame) and inner_length(inner) == len(inner.frame) - inner.l3,
        "inner TCP checksum": transport_checksum_right(inner),
    }
    return [name for name, right in found.items() if not right]


def inner_length(packet: Packet) -> int:
    """Return the length of the whole IP packet as its header says."""
    if packet.family == 4:
        return int.from_bytes(packet.frame[packet.l3 + 2 : packet.l3 + 4], "big")
    return 40 + int.from_bytes(packet.frame[packet.l3 + 4 : packet.l3 + 6], "big")


@claim("OFF-12")
@pytest.mark.parametrize(("family", "sums"), [(6, False), (6, True), (4, False)])
def test_large_sends_in_a_tunnel_are_segmented_by_the_card(
    bound: Bound, evidence: Evidence, family: int, *, sums: bool
) -> None:
    """60 000 bytes over TCP through VXLAN, then the same with tso off. Each header of each segment is judged.

    Over IPv4 the card may cut only if identical ids inside are allowed (igb_features_check): tx-tcp-mangleid.
    """
    expected = PARTIAL | (TUNNEL_CSUM if sums else TUNNEL) | {4: TCPV4, 6: TCPV6}[family]
    vxlan(bound, sums=sums)
    if family == 4:
        bound.netif.settings.set_features(tx_tcp_mangleid_segmentation=True)
    for number, on in enumerate((True, False)):
        if not on:
            bound.netif.settings.set_features(tso=False)
        stream = send_stream(bound, THERE[family], PORT + number, answer_inside, inside)
        cut = [packet for packet in stream.packets if packet.data[0]["tse"]]
        kinds = {record["gso_type"] for record in stream.started if record["gso_size"]}
        wrong = [fault for one in stream.frames for fault in faults(one, sums=sums)]
        evidence.note(
            what=f"IPv{family} in VXLAN {'with' if sums else 'without'} checksums, tso {'on' if on else 'off'}",
            guest={"gso_type": sorted(map(hex, kinds)), "cut by software": stream.cut},
            device={"TSE": len(cut), "frames": len(stream.frames), "wrong": wrong[:3]},
        )
        assert wrong == []
        assert stream.whole
        assert bool(cut) == on
        assert len(stream.frames) > 40
        assert kinds == ({expected} if on else set())
        assert not on or len(stream.packets) < len(stream.frames)
