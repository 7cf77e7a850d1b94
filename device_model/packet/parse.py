# SPDX-License-Identifier: BSD-3-Clause
"""The header parser of the receive path: one pass over a frame, no exceptions whatever the bytes are.

Offsets count from the first byte of the frame as it came off the wire, without the frame check sequence.
A header that does not wholly fit, or that contradicts itself, is not recognised: the packet is then an instance
of the next lower kind (a TCP header cut short leaves an IPv4 packet of unknown protocol).
"""

from struct import Struct
from typing import NamedTuple

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD
ETHERTYPE_VLAN = 0x8100

PROTOCOL_TCP = 6
PROTOCOL_UDP = 17
PROTOCOL_SCTP = 132

_HOP_BY_HOP = 0
_ROUTING = 43
_FRAGMENT = 44
_AUTHENTICATION = 51
_DESTINATION_OPTIONS = 60
_MOBILITY = 135
_EXTENSIONS = frozenset({_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION_OPTIONS, _MOBILITY})
_MAX_EXTENSIONS = 16
_OPTION_PAD1 = 0
_OPTION_HOME_ADDRESS = 0xC9
_ROUTING_TYPE_2 = 2

_ETHERNET = Struct(">6s6xH")
_VLAN = Struct(">HH")
_IPV4 = Struct(">BxHHHxB2x4s4s")
_IPV6 = Struct(">B3xHBx16s16s")
_PORTS = Struct(">HH")

_MINIMUM_L4_HEADER = {PROTOCOL_TCP: 20, PROTOCOL_UDP: 8, PROTOCOL_SCTP: 12}


class Parsed(NamedTuple):
    """What the parser found. Fields of headers that are absent keep their default.

    A named tuple, because it is made for every packet: a frozen dataclass of this size takes five times as long.
    """

    destination: bytes
    """Destination MAC address; always 6 bytes, zero-filled when the frame is shorter."""
    ethertype: int
    """EtherType behind at most one VLAN tag; 0 in a frame too short to have one."""
    vlan_tci: int | None
    """Tag control information of the stripped-off tag, None in an untagged frame."""
    l3_offset: int
    is_ipv4: bool = False
    is_ipv6: bool = False
    ipv4_options: bool = False
    ipv6_extensions: bool = False
    is_fragment: bool = False
    """IPv4 with MF or an offset; IPv6 with a fragment header, atomic fragments included."""
    ip_header_ok: bool = False
    """IPv4: header checksum good and total length within the frame. IPv6: payload length within the frame."""
    source: bytes = b""
    """Source IP address, 4 or 16 bytes."""
    destination_ip: bytes = b""
    l4_protocol: int = 0
    """IP protocol number; 0 when unknown, cut short, or in a fragment that is not the first."""
    l4_offset: int = 0
    l4_end: int = 0
    """One past the last L4 byte, by the IP length: Ethernet padding is outside. Never past the frame."""
    source_port: int = 0
    destination_port: int = 0
    payload_offset: int = 0
    ipv4_id: int = 0
    ipv6_ex_addresses: tuple[bytes, bytes] | None = None
    """(source, destination) with the home address option and the type 2 routing header applied; None without them."""


def parse(frame: bytes | memoryview, *, vlan_ethertype: int = ETHERTYPE_VLAN) -> Parsed:
    """Parse a frame without its frame check sequence.

    vlan_ethertype is the tag protocol identifier taken for a VLAN tag (VET, 82576 data sheet 8.2.7).
    Never raises on the content of the frame.
    """
    data = frame if isinstance(frame, bytes) else bytes(frame)
    size = len(data)
    if size < 14:
        return Parsed(data[:6].ljust(6, b"\0"), 0, None, size, l4_offset=size, l4_end=size, payload_offset=size)
    destination, ethertype = _ETHERNET.unpack_from(data)
    vlan_tci = None
    l3_offset = 14
    if ethertype == vlan_ethertype and size >= 18:
        vlan_tci, ethertype = _VLAN.unpack_from(data, 14)
        l3_offset = 18
    parsed: Parsed | None = None
    if ethertype == ETHERTYPE_IPV4:
        parsed = _parse_ipv4(data, size, destination, vlan_tci, l3_offset)
    elif ethertype == ETHERTYPE_IPV6:
        parsed = _parse_ipv6(data, size, destination, vlan_tci, l3_offset)
    if parsed is not None:
        return parsed
    return Parsed(
        destination, ethertype, vlan_tci, l3_offset, l4_offset=l3_offset, l4_end=size, payload_offset=l3_offset
    )


