# SPDX-License-Identifier: BSD-3-Clause
"""Building Ethernet frames: headers and checksums as bytes, right by default, wrong exactly where asked.

Addresses are bytes here: 6 (MAC), 4 (IPv4) or 16 (IPv6); ``mac`` and ``ip`` turn text into them. Frames have no
FCS and are not padded to 60 bytes unless ``pad`` is called.
"""

from __future__ import annotations

import ipaddress
import struct
from enum import Enum

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
ETHERTYPE_VLAN = 0x8100
ETHERTYPE_QINQ = 0x88A8
ETHERTYPE_IPV6 = 0x86DD

ICMP, TCP, UDP, IPV6_FRAGMENT, ICMPV6, SCTP = 1, 6, 17, 44, 58, 132
"""Protocol numbers (IANA)."""

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
"""TCP flags (RFC 9293 3.1)."""

MORE_FRAGMENTS, DONT_FRAGMENT = 0x2000, 0x4000
"""Flags in the IPv4 fragment field."""

FRAME_LEAST = 60
"""Shortest frame on a real wire, without FCS (IEEE 802.3 3.2.8)."""


class Checksum(Enum):
    """What stands in a checksum field."""

    RIGHT = "right"
    WRONG = "wrong"
    ZERO = "zero"


def mac(text: str) -> bytes:
    """Return the 6 bytes of ``02:00:00:00:00:01``."""
    return bytes.fromhex(text.replace(":", ""))


def ip(text: str) -> bytes:
    """Return the 4 or 16 bytes of an address."""
    return ipaddress.ip_address(text).packed


def ones_sum(data: bytes) -> int:
    """Return the ones' complement sum of ``data`` as 16-bit big-endian words (RFC 1071), 0 only for all zeros."""
    if len(data) % 2:
        data += b"\0"
    total = int.from_bytes(data, "big")
    return (total % 0xFFFF or 0xFFFF) if total else 0


def checksum_field(data: bytes, wanted: Checksum, *, zero_means_none: bool = False) -> int:
    """Return the field for ``data``, in which the field itself is zero; UDP sends 0xFFFF for 0 (RFC 768)."""
    right = ones_sum(data) ^ 0xFFFF
    if right == 0 and zero_means_none:
        right = 0xFFFF
    if wanted is Checksum.RIGHT:
        return right
    if wanted is Checksum.ZERO:
        return 0
    return right ^ 0x5A5A or 0xA5A5


def pseudo_header(source: bytes, destination: bytes, protocol: int, length: int) -> bytes:
    """Return what the checksums of TCP, UDP and ICMPv6 cover besides the segment (RFC 9293 3.1, RFC 8200 8.1)."""
    if len(source) == 4:
        return source + destination + struct.pack("!BBH", 0, protocol, length)
    return source + destination + struct.pack("!II", length, protocol)


def ethernet(destination: bytes, source: bytes, ethertype: int, payload: bytes, vlans: tuple[int, ...] = ()) -> bytes:
    """Return a frame; ``vlans`` are 16-bit tags (PCP, DEI, VID), outermost first; all but the last have type 0x88A8."""
    tags = b"".join(
        struct.pack("!HH", ETHERTYPE_VLAN if at == len(vlans) - 1 else ETHERTYPE_QINQ, tag)
        for at, tag in enumerate(vlans)
    )
    return destination + source + tags + struct.pack("!H", ethertype) + payload


def pad(frame: bytes, least: int = FRAME_LEAST) -> bytes:
    """Return ``frame`` with zeros up to ``least`` bytes."""
    return frame + bytes(max(0, least - len(frame)))


def ipv4(
    source: bytes,
    destination: bytes,
    protocol: int,
    payload: bytes,
    *,
    ttl: int = 64,
    tos: int = 0,
    ident: int = 0,
    fragment: int = DONT_FRAGMENT,
    options: bytes = b"",
    checksum: Checksum = Checksum.RIGHT,
) -> bytes:
    """Return an IPv4 packet (RFC 791). ``fragment`` is flags and offset in units of 8; ``options`` a multiple of 4."""
    words = 5 + len(options) // 4
    length = words * 4 + len(payload)
    head = struct.pack("!BBHHHBBH", 0x40 | words, tos, length, ident, fragment, ttl, protocol, 0)
    head += source + destination + options
    value = checksum_field(head, checksum)
    return head[:10] + value.to_bytes(2, "big") + head[12:] + payload


