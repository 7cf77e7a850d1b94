# SPDX-License-Identifier: BSD-3-Clause
"""Receive side scaling: which fields of a packet are hashed, and the Toeplitz hash (82576 data sheet 7.1.1.7)."""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final

from device_model.packet.parse import PROTOCOL_TCP, PROTOCOL_UDP, Parsed

KEY_BYTES: Final = 40
MAX_INPUT_BYTES: Final = KEY_BYTES - 4

_PORTS = Struct(">HH")


class RssType(IntEnum):
    """What was hashed, as the RSS type field of the receive descriptor says it."""

    NONE = 0
    TCP_IPV4 = 1
    IPV4 = 2
    TCP_IPV6 = 3
    IPV6_EX = 4
    IPV6 = 5
    TCP_IPV6_EX = 6
    UDP_IPV4 = 7
    UDP_IPV6 = 8
    UDP_IPV6_EX = 9


@dataclass(frozen=True, slots=True)
class RssFields:
    """The field enables of MRQC, and RFCTL.IPV6_EX_DIS."""

    tcp_ipv4: bool = False
    ipv4: bool = False
    tcp_ipv6_ex: bool = False
    ipv6: bool = False
    tcp_ipv6: bool = False
    udp_ipv4: bool = False
    udp_ipv6: bool = False
    udp_ipv6_ex: bool = False
    ipv6_ex_disabled: bool = False
    ipv6_ex: bool = False

    @classmethod
    def from_mrqc(cls, mrqc: int, ipv6_ex_disabled: bool) -> "RssFields":  # noqa: FBT001  the level of a register bit
        """Decode MRQC bits 24:16; ipv6_ex_disabled is RFCTL.IPV6_EX_DIS."""
        return cls(
            tcp_ipv4=bool(mrqc >> 16 & 1),
            ipv4=bool(mrqc >> 17 & 1),
            tcp_ipv6_ex=bool(mrqc >> 18 & 1),
            ipv6_ex=bool(mrqc >> 19 & 1),
            ipv6=bool(mrqc >> 20 & 1),
            tcp_ipv6=bool(mrqc >> 21 & 1),
            udp_ipv4=bool(mrqc >> 22 & 1),
            udp_ipv6=bool(mrqc >> 23 & 1),
            udp_ipv6_ex=bool(mrqc >> 24 & 1),
            ipv6_ex_disabled=ipv6_ex_disabled,
        )


def classify(parsed: Parsed, enables: RssFields) -> RssType:
    """Choose the hash of a packet: ports when its protocol is enabled, else addresses, else none.

    Fragments never use ports. An IPv6 packet with extension headers is taken for an "ex" type, or, with
    ipv6_ex_disabled, for plain IPv6 of unknown protocol. An "ex" enable also serves packets without extension headers
    when the plain enable is off.
    """
    protocol = 0 if parsed.is_fragment else parsed.l4_protocol
    if parsed.is_ipv4:
        if protocol == PROTOCOL_TCP and enables.tcp_ipv4:
            return RssType.TCP_IPV4
        if protocol == PROTOCOL_UDP and enables.udp_ipv4:
            return RssType.UDP_IPV4
        return RssType.IPV4 if enables.ipv4 else RssType.NONE
    if parsed.is_ipv6:
        return _classify_ipv6(protocol, enables, extensions=parsed.ipv6_extensions)
    return RssType.NONE


def _classify_ipv6(protocol: int, enables: RssFields, *, extensions: bool) -> RssType:
    """Choose among the IPv6 types; protocol is 0 when its ports must not be used."""
    if not (extensions and enables.ipv6_ex_disabled):
        if protocol == PROTOCOL_TCP:
            if enables.tcp_ipv6 and not extensions:
                return RssType.TCP_IPV6
            if enables.tcp_ipv6_ex:
                return RssType.TCP_IPV6_EX
        elif protocol == PROTOCOL_UDP:
            if enables.udp_ipv6 and not extensions:
                return RssType.UDP_IPV6
            if enables.udp_ipv6_ex:
                return RssType.UDP_IPV6_EX
        if enables.ipv6_ex and (extensions or not enables.ipv6):
            return RssType.IPV6_EX
    return RssType.IPV6 if enables.ipv6 else RssType.NONE


_WITH_PORTS = frozenset(
    {RssType.TCP_IPV4, RssType.UDP_IPV4, RssType.TCP_IPV6, RssType.UDP_IPV6, RssType.TCP_IPV6_EX, RssType.UDP_IPV6_EX}
)
_EX = frozenset({RssType.IPV6_EX, RssType.TCP_IPV6_EX, RssType.UDP_IPV6_EX})


def hash_input(parsed: Parsed, rss_type: RssType) -> bytes:
    """Return the hashed bytes, in network order: source, destination, then the ports if the type has them.

    Lengths are 8, 12, 32 or 36; empty for RssType.NONE. The "ex" types take the home address and the type 2
    routing header's address in place of those in the IPv6 header.
    """
    if rss_type == RssType.NONE:
        return b""
    addresses = parsed.source + parsed.destination_ip
    if parsed.ipv6_ex_addresses is not None and rss_type in _EX:
        addresses = b"".join(parsed.ipv6_ex_addresses)
    if rss_type in _WITH_PORTS:
        return addresses + _PORTS.pack(parsed.source_port, parsed.destination_port)
    return addresses


class Toeplitz:
    """The Toeplitz hash under one key of 40 bytes: RSSRK[0] byte 0 first."""

    __slots__ = ("_key", "_tables")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"key must be {KEY_BYTES} bytes, not {len(key)}")
        self._key = int.from_bytes(key, "big")
        self._tables: list[tuple[int, ...]] = []

    def hash(self, data: bytes) -> int:
        """Return the 32-bit hash of at most 36 bytes; of no bytes, 0."""
        tables = self._tables
        if len(data) > len(tables):
            self._extend(len(data))
        result = 0
        for table, byte in zip(tables, data, strict=False):
            result ^= table[byte]
        return result

    def _extend(self, length: int) -> None:
        """Build the missing tables of the first length positions: entry b of a table is the hash of b alone there."""
        if length > MAX_INPUT_BYTES:
            raise ValueError(f"data must be at most {MAX_INPUT_BYTES} bytes, not {length}")
        for position in range(len(self._tables), length):
            windows = [self._key >> (KEY_BYTES * 8 - 32 - position * 8 - bit) & 0xFFFFFFFF for bit in range(8)]
            table = [0]
            for window in reversed(windows):  # the least significant bit of a byte meets the last window
                table += [entry ^ window for entry in table]
            self._tables.append(tuple(table))
