# SPDX-License-Identifier: BSD-3-Clause
"""Taking Ethernet frames apart, as far as a link partner judges them: addresses, ports, payload, checksums."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.frames import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    ETHERTYPE_QINQ,
    ETHERTYPE_VLAN,
    ICMP,
    ICMPV6,
    IPV6_FRAGMENT,
    SCTP,
    TCP,
    UDP,
    crc32c,
    ones_sum,
    pseudo_header,
)

IPV6_OPTIONS = frozenset({0, 43, 60})
"""Hop-by-hop, routing and destination options: extension headers with a length in units of 8 (RFC 8200 4.2)."""


@dataclass(slots=True)
class Packet:
    """What a frame holds. ``family`` is 4, 6 or 0 (not IP); ``payload`` is what follows the innermost header known.

    ``l3`` and ``l4`` are offsets of the IP and the transport header in ``frame``. Bytes after the IP length
    (Ethernet padding) belong to nothing. Ports are None without a transport header that has them. ``fragment``
    holds for every piece of a fragmented datagram, ``first`` only for the piece with the transport header.
    """

    frame: bytes = field(repr=False)
    destination: bytes
    source: bytes
    vlans: tuple[int, ...]
    ethertype: int
    l3: int
    family: int = 0
    source_ip: bytes = b""
    destination_ip: bytes = b""
    protocol: int = -1
    l4: int = 0
    end: int = 0
    fragment: bool = False
    first: bool = True
    source_port: int | None = None
    destination_port: int | None = None
    tcp_flags: int = 0
    tcp_sequence: int = 0
    payload: bytes = field(default=b"", repr=False)


def dissect(frame: bytes) -> Packet:
    """Return what ``frame`` (at least 14 bytes) holds; a header that is cut short counts as payload."""
    at = 12
    vlans: list[int] = []
    while (ethertype := _word(frame, at)) in (ETHERTYPE_VLAN, ETHERTYPE_QINQ) and at + 6 <= len(frame):
        vlans.append(_word(frame, at + 2))
        at += 4
    packet = Packet(frame, frame[:6], frame[6:12], tuple(vlans), ethertype, at + 2)
    packet.end = len(frame)
    if ethertype == ETHERTYPE_IPV4 and len(frame) >= packet.l3 + 20:
        _ipv4(packet)
    elif ethertype == ETHERTYPE_IPV6 and len(frame) >= packet.l3 + 40:
        _ipv6(packet)
    else:
        packet.payload = frame[packet.l3 :]
    return packet


def _ipv4(packet: Packet) -> None:
    frame, at = packet.frame, packet.l3
    packet.family = 4
    packet.source_ip, packet.destination_ip = frame[at + 12 : at + 16], frame[at + 16 : at + 20]
    packet.protocol = frame[at + 9]
    packet.l4 = at + (frame[at] & 15) * 4
    packet.end = min(len(frame), at + _word(frame, at + 2))
    piece = _word(frame, at + 6)
    packet.fragment = bool(piece & 0x3FFF)
    packet.first = not piece & 0x1FFF
    _transport(packet)


def _ipv6(packet: Packet) -> None:
    frame, at = packet.frame, packet.l3
    packet.family = 6
    packet.source_ip, packet.destination_ip = frame[at + 8 : at + 24], frame[at + 24 : at + 40]
    packet.end = min(len(frame), at + 40 + _word(frame, at + 4))
    following = frame[at + 6]
    at += 40
    while at + 8 <= packet.end:
        if following in IPV6_OPTIONS:
            following, at = frame[at], at + 8 + frame[at + 1] * 8
        elif following == IPV6_FRAGMENT:
            packet.fragment = True
            packet.first = not _word(frame, at + 2) & 0xFFF8
            following, at = frame[at], at + 8
        else:
            break
    packet.protocol = following
    packet.l4 = at
    _transport(packet)


def _transport(packet: Packet) -> None:
    frame, at, end = packet.frame, packet.l4, packet.end
    length = {UDP: 8, TCP: 20, SCTP: 12, ICMP: 8, ICMPV6: 8}.get(packet.protocol, 0)
    if not packet.first or at + length > end:
        packet.payload = frame[at:end]
        return
    if packet.protocol in (UDP, TCP, SCTP):
        packet.source_port, packet.destination_port = _word(frame, at), _word(frame, at + 2)
    if packet.protocol == TCP:
        length = (frame[at + 12] >> 4) * 4
        packet.tcp_flags = frame[at + 13]
        packet.tcp_sequence = int.from_bytes(frame[at + 4 : at + 8], "big")
    packet.payload = frame[at + length : end]


def ip_checksum_right(packet: Packet) -> bool:
    """Say whether the IPv4 header's checksum is right; IPv6 has none, which is always right."""
    return packet.family != 4 or ones_sum(packet.frame[packet.l3 : packet.l4]) == 0xFFFF


def transport_checksum_right(packet: Packet) -> bool:
    """Say whether the checksum of TCP, UDP, SCTP, ICMP or ICMPv6 is right; anything else has none.

    Only for whole datagrams: a fragment's checksum covers bytes that are elsewhere, and counts as right. UDP
    without a checksum is right over IPv4 and wrong over IPv6 (RFC 8200 8.1).
    """
    if not packet.family or packet.fragment:
        return True
    segment = packet.frame[packet.l4 : packet.end]
    if packet.protocol == ICMP:
        return ones_sum(segment) == 0xFFFF
    if packet.protocol == SCTP:
        return crc32c(segment[:8] + bytes(4) + segment[12:]) == int.from_bytes(segment[8:12], "little")
    if packet.protocol not in (TCP, UDP, ICMPV6):
        return True
    if packet.protocol == UDP and segment[6:8] == b"\0\0":
        return packet.family == 4
    pseudo = pseudo_header(packet.source_ip, packet.destination_ip, packet.protocol, len(segment))
    return ones_sum(pseudo + segment) == 0xFFFF


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")
