# SPDX-License-Identifier: BSD-3-Clause
"""Checksums of the data path: the Internet checksum (RFC 1071) and CRC32c (RFC 9260 appendix A).

The ones' complement sum of 16-bit words is the data, read as one big-endian number, modulo 0xFFFF, because
2**16 = 1 there. The remainder 0 stands for two sums, 0 and 0xFFFF; only data that is all zero sums to 0.
"""

from struct import Struct
from typing import Final

from device_model.packet.parse import PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP, Parsed

_WORD = Struct(">H")
_SCTP_FIELD = Struct("<I")
_CRC_BLOCK = Struct("<II")

FIELD_OFFSET: Final = {PROTOCOL_TCP: 16, PROTOCOL_UDP: 6, PROTOCOL_SCTP: 8}
"""Where the checksum stands in each L4 header, by IP protocol number."""


_FOLDS: Final = tuple((bits, (1 << bits) - 1) for bits in (49152, 24576, 12288, 6144, 3072, 1536))


def _residue(value: int) -> int:
    """Return value % 0xFFFF. Folding it in half first (2**(16 * k) = 1, too) is faster than dividing the whole."""
    for bits, mask in _FOLDS:
        if value > mask:
            value = (value & mask) + (value >> bits)
    return value % 0xFFFF


def ones_complement_sum(data: bytes | bytearray | memoryview, initial: int = 0) -> int:
    """Return the 16-bit ones' complement sum of initial (any non-negative integer) and data, zero-padded to words."""
    total = int.from_bytes(data, "big")
    if len(data) & 1:
        total <<= 8
    total += initial
    residue = _residue(total) if len(data) > 256 else total % 0xFFFF
    return residue or (0xFFFF if total else 0)


def checksum(data: bytes | bytearray | memoryview, initial: int = 0) -> int:
    """Return the Internet checksum of data: the complement of its ones' complement sum."""
    return ~ones_complement_sum(data, initial) & 0xFFFF


def pseudo_header_sum(source: bytes, destination: bytes, protocol: int, length: int) -> int:
    """Return the sum of an IPv4 or IPv6 pseudo header: addresses of 4 or 16 bytes, L4 length in bytes."""
    return ones_complement_sum(source + destination, protocol + length)


def _crc32c_tables() -> tuple[tuple[int, ...], ...]:
    """Build the eight tables of slicing-by-8: table k takes a byte that has k bytes behind it in its block."""
    first = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        first.append(value)
    tables = [tuple(first)]
    for _ in range(7):
        tables.append(tuple((value >> 8) ^ first[value & 0xFF] for value in tables[-1]))
    return tuple(tables)


_CRC32C: Final = _crc32c_tables()


def crc32c(data: bytes | bytearray | memoryview) -> int:
    """Return the CRC32c (Castagnoli) of data; check value of b"123456789": 0xE3069283."""
    t0, t1, t2, t3, t4, t5, t6, t7 = _CRC32C
    crc = 0xFFFFFFFF
    whole = len(data) & ~7
    for low, high in _CRC_BLOCK.iter_unpack(data[:whole]):
        low ^= crc  # noqa: PLW2901  the running value enters through the first four bytes of each block
        crc = (
            t7[low & 0xFF]
            ^ t6[low >> 8 & 0xFF]
            ^ t5[low >> 16 & 0xFF]
            ^ t4[low >> 24]
            ^ t3[high & 0xFF]
            ^ t2[high >> 8 & 0xFF]
            ^ t1[high >> 16 & 0xFF]
            ^ t0[high >> 24]
        )
    for byte in data[whole:]:
        crc = (crc >> 8) ^ t0[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def l4_checksum_ok(frame: bytes | memoryview, parsed: Parsed) -> bool | None:
    """Check the TCP, UDP or SCTP checksum of a received frame (82576 data sheet 7.1.11).

    None when there is nothing to check: a fragment, another protocol, UDP over IPv4 sent without a checksum, or
    addresses that a mobility header replaces. UDP is summed over its own length field (RFC 768); a length that its
    packet cannot hold is an error, as is UDP over IPv6 without a checksum (RFC 8200 8.1).
    """
    protocol = parsed.l4_protocol
    if parsed.is_fragment or protocol not in FIELD_OFFSET or parsed.ipv6_ex_addresses is not None:
        return None
    start = parsed.l4_offset
    end = parsed.l4_end
    if protocol == PROTOCOL_SCTP:
        field = start + 8
        zeroed = b"".join((frame[start:field], bytes(4), frame[field + 4 : end]))
        return crc32c(zeroed) == int.from_bytes(frame[field : field + 4], "little")
    if protocol == PROTOCOL_UDP:
        if not frame[start + 6] and not frame[start + 7]:
            return None if parsed.is_ipv4 else False
        length = frame[start + 4] << 8 | frame[start + 5]
        if not 8 <= length <= end - start:
            return False
        end = start + length
    total = int.from_bytes(frame[start:end], "big")
    length = end - start
    if length & 1:
        total <<= 8
    # A right sum is 0xFFFF; protocol and length are not zero, so the remainder 0 cannot mean the sum 0.
    return _residue(total + int.from_bytes(parsed.source + parsed.destination_ip, "big") + protocol + length) == 0


def insert_l4_checksum(frame: bytearray, l4_offset: int, protocol: int, initial: int = 0) -> bool:
    """Store the L4 checksum of frame[l4_offset:], which software has seeded (82576 data sheet 7.2.5).

    TCP and UDP: the sum takes in what stands in the field, where the driver has left the pseudo header's sum, and
    initial (segmentation adds the L4 length there). SCTP: CRC32c with the field taken as zero, stored little-endian.
    protocol is the IP protocol number. False, and nothing changed, when it has no known field or the field does not
    lie within the frame.
    """
    offset = FIELD_OFFSET.get(protocol)
    if offset is None or l4_offset < 0:
        return False
    field = l4_offset + offset
    width = 4 if protocol == PROTOCOL_SCTP else 2
    if field + width > len(frame):
        return False
    if protocol == PROTOCOL_SCTP:
        _SCTP_FIELD.pack_into(frame, field, 0)
        _SCTP_FIELD.pack_into(frame, field, crc32c(frame[l4_offset:]))
        return True
    value = checksum(frame[l4_offset:], initial)
    if protocol == PROTOCOL_UDP:
        value = value or 0xFFFF  # RFC 768: zero on the wire means "no checksum"
    _WORD.pack_into(frame, field, value)
    return True


def insert_ipv4_checksum(frame: bytearray, l3_offset: int, header_len: int) -> bool:
    """Store the IPv4 header checksum over header_len bytes from l3_offset, the field's seed included.

    A driver's seed may cancel bytes behind the header that header_len spans (Linux igb_tso, tunnels). False, and
    nothing changed, when the header is shorter than 20 bytes or does not lie within the frame.
    """
    if l3_offset < 0 or header_len < 20 or l3_offset + header_len > len(frame):
        return False
    _WORD.pack_into(frame, l3_offset + 10, checksum(frame[l3_offset : l3_offset + header_len]))
    return True
