# SPDX-License-Identifier: BSD-3-Clause
"""A TCP that takes whatever is sent to it: enough for the guest to connect, send at full speed and close.

It remembers nothing: every acknowledgement follows from the one segment that it answers, which is right as long as
segments neither get lost nor overtake each other, as on the harness's wire. Pure: a frame in, a frame or None out.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from harness import frames
from harness.dissect import dissect

if TYPE_CHECKING:
    from harness.dissect import Packet
    from harness.traffic import Station

FIRST_SEQUENCE = 0x6869_6C6E
WINDOW = 0xFFFF
WINDOW_SHIFT = 10
"""A window of 64 MiB: only congestion control and the queue under test hold the sender back."""

MSS = {4: 1460, 6: 1440}


def answer_tcp(frame: bytes, station: Station) -> bytes | None:
    """Return what ``station`` answers to a TCP segment for it: SYN-ACK, ACK, or FIN-ACK; None where nothing is due."""
    packet = dissect(frame)
    ours = {4: station.ipv4, 6: station.ipv6}.get(packet.family)
    if packet.protocol != frames.TCP or packet.fragment or packet.destination_ip != ours or packet.source_port is None:
        return None
    flags = packet.tcp_flags
    (acknowledged,) = struct.unpack_from("!I", frame, packet.l4 + 8)
    following = packet.tcp_sequence + len(packet.payload)
    if flags & frames.RST:
        return None
    if flags & frames.SYN:
        options = struct.pack("!BBHBBBB", 2, 4, MSS[packet.family], 1, 3, 3, WINDOW_SHIFT)
        return _segment(packet, station, FIRST_SEQUENCE, following + 1, frames.SYN | frames.ACK, options)
    if flags & frames.FIN:
        return _segment(packet, station, acknowledged, following + 1, frames.FIN | frames.ACK)
    if packet.payload:
        return _segment(packet, station, acknowledged, following, frames.ACK)
    return None


def _segment(
    packet: Packet, station: Station, sequence: int, acknowledged: int, flags: int, options: bytes = b""
) -> bytes:
    """Return an empty segment back to where ``packet`` came from (RFC 9293 3.1, options of RFC 7323 2.2)."""
    addresses = packet.destination_ip, packet.source_ip
    words = 5 + len(options) // 4
    ports = packet.destination_port, packet.source_port
    numbers = sequence & 0xFFFF_FFFF, acknowledged & 0xFFFF_FFFF
    segment = bytearray(struct.pack("!HHIIBBHHH", *ports, *numbers, words << 4, flags, WINDOW, 0, 0) + options)
    pseudo = frames.pseudo_header(*addresses, frames.TCP, len(segment))
    struct.pack_into("!H", segment, 16, frames.ones_sum(pseudo + bytes(segment)) ^ 0xFFFF)
    if packet.family == 4:
        datagram = frames.ipv4(*addresses, frames.TCP, bytes(segment))
        ethertype = frames.ETHERTYPE_IPV4
    else:
        datagram = frames.ipv6(*addresses, frames.TCP, bytes(segment))
        ethertype = frames.ETHERTYPE_IPV6
    return frames.pad(frames.ethernet(packet.source, station.mac, ethertype, datagram, packet.vlans))
