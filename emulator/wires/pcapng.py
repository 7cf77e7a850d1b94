# SPDX-License-Identifier: BSD-3-Clause
"""The pcapng file format (IETF draft-ietf-opsawg-pcapng), as far as one Ethernet interface needs it."""

from __future__ import annotations

import struct

LINKTYPE_ETHERNET = 1
SECTION_HEADER = 0x0A0D0D0A
INTERFACE_DESCRIPTION = 1
ENHANCED_PACKET = 6
BYTE_ORDER_MAGIC = 0x1A2B3C4D

OPT_END = 0
OPT_COMMENT = 1
IF_NAME = 2
IF_TSRESOL = 9
EPB_FLAGS = 2
SHB_USERAPPL = 4

INBOUND = 1
OUTBOUND = 2
"""Direction bits of epb_flags; inbound is what the card receives."""

NANOSECONDS = b"\x09"
"""if_tsresol: units of 10^-9 s."""


def option(code: int, value: bytes) -> bytes:
    """Return one option, padded to 32 bits."""
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def block(kind: int, body: bytes) -> bytes:
    """Return one block; ``body`` is padded to 32 bits already."""
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def section_header(application: str) -> bytes:
    """Return the Section Header Block that starts a file of unknown length."""
    options = option(SHB_USERAPPL, application.encode()) + option(OPT_END, b"")
    return block(SECTION_HEADER, struct.pack("<IHHq", BYTE_ORDER_MAGIC, 1, 0, -1) + options)


def interface_description(name: str) -> bytes:
    """Return the Interface Description Block: Ethernet, no snap length, time in nanoseconds."""
    options = option(IF_NAME, name.encode()) + option(IF_TSRESOL, NANOSECONDS) + option(OPT_END, b"")
    return block(INTERFACE_DESCRIPTION, struct.pack("<HHI", LINKTYPE_ETHERNET, 0, 0) + options)


def enhanced_packet(time_ns: int, frame: bytes, direction: int, comment: str = "") -> bytes:
    """Return the Enhanced Packet Block of ``frame`` (no FCS) on interface 0 at ``time_ns`` since 1970."""
    size = len(frame)
    head = struct.pack("<IIIII", 0, time_ns >> 32 & 0xFFFFFFFF, time_ns & 0xFFFFFFFF, size, size)
    said = option(OPT_COMMENT, comment.encode()) if comment else b""
    options = said + option(EPB_FLAGS, struct.pack("<I", direction)) + option(OPT_END, b"")
    return block(ENHANCED_PACKET, head + frame + bytes(-size % 4) + options)
