# SPDX-License-Identifier: BSD-3-Clause
"""The SCTP that takes everything: what it answers to each kind of chunk, and that a wrong CRC gets nothing."""

from __future__ import annotations

import struct

from harness import frames
from harness.answers_sctp import (
    ABORT,
    COOKIE_ACK,
    COOKIE_ECHO,
    DATA,
    INIT,
    INIT_ACK,
    SACK,
    answer_sctp,
    chunk,
    chunks,
)
from harness.dissect import dissect, transport_checksum_right
from harness.frames import Checksum
from harness.traffic import Station

HERE = Station.of("52:54:00:70:65:65", "198.18.0.2", "fd00:82:576::2")
GUEST = Station.of("52:54:00:82:57:60", "198.18.0.1", "fd00:82:576::1")
TAG = 0x8257_6001


def packet(content: bytes, *, checksum: Checksum = Checksum.RIGHT, to: Station = HERE) -> bytes:
    body = frames.sctp(40000, 7200, content, tag=TAG, checksum=checksum)
    datagram = frames.ipv4(GUEST.ipv4, to.ipv4, frames.SCTP, body)
    return frames.pad(frames.ethernet(HERE.mac, GUEST.mac, frames.ETHERTYPE_IPV4, datagram))


def answered(content: bytes) -> list[tuple[int, bytes]]:
    """Return the chunks of the answer, which must be well made and carry the guest's own tag."""
    reply = answer_sctp(packet(content), HERE)
    assert reply is not None
    found = dissect(reply)
    assert (found.source_port, found.destination_port) == (7200, 40000)
    assert transport_checksum_right(found)
    message = reply[found.l4 : found.end]
    assert int.from_bytes(message[4:8], "big") == TAG
    return list(chunks(message))


def test_init_is_answered_with_the_guests_tag_and_a_cookie() -> None:
    [(kind, content)] = answered(chunk(INIT, struct.pack("!IIHHI", TAG, 1 << 16, 10, 10, 77)))
    assert kind == INIT_ACK
    assert int.from_bytes(content[:4], "big") == TAG
    assert content[16:] == b"\0\7\0\x08oats"


def test_cookie_and_data_are_acknowledged_in_one_packet() -> None:
    data = struct.pack("!IHHI", 77, 0, 0, 0) + b"abc"
    [(first, _), (second, content)] = answered(chunk(COOKIE_ECHO, b"oats") + chunk(DATA, data))
    assert (first, second) == (COOKIE_ACK, SACK)
    assert int.from_bytes(content[:4], "big") == 77


def test_wrong_crc_foreign_address_and_abort_are_not_answered() -> None:
    init = chunk(INIT, struct.pack("!IIHHI", TAG, 1 << 16, 10, 10, 77))
    assert answer_sctp(packet(init, checksum=Checksum.WRONG), HERE) is None
    assert answer_sctp(packet(init, to=GUEST), HERE) is None
    assert answer_sctp(packet(chunk(ABORT)), HERE) is None