def ipv6(
    source: bytes,
    destination: bytes,
    next_header: int,
    payload: bytes,
    *,
    hop_limit: int = 64,
    traffic_class: int = 0,
    flow_label: int = 0,
) -> bytes:
    """Return an IPv6 packet (RFC 8200); ``payload`` starts with the header that ``next_header`` names."""
    first = 6 << 28 | traffic_class << 20 | flow_label
    return struct.pack("!IHBB", first, len(payload), next_header, hop_limit) + source + destination + payload


def ipv6_fragment(next_header: int, offset: int, ident: int, payload: bytes, *, more: bool) -> bytes:
    """Return an IPv6 fragment header and ``payload``; ``offset`` in bytes, a multiple of 8 (RFC 8200 4.5)."""
    return struct.pack("!BBHI", next_header, 0, offset | more, ident) + payload


def udp(
    addresses: tuple[bytes, bytes],
    source_port: int,
    destination_port: int,
    payload: bytes,
    checksum: Checksum = Checksum.RIGHT,
) -> bytes:
    """Return a UDP datagram between IP ``addresses`` (source, destination); ZERO means "none" to IPv4 (RFC 768)."""
    length = 8 + len(payload)
    ports = struct.pack("!HHH", source_port, destination_port, length)
    covered = pseudo_header(*addresses, UDP, length) + ports + b"\0\0" + payload
    value = checksum_field(covered, checksum, zero_means_none=True)
    return ports + value.to_bytes(2, "big") + payload


def tcp(
    addresses: tuple[bytes, bytes],
    source_port: int,
    destination_port: int,
    payload: bytes,
    *,
    sequence: int = 1,
    acknowledgement: int = 1,
    flags: int = ACK,
    window: int = 0xFFFF,
    options: bytes = b"",
    checksum: Checksum = Checksum.RIGHT,
) -> bytes:
    """Return a TCP segment (RFC 9293); ``options`` a multiple of 4 bytes."""
    words = 5 + len(options) // 4
    head = struct.pack(
        "!HHIIBBHHH",
        source_port, destination_port, sequence & 0xFFFFFFFF, acknowledgement & 0xFFFFFFFF, words << 4, flags, window,
        0, 0,
    )  # fmt: skip
    rest = options + payload
    covered = pseudo_header(*addresses, TCP, len(head) + len(rest)) + head + rest
    value = checksum_field(covered, checksum)
    return head[:16] + value.to_bytes(2, "big") + head[18:] + rest


def icmp_echo(
    ident: int, sequence: int, payload: bytes, *, reply: bool = False, checksum: Checksum = Checksum.RIGHT
) -> bytes:
    """Return an ICMP echo request or reply (RFC 792)."""
    body = struct.pack("!HH", ident, sequence) + payload
    kind = bytes((0 if reply else 8, 0))
    value = checksum_field(kind + b"\0\0" + body, checksum)
    return kind + value.to_bytes(2, "big") + body


def icmpv6(
    addresses: tuple[bytes, bytes], kind: int, body: bytes, *, code: int = 0, checksum: Checksum = Checksum.RIGHT
) -> bytes:
    """Return an ICMPv6 message of ``kind`` (RFC 4443: 128 echo request, 135 neighbour solicitation)."""
    head = bytes((kind, code))
    covered = pseudo_header(*addresses, ICMPV6, 4 + len(body)) + head + b"\0\0" + body
    value = checksum_field(covered, checksum)
    return head + value.to_bytes(2, "big") + body


def sctp(
    source_port: int, destination_port: int, chunks: bytes, *, tag: int = 1, checksum: Checksum = Checksum.RIGHT
) -> bytes:
    """Return an SCTP packet with its CRC32c (RFC 9260 3.1 and appendix A)."""
    head = struct.pack("!HHI", source_port, destination_port, tag)
    right = crc32c(head + bytes(4) + chunks)
    value = {Checksum.RIGHT: right, Checksum.ZERO: 0, Checksum.WRONG: right ^ 0x5A5A5A5A}[checksum]
    return head + struct.pack("<I", value) + chunks


def sctp_data(payload: bytes, *, sequence: int = 1) -> bytes:
    """Return one whole DATA chunk with user data ``payload`` (RFC 9260 3.3.1), padded to 4 bytes."""
    length = 16 + len(payload)
    return struct.pack("!BBHIHHI", 0, 3, length, sequence, 0, 0, 0) + payload + bytes(-length % 4)


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of ``data`` (Castagnoli, reflected polynomial 0x82F63B78), slowly: for short data."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
