# SPDX-License-Identifier: BSD-3-Clause
"""VLAN tags on the wire (IEEE 802.1Q): put in on transmit, taken out on receive."""

from struct import Struct

_TAG = Struct(">HH")
_TAG_OFFSET = 12


def insert(frame: bytes | bytearray | memoryview, ethertype: int, tci: int, outer: int | None = None) -> bytes:
    """Return the frame with a tag behind its source address: ethertype from VET, tci from the context descriptor.

    With ``outer``, a tag of that type which is there already stays the first.
    """
    at = _TAG_OFFSET + len(outer_tag(frame, outer))
    return b"".join((frame[:at], _TAG.pack(ethertype & 0xFFFF, tci & 0xFFFF), frame[at:]))


def outer_tag(frame: bytes | bytearray | memoryview, outer: int | None) -> bytes:
    """Return the four bytes of the outer tag, which is of type ``outer``; none if the frame has none, or for None."""
    if outer is None or len(frame) < _TAG_OFFSET + 4 or frame[_TAG_OFFSET] << 8 | frame[_TAG_OFFSET + 1] != outer:
        return b""
    return bytes(frame[_TAG_OFFSET : _TAG_OFFSET + 4])


def without(frame: bytes, tag: bytes) -> bytes:
    """Return the frame without ``tag``, its outer one."""
    return frame[:_TAG_OFFSET] + frame[_TAG_OFFSET + len(tag) :] if tag else frame


def put_back(frame: bytes, tag: bytes) -> bytes:
    """Return the frame with ``tag`` as its outer one."""
    return frame[:_TAG_OFFSET] + tag + frame[_TAG_OFFSET:] if tag else frame


def strip(frame: bytes | bytearray | memoryview) -> tuple[bytes, int]:
    """Return the frame without the tag behind its source address, and that tag's TCI.

    Whether there is a tag is the parser's affair. A frame too short for one comes back whole, with TCI 0.
    """
    if len(frame) < _TAG_OFFSET + 4:
        return bytes(frame), 0
    tci: int = _TAG.unpack_from(frame, _TAG_OFFSET)[1]
    return b"".join((frame[:_TAG_OFFSET], frame[_TAG_OFFSET + 4 :])), tci
