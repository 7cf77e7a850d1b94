# SPDX-License-Identifier: BSD-3-Clause
"""Builders of right frames: Ethernet, VLAN, IPv4, IPv6, TCP, UDP, SCTP. Pure functions, bytes in, bytes out.

They share no code with the device: sums go word by word, CRCs bit by bit, so that they can judge it. Addresses are
bytes in network order. No padding and no frame check sequence unless asked for.
"""

import struct

TCP = 6
UDP = 17
SCTP = 132
ICMPV6 = 58

FIN = 0x01
SYN = 0x02
PSH = 0x08
ACK = 0x10
CWR = 0x80

GUEST_MAC = bytes.fromhex("525400abcdef")
PEER_MAC = bytes.fromhex("020a0b0c0d0e")


def word_sum(data: bytes, initial: int = 0) -> int:
    """Sum 16-bit words with end-around carry, as RFC 1071 4.1 writes it."""
    total = initial
    for index in range(0, len(data) - 1, 2):
        total += data[index] << 8 | data[index + 1]
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def internet_checksum(data: bytes) -> int:
    """Return the RFC 1071 checksum."""
    return ~word_sum(data) & 0xFFFF


def bitwise_crc32c(data: bytes) -> int:
    """Return the CRC32c of data, one bit at a time (reflected polynomial 0x82F63B78)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x82F63B78 if crc & 1 else crc >> 1
    return crc ^ 0xFFFFFFFF


def pseudo_header(source: bytes, destination: bytes, protocol: int, length: int) -> bytes:
    """Return the IPv4 (RFC 9293 3.1) or IPv6 (RFC 8200 8.1) pseudo header."""
    if len(source) == 4:
        return source + destination + struct.pack(">BBH", 0, protocol, length)
    return source + destination + struct.pack(">II", length, protocol)


def ethernet(
    payload: bytes,
    ethertype: int,
    *,
    destination: bytes = GUEST_MAC,
    source: bytes = PEER_MAC,
    vlan: int | None = None,
    vlan_ethertype: int = 0x8100,
    pad_to: int = 0,
) -> bytes:
    """Return a frame; vlan is a TCI or None, pad_to a least length to fill with zeros."""
    tag = b"" if vlan is None else struct.pack(">HH", vlan_ethertype, vlan)
    return (destination + source + tag + struct.pack(">H", ethertype) + payload).ljust(pad_to, b"\0")


def ipv4(
    payload: bytes,
    protocol: int,
    source: bytes,
    destination: bytes,
    *,
    identification: int = 0x4321,
    fragment: int = 0,
    options: bytes = b"",
    ttl: int = 64,
) -> bytes:
    """Return an IPv4 packet; fragment is the 16-bit flags-and-offset field, options a multiple of 4 bytes."""
    version_ihl = 0x45 + len(options) // 4
    total = 20 + len(options) + len(payload)
    header = struct.pack(
        ">BBHHHBBH4s4s", version_ihl, 0, total, identification, fragment, ttl, protocol, 0, source, destination
    )
    value = internet_checksum(header + options)
    return header[:10] + struct.pack(">H", value) + header[12:] + options + payload


def ipv6(payload: bytes, next_header: int, source: bytes, destination: bytes) -> bytes:
    """Return an IPv6 packet; payload starts with extension headers, if any, and next_header names the first of them."""
    return struct.pack(">IHBB16s16s", 0x60012345, len(payload), next_header, 64, source, destination) + payload


def ip(payload: bytes, protocol: int, source: bytes, destination: bytes) -> tuple[bytes, int]:
    """Return (packet, EtherType), the version chosen by the length of the addresses."""
    if len(source) == 4:
        return ipv4(payload, protocol, source, destination), 0x0800
    return ipv6(payload, protocol, source, destination), 0x86DD


def tcp(
    payload: bytes,
    source: bytes,
    destination: bytes,
    ports: tuple[int, int],
    *,
    sequence: int = 0x01020304,
    acknowledgement: int = 0x0A0B0C0D,
    flags: int = ACK,
    options: bytes = b"",
) -> bytes:
    """Return a TCP segment with its checksum; options a multiple of 4 bytes."""
    offset = (20 + len(options)) // 4 << 4
    header = struct.pack(">HHIIBBHHH", *ports, sequence, acknowledgement, offset, flags, 0x7210, 0, 0)
    segment = header + options + payload
    value = internet_checksum(pseudo_header(source, destination, TCP, len(segment)) + segment)
    return segment[:16] + struct.pack(">H", value) + segment[18:]


def udp(
    payload: bytes, source: bytes, destination: bytes, ports: tuple[int, int], *, with_checksum: bool = True
) -> bytes:
    """Return a UDP datagram; without its checksum the field is 0."""
    datagram = struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload
    value = 0
    if with_checksum:
        value = internet_checksum(pseudo_header(source, destination, UDP, len(datagram)) + datagram) or 0xFFFF
    return datagram[:6] + struct.pack(">H", value) + datagram[8:]


def sctp(payload: bytes, ports: tuple[int, int], *, tag: int = 0xCAFEBABE) -> bytes:
    """Return an SCTP packet around chunks given as bytes, with its CRC32c."""
    packet = struct.pack(">HHII", *ports, tag, 0) + payload
    return packet[:8] + struct.pack("<I", bitwise_crc32c(packet)) + packet[12:]


def tcp_frame(
    payload: bytes, source: bytes, destination: bytes, ports: tuple[int, int], *, flags: int = ACK, sequence: int = 1
) -> bytes:
    """Return an untagged TCP frame over the IP version of the addresses."""
    return ethernet(
        *ip(tcp(payload, source, destination, ports, flags=flags, sequence=sequence), TCP, source, destination)
    )


def udp_frame(
    payload: bytes, source: bytes, destination: bytes, ports: tuple[int, int], *, with_checksum: bool = True
) -> bytes:
    """Return an untagged UDP frame over the IP version of the addresses."""
    datagram = udp(payload, source, destination, ports, with_checksum=with_checksum)
    return ethernet(*ip(datagram, UDP, source, destination))


def sctp_frame(payload: bytes, source: bytes, destination: bytes, ports: tuple[int, int]) -> bytes:
    """Return an untagged SCTP frame over the IP version of the addresses."""
    return ethernet(*ip(sctp(payload, ports), SCTP, source, destination))


def arp_request(source_ip: bytes, target_ip: bytes, *, source: bytes = PEER_MAC) -> bytes:
    """Return a broadcast ARP request, padded to 60 bytes."""
    body = struct.pack(">HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, source, source_ip, bytes(6), target_ip)
    return ethernet(body, 0x0806, destination=b"\xff" * 6, source=source, pad_to=60)


def ipv6_extension(next_header: int, body: bytes) -> bytes:
    """Return a hop-by-hop, routing or destination options header; body as long as 6 + 8 * n bytes."""
    return struct.pack(">BB", next_header, (len(body) - 6) // 8) + body


def ipv6_fragment_header(next_header: int, *, offset: int, more: bool, identification: int = 0x11223344) -> bytes:
    """Return an IPv6 fragment header; offset in units of 8 bytes."""
    return struct.pack(">BBHI", next_header, 0, offset << 3 | more, identification)
