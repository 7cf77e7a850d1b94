# SPDX-License-Identifier: BSD-3-Clause
"""Putting IPv4 fragments together, as strictly as a receiver that trusts nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.dissect import dissect, ip_checksum_right
from harness.frames import DONT_FRAGMENT, MORE_FRAGMENTS, UDP, ones_sum, pseudo_header

if TYPE_CHECKING:
    from collections.abc import Sequence

UNIT = 8
"""Bytes that a fragment offset counts (RFC 791 3.1)."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """The fields of one piece; ``offset`` in units of 8 bytes."""

    ident: int
    offset: int
    more: bool
    whole: bool
    payload: bytes

    @classmethod
    def of(cls, frame: bytes) -> Fragment:
        """Read them from a frame, whose IP checksum must be right."""
        packet = dissect(frame)
        assert packet.family == 4
        assert ip_checksum_right(packet)
        field = int.from_bytes(frame[packet.l3 + 6 : packet.l3 + 8], "big")
        ident = int.from_bytes(frame[packet.l3 + 4 : packet.l3 + 6], "big")
        body = frame[packet.l4 : packet.end]
        return cls(ident, field & 0x1FFF, bool(field & MORE_FRAGMENTS), bool(field & DONT_FRAGMENT), body)


def reassembled(frames: Sequence[bytes]) -> bytes:
    """Return the datagram of ``frames``, which must be its pieces in order, of one id, without gap or overlap."""
    pieces = [Fragment.of(frame) for frame in frames]
    assert len({piece.ident for piece in pieces}) == 1
    assert [piece.more for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    datagram = b""
    for piece in pieces:
        assert piece.offset * UNIT == len(datagram)
        datagram += piece.payload
    return datagram


def udp_sum_right(frames: Sequence[bytes]) -> bool:
    """Tell whether the checksum of the datagram in these fragments is there and right."""
    datagram, first = reassembled(frames), dissect(frames[0])
    pseudo = pseudo_header(first.source_ip, first.destination_ip, UDP, len(datagram))
    return datagram[6:8] != b"\0\0" and ones_sum(pseudo + datagram) == 0xFFFF
