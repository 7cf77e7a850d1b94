# SPDX-License-Identifier: BSD-3-Clause
"""The RSS hash: published vectors, a bitwise twin, and which packets take which type (claims RSS-01, -08, -10, -11)."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.packet.parse import parse
from device_model.packet.toeplitz import RssFields, RssType, Toeplitz, classify, hash_input

from . import frames
from .strategies import V4, V6, Flow, flows, frame_of, quick

MICROSOFT_KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")
LINUX = RssFields.from_mrqc(0x00370002, ipv6_ex_disabled=True)
"""What igb_setup_mrqc writes by default, with RFCTL.IPV6_EX_DIS."""
EVERYTHING = RssFields.from_mrqc(0x01FF0002, ipv6_ex_disabled=False)

# Microsoft, "Verifying the RSS Hash Calculation": source, port, destination, port, hash of addresses, hash with ports
VECTORS = [
    ("66.9.149.187", 2794, "161.142.100.80", 1766, 0x323E8FC2, 0x51CCC178),
    ("199.92.111.2", 14230, "65.69.140.83", 4739, 0xD718262A, 0xC626B0EA),
    ("24.19.198.95", 12898, "12.22.207.184", 38024, 0xD2D0A5DE, 0x5C2B394A),
    ("38.27.205.30", 48228, "209.142.163.6", 2217, 0x82989176, 0xAFC7327F),
    ("153.39.163.191", 44251, "202.188.127.2", 1303, 0x5D1809C5, 0x10E828A2),
    ("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x2CC18CD5, 0x40207D3D),
    ("3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739, 0x0F0C461C, 0xDDE51BBF),
    ("3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, "fe80::200:f8ff:fe21:67cf", 38024, 0x4B61E985, 0x02D1FEEF),
]


def bitwise_toeplitz(key: bytes, data: bytes) -> int:
    """XOR, for each one bit of the data, the 32 key bits that start at its place."""
    bits = "".join(f"{byte:08b}" for byte in key)
    result = 0
    for place, bit in enumerate("".join(f"{byte:08b}" for byte in data)):
        if bit == "1":
            result ^= int(bits[place : place + 32], 2)
    return result


@pytest.mark.parametrize(("source", "source_port", "destination", "destination_port", "plain", "with_ports"), VECTORS)
def test_published_vectors_from_frame_to_hash(
    source: str, source_port: int, destination: str, destination_port: int, plain: int, with_ports: int
) -> None:
    toeplitz = Toeplitz(MICROSOFT_KEY)
    pair = (ip_address(source).packed, ip_address(destination).packed)
    numbers = (source_port, destination_port)
    tcp = parse(frames.tcp_frame(b"", *pair, numbers))
    udp = parse(frames.udp_frame(b"", *pair, numbers))
    assert toeplitz.hash(hash_input(tcp, classify(tcp, LINUX))) == with_ports
    assert toeplitz.hash(hash_input(udp, classify(udp, LINUX))) == plain
    assert toeplitz.hash(hash_input(udp, classify(udp, EVERYTHING))) == with_ports


@quick
@given(st.binary(min_size=40, max_size=40), st.lists(st.binary(max_size=36), min_size=1, max_size=3))
def test_hash_equals_the_bitwise_one(key: bytes, inputs: list[bytes]) -> None:
    toeplitz = Toeplitz(key)
    for data in inputs:  # tables grow from one length to the next
        assert toeplitz.hash(data) == bitwise_toeplitz(key, data)


@quick
@given(flows())
def test_a_key_of_period_sixteen_bits_makes_both_directions_equal(flow: Flow) -> None:
    there = parse(flow.frame)
    back = parse(frame_of(flow.protocol, b"", flow.destination, flow.source, (flow.ports[1], flow.ports[0])))
    toeplitz = Toeplitz(bytes.fromhex("6d5a") * 20)
    kind = classify(there, EVERYTHING)
    assert toeplitz.hash(hash_input(there, kind)) == toeplitz.hash(hash_input(back, kind))


@pytest.mark.parametrize("length", [0, 39, 41])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"key must be 40 bytes, not {length}"):
        Toeplitz(bytes(length))


def test_more_data_than_the_key_reaches_is_refused() -> None:
    with pytest.raises(ValueError, match="data must be at most 36 bytes, not 37"):
        Toeplitz(bytes(40)).hash(bytes(37))


def test_nothing_hashes_to_zero() -> None:
    assert Toeplitz(MICROSOFT_KEY).hash(b"") == 0


@pytest.mark.parametrize(
    ("bit", "field"),
    [
        (16, "tcp_ipv4"),
        (17, "ipv4"),
        (18, "tcp_ipv6_ex"),
        (19, "ipv6_ex"),
        (20, "ipv6"),
        (21, "tcp_ipv6"),
        (22, "udp_ipv4"),
        (23, "udp_ipv6"),
        (24, "udp_ipv6_ex"),
    ],
)
def test_each_bit_of_mrqc_is_one_field(bit: int, field: str) -> None:
    assert RssFields.from_mrqc(1 << bit | 2, ipv6_ex_disabled=False) == RssFields(**{field: True})
    assert RssFields.from_mrqc(0xFE00FFFF, ipv6_ex_disabled=True) == RssFields(ipv6_ex_disabled=True)


def test_type_codes_are_those_of_the_descriptor() -> None:
    assert [kind.name for kind in RssType] == [
        "NONE", "TCP_IPV4", "IPV4", "TCP_IPV6", "IPV6_EX", "IPV6", "TCP_IPV6_EX", "UDP_IPV4", "UDP_IPV6", "UDP_IPV6_EX"
    ]  # fmt: skip
    assert [int(kind) for kind in RssType] == list(range(10))


TCP4 = frames.tcp_frame(b"", *V4, (1, 2))
UDP4 = frames.udp_frame(b"", *V4, (1, 2))
SCTP4 = frames.sctp_frame(b"", *V4, (1, 2))
TCP4_FRAGMENT = frames.ethernet(
    frames.ipv4(frames.tcp(bytes(8), *V4, (1, 2)), frames.TCP, *V4, fragment=0x2000), 0x0800
)
UDP4_FRAGMENT = frames.ethernet(
    frames.ipv4(frames.udp(bytes(8), *V4, (1, 2)), frames.UDP, *V4, fragment=0x2000), 0x0800
)
TCP6 = frames.tcp_frame(b"", *V6, (1, 2))
UDP6 = frames.udp_frame(b"", *V6, (1, 2))
ICMP6 = frames.ethernet(frames.ipv6(bytes(8), frames.ICMPV6, *V6), 0x86DD)
HOP = bytes([1, 4, 0, 0, 0, 0])
TCP6_HOP = frames.ethernet(
    frames.ipv6(frames.ipv6_extension(frames.TCP, HOP) + frames.tcp(b"", *V6, (1, 2)), 0, *V6), 0x86DD
)
UDP6_HOP = frames.ethernet(
    frames.ipv6(frames.ipv6_extension(frames.UDP, HOP) + frames.udp(b"", *V6, (1, 2)), 0, *V6), 0x86DD
)
TCP6_FRAGMENT = frames.ethernet(
    frames.ipv6(
        frames.ipv6_fragment_header(frames.TCP, offset=0, more=True) + frames.tcp(bytes(12), *V6, (1, 2)), 44, *V6
    ),
    0x86DD,
)
ARP = frames.arp_request(*V4)

LINUX_UDP = RssFields.from_mrqc(0x00F70002, ipv6_ex_disabled=True)
EX = RssFields.from_mrqc(0x01F70002, ipv6_ex_disabled=False)  # all but IPv6Ex, extension headers parsed


@pytest.mark.parametrize(
    ("frame", "enables", "expected"),
    [
        (TCP4, LINUX, RssType.TCP_IPV4),
        (UDP4, LINUX, RssType.IPV4),
        (SCTP4, LINUX_UDP, RssType.IPV4),
        (UDP4, LINUX_UDP, RssType.UDP_IPV4),
        (TCP4_FRAGMENT, LINUX_UDP, RssType.IPV4),
        (UDP4_FRAGMENT, LINUX_UDP, RssType.IPV4),
        (TCP4, RssFields(ipv4=True), RssType.IPV4),
        (TCP4, RssFields(udp_ipv4=True), RssType.NONE),
        (UDP4, RssFields(tcp_ipv4=True), RssType.NONE),
        (TCP6, LINUX, RssType.TCP_IPV6),
        (UDP6, LINUX, RssType.IPV6),
        (ICMP6, LINUX_UDP, RssType.IPV6),
        (UDP6, LINUX_UDP, RssType.UDP_IPV6),
        (TCP6_FRAGMENT, LINUX, RssType.IPV6),
        (TCP6, RssFields(ipv6=True), RssType.IPV6),
        (TCP6, RssFields(tcp_ipv4=True, ipv4=True, udp_ipv6=True), RssType.NONE),
        (TCP6, RssFields(tcp_ipv6_ex=True), RssType.TCP_IPV6_EX),
        (UDP6, RssFields(udp_ipv6_ex=True), RssType.UDP_IPV6_EX),
        (ICMP6, RssFields(ipv6_ex=True), RssType.IPV6_EX),
        (TCP6_HOP, LINUX, RssType.IPV6),
        (TCP6_HOP, EX, RssType.TCP_IPV6_EX),
        (UDP6_HOP, EX, RssType.UDP_IPV6_EX),
        (UDP6_HOP, LINUX_UDP, RssType.IPV6),
        (TCP6_HOP, RssFields(tcp_ipv6=True, ipv6=True), RssType.IPV6),
        (TCP6_FRAGMENT, EX, RssType.IPV6),
        (TCP6_FRAGMENT, EVERYTHING, RssType.IPV6_EX),
        (ICMP6, EVERYTHING, RssType.IPV6),
        (TCP6_HOP, RssFields(tcp_ipv6_ex=True, ipv6_ex=True, ipv6_ex_disabled=True), RssType.NONE),
        (ARP, EVERYTHING, RssType.NONE),
    ],
)
def test_packet_takes_its_type(frame: bytes, enables: RssFields, expected: RssType) -> None:
    assert classify(parse(frame), enables) is expected


@quick
@given(flows())
def test_input_is_source_destination_and_ports_in_network_order(flow: Flow) -> None:
    parsed = parse(flow.frame)
    four = len(flow.source) == 4
    numbers = flow.ports[0].to_bytes(2, "big") + flow.ports[1].to_bytes(2, "big")
    addresses_only = RssType.IPV4 if four else RssType.IPV6
    assert hash_input(parsed, addresses_only) == flow.source + flow.destination
    for kind in (RssType.TCP_IPV4, RssType.UDP_IPV4) if four else (RssType.TCP_IPV6, RssType.UDP_IPV6):
        assert hash_input(parsed, kind) == flow.source + flow.destination + numbers
    assert hash_input(parsed, RssType.NONE) == b""


def test_ex_types_take_the_addresses_of_the_mobility_headers() -> None:
    home, routed = bytes(range(16)), bytes(range(50, 66))
    option = frames.ipv6_extension(frames.TCP, bytes([1, 2, 0, 0, 0xC9, 16]) + home)
    routing = frames.ipv6_extension(60, bytes([2, 1, 0, 0, 0, 0]) + routed)
    frame = frames.ethernet(frames.ipv6(routing + option + frames.tcp(b"", *V6, (0x1234, 0x5678)), 43, *V6), 0x86DD)
    parsed = parse(frame)
    assert hash_input(parsed, RssType.TCP_IPV6_EX) == home + routed + b"\x12\x34\x56\x78"
    assert hash_input(parsed, RssType.IPV6_EX) == home + routed
    assert hash_input(parsed, RssType.IPV6) == V6[0] + V6[1]
