# SPDX-License-Identifier: BSD-3-Clause
"""What a well-behaved neighbour answers: ARP, neighbour solicitation, echo. Pure: a frame in, a frame or None out."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from harness import frames
from harness.dissect import dissect

if TYPE_CHECKING:
    from harness.dissect import Packet
    from harness.traffic import Station

NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 135, 136
ECHO_REQUEST_V6, ECHO_REPLY_V6 = 128, 129
SOLICITED_OVERRIDE = 0x6000_0000
"""Flags S and O of a neighbour advertisement (RFC 4861 4.4)."""


def answer(frame: bytes, station: Station) -> bytes | None:
    """Return what ``station`` answers to ``frame``, in the VLAN it came from; None when it was not asked anything."""
    packet = dissect(frame)
    if packet.ethertype == frames.ETHERTYPE_ARP:
        return _arp(packet, station)
    if packet.protocol == frames.ICMP and packet.destination_ip == station.ipv4 and not packet.fragment:
        return _echo_v4(packet, station)
    if packet.protocol == frames.ICMPV6 and not packet.fragment:
        return _icmpv6(packet, station)
    return None


def _arp(packet: Packet, station: Station) -> bytes | None:
    """Answer an ARP request for the station's address (RFC 826)."""
    request = packet.payload[:28]
    if len(request) < 28 or request[:8] != struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) or request[24:28] != station.ipv4:
        return None
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2)
    reply = head + station.mac + station.ipv4 + request[8:18]
    return frames.pad(frames.ethernet(request[8:14], station.mac, frames.ETHERTYPE_ARP, reply, packet.vlans))


def _echo_v4(packet: Packet, station: Station) -> bytes | None:
    message = packet.frame[packet.l4 : packet.end]
    if len(message) < 8 or message[0] != 8:
        return None
    ident, sequence = struct.unpack_from("!HH", message, 4)
    reply = frames.icmp_echo(ident, sequence, message[8:], reply=True)
    datagram = frames.ipv4(station.ipv4, packet.source_ip, frames.ICMP, reply)
    return frames.pad(frames.ethernet(packet.source, station.mac, frames.ETHERTYPE_IPV4, datagram, packet.vlans))


def _icmpv6(packet: Packet, station: Station) -> bytes | None:
    message = packet.frame[packet.l4 : packet.end]
    ends = station.ipv6, packet.source_ip
    if len(message) >= 24 and message[0] == NEIGHBOUR_SOLICITATION and message[8:24] == station.ipv6:
        if not any(packet.source_ip):
            return None  # duplicate address detection by somebody else
        target_link_layer = b"\2\1" + station.mac
        body = struct.pack("!I", SOLICITED_OVERRIDE) + station.ipv6 + target_link_layer
        reply = frames.icmpv6(ends, NEIGHBOUR_ADVERTISEMENT, body)
        hop_limit = 255  # RFC 4861 7.1.2
    elif len(message) >= 8 and message[0] == ECHO_REQUEST_V6 and packet.destination_ip == station.ipv6:
        reply = frames.icmpv6(ends, ECHO_REPLY_V6, message[4:])
        hop_limit = 64
    else:
        return None
    datagram = frames.ipv6(*ends, frames.ICMPV6, reply, hop_limit=hop_limit)
    return frames.ethernet(packet.source, station.mac, frames.ETHERTYPE_IPV6, datagram, packet.vlans)