def _parse_ipv4(data: bytes, size: int, destination: bytes, vlan_tci: int | None, l3_offset: int) -> Parsed | None:
    """Parse from an IPv4 header on (RFC 791); None when there is no whole header."""
    if l3_offset + 20 > size:
        return None
    version_ihl, total_length, ipv4_id, fragment, protocol, source, destination_ip = _IPV4.unpack_from(data, l3_offset)
    header_length = (version_ihl & 0xF) * 4
    l4_offset = l3_offset + header_length
    if version_ihl >> 4 != 4 or header_length < 20 or l4_offset > size:
        return None
    end = l3_offset + total_length
    # RFC 1071: 2**16 = 1 modulo 0xFFFF, so the header as one number is a multiple of 0xFFFF when its sum is right.
    header_ok = l4_offset <= end <= size and int.from_bytes(data[l3_offset:l4_offset], "big") % 0xFFFF == 0
    l4_end = max(l4_offset, min(end, size))
    if fragment & 0x1FFF:
        protocol = 0
    protocol, source_port, destination_port, payload_offset = _parse_l4(data, protocol, l4_offset, l4_end)
    return Parsed(
        destination,
        ETHERTYPE_IPV4,
        vlan_tci,
        l3_offset,
        True,
        False,
        header_length > 20,
        False,
        fragment & 0x3FFF != 0,
        header_ok,
        source,
        destination_ip,
        protocol,
        l4_offset,
        l4_end,
        source_port,
        destination_port,
        payload_offset,
        ipv4_id,
    )


def _parse_ipv6(data: bytes, size: int, destination: bytes, vlan_tci: int | None, l3_offset: int) -> Parsed | None:
    """Parse from an IPv6 header on (RFC 8200); None when there is no whole header."""
    l4_offset = l3_offset + 40
    if l4_offset > size:
        return None
    version, payload_length, protocol, source, destination_ip = _IPV6.unpack_from(data, l3_offset)
    if version >> 4 != 6:
        return None
    end = l4_offset + payload_length
    l4_end = min(end, size)
    extensions = protocol in _EXTENSIONS
    is_fragment = False
    ex_addresses = None
    if extensions:
        protocol, l4_offset, is_fragment, home_address, routing_address = _walk_extensions(
            data, protocol, l4_offset, l4_end
        )
        if home_address or routing_address:
            ex_addresses = (home_address or source, routing_address or destination_ip)
    protocol, source_port, destination_port, payload_offset = _parse_l4(data, protocol, l4_offset, l4_end)
    return Parsed(
        destination,
        ETHERTYPE_IPV6,
        vlan_tci,
        l3_offset,
        False,
        True,
        False,
        extensions,
        is_fragment,
        end <= size,
        source,
        destination_ip,
        protocol,
        l4_offset,
        l4_end,
        source_port,
        destination_port,
        payload_offset,
        0,
        ex_addresses,
    )


def _parse_l4(data: bytes, protocol: int, offset: int, end: int) -> tuple[int, int, int, int]:
    """Return (protocol, source port, destination port, payload offset) of the L4 header in data[offset:end]."""
    minimum = _MINIMUM_L4_HEADER.get(protocol)
    if minimum is None:
        return protocol, 0, 0, offset
    payload_offset = offset + minimum
    if payload_offset > end:
        return 0, 0, 0, offset
    source_port, destination_port = _PORTS.unpack_from(data, offset)
    if protocol == PROTOCOL_TCP:
        payload_offset = min(max(payload_offset, offset + (data[offset + 12] >> 4) * 4), end)
    return protocol, source_port, destination_port, payload_offset


def _walk_extensions(data: bytes, header: int, offset: int, end: int) -> tuple[int, int, bool, bytes, bytes]:
    """Follow the extension headers from the first, of type header, at offset.

    Returns (protocol, L4 offset, is fragment, home address, type 2 routing address); the addresses are empty when
    absent, the protocol 0 when the chain is cut short, too long, or continues in another fragment.
    """
    is_fragment = False
    home_address = routing_address = b""
    for _ in range(_MAX_EXTENSIONS):
        if header not in _EXTENSIONS:
            return header, offset, is_fragment, home_address, routing_address
        if offset + 8 > end:
            break
        kind, header = header, data[offset]
        length = (data[offset + 1] + 1) * 8
        if kind == _FRAGMENT:
            is_fragment = True
            length = 8
            if (data[offset + 2] << 8 | data[offset + 3]) & 0xFFF8:
                offset += length
                break
        elif kind == _AUTHENTICATION:
            length = (data[offset + 1] + 2) * 4
        if offset + length > end:
            break
        if kind == _ROUTING and data[offset + 2] == _ROUTING_TYPE_2 and length == 24:
            routing_address = data[offset + 8 : offset + 24]
        elif kind == _DESTINATION_OPTIONS:
            home_address = _home_address(data, offset + 2, offset + length) or home_address
        offset += length
    return 0, offset, is_fragment, home_address, routing_address


def _home_address(data: bytes, offset: int, end: int) -> bytes:
    """Find the home address option (RFC 6275 6.3) among the destination options in data[offset:end], else empty."""
    while offset + 2 <= end:
        kind = data[offset]
        if kind == _OPTION_PAD1:
            offset += 1
            continue
        length = data[offset + 1]
        if kind == _OPTION_HOME_ADDRESS and length == 16 and offset + 18 <= end:
            return data[offset + 2 : offset + 18]
        offset += 2 + length
    return b""
