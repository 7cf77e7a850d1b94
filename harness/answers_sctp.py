# SPDX-License-Identifier: BSD-3-Clause
"""An SCTP that takes whatever is sent to it: enough for the guest to set an association up, send and abort.

It remembers nothing: its verification tag is the guest's own, so that one packet tells all that an answer needs. What
has a wrong CRC32c it drops, as RFC 9260 6.8 demands. Pure: a frame in, a frame or None out.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from harness import frames
from harness.dissect import dissect, transport_checksum_right

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.traffic import Station

DATA, INIT, INIT_ACK, SACK, HEARTBEAT, HEARTBEAT_ACK, ABORT, SHUTDOWN, SHUTDOWN_ACK = range(9)
COOKIE_ECHO, COOKIE_ACK = 10, 11
"""Types of chunks (RFC 9260 3.2)."""

STATE_COOKIE = 7
HEADER, CHUNK_HEAD, DATA_HEAD = 12, 4, 16
WINDOW = 1 << 20
STREAMS = 4
FIRST_TSN = 0x6869_6C6E


def chunks(packet: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of each chunk behind the common header of ``packet``; padding is left out."""
    at = HEADER
    while at + CHUNK_HEAD <= len(packet):
        kind, _, length = struct.unpack_from("!BBH", packet, at)
        yield kind, packet[at + CHUNK_HEAD : at + max(CHUNK_HEAD, length)]
        at += max(CHUNK_HEAD, length + 3 & ~3)


def chunk(kind: int, content: bytes = b"") -> bytes:
    """Return a chunk without flags, padded to four bytes."""
    length = CHUNK_HEAD + len(content)
    return struct.pack("!BBH", kind, 0, length) + content + bytes(-length % 4)


def answer_sctp(frame: bytes, station: Station) -> bytes | None:
    """Return what ``station`` answers to an SCTP packet for it; None where nothing is due, or the CRC is wrong."""
    packet = dissect(frame)
    if packet.protocol != frames.SCTP or packet.destination_ip != station.ipv4 or packet.source_port is None:
        return None
    if not transport_checksum_right(packet):
        return None
    message = frame[packet.l4 : packet.end]
    (tag,) = struct.unpack_from("!I", message, 4)
    reply = b""
    for kind, content in chunks(message):
        if kind == INIT:
            tag = int.from_bytes(content[:4], "big")
            cookie = struct.pack("!HH", STATE_COOKIE, CHUNK_HEAD + 4) + b"oats"
            reply += chunk(INIT_ACK, struct.pack("!IIHHI", tag, WINDOW, STREAMS, STREAMS, FIRST_TSN) + cookie)
        elif kind == COOKIE_ECHO:
            reply += chunk(COOKIE_ACK)
        elif kind == HEARTBEAT:
            reply += chunk(HEARTBEAT_ACK, content)
        elif kind == DATA:
            reply += chunk(SACK, content[:4] + struct.pack("!IHH", WINDOW, 0, 0))
    if not reply:
        return None
    assert packet.destination_port is not None
    body = frames.sctp(packet.destination_port, packet.source_port, reply, tag=tag)
    datagram = frames.ipv4(packet.destination_ip, packet.source_ip, frames.SCTP, body)
    return frames.pad(frames.ethernet(packet.source, station.mac, frames.ETHERTYPE_IPV4, datagram))
