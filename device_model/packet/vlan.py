# SPDX-License-Identifier: BSD-3-Clause
"""VLAN tags on the wire (IEEE 802.1Q): put in on transmit, taken out on receive."""

from struct import Struct

_TAG = Struct(">HH")
_TAG_OFFSET = 12


def insert(frame: bytes | bytearray | memoryview, ethertype: int, tci: int) -> bytes:
    """Return the frame with a tag behind its source address: ethertype from VET, tci from the context descriptor."""
    return b"".join((frame[:_TAG_OFFSET], _TAG.pack(ethertype & 0xFFFF, tci & 0xFFFF), frame[_TAG_OFFSET:]))


def strip(frame: bytes | bytearray | memoryview) -> tuple[bytes, int]:
    """Return the frame without the tag behind its source address, and that tag's TCI.

    Whether there is a tag is the parser's affair. A frame too short for one comes back whole, with TCI 0.
    """
    if len(frame) < _TAG_OFFSET + 4:
        return bytes(frame), 0
    tci: int = _TAG.unpack_from(frame, _TAG_OFFSET)[1]
    return b"".join((frame[:_TAG_OFFSET], frame[_TAG_OFFSET + 4 :])), tci
