# SPDX-License-Identifier: BSD-3-Clause
"""The parser: what it finds in right frames, and that no bytes upset it."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.packet.checksum import l4_checksum_ok
from device_model.packet.parse import Parsed, parse
from device_model.packet.toeplitz import RssFields, Toeplitz, classify, hash_input

from . import frames
from .strategies import SEEDS, V4, V6, Flow, damaged_frames, flows, quick

L4_HEADER = {frames.TCP: 20, frames.UDP: 8, frames.SCTP: 12}
KEY = Toeplitz(bytes(range(40)))


@quick
@given(flows())
def test_every_field_of_a_right_frame_is_found(flow: Flow) -> None:
    is_ipv4 = len(flow.source) == 4
    l4_offset = 14 + flow.l3_length
    payload_offset = l4_offset + L4_HEADER[flow.protocol]
    assert parse(flow.frame) == Parsed(
        destination=frames.GUEST_MAC,
        ethertype=0x0800 if is_ipv4 else 0x86DD,
        vlan_tci=None,
        l3_offset=14,
        is_ipv4=is_ipv4,
        is_ipv6=not is_ipv4,
        ip_header_ok=True,
        source=flow.source,
        destination_ip=flow.destination,
        l4_protocol=flow.protocol,
        l4_offset=l4_offset,
        l4_end=len(flow.frame),
        source_port=flow.ports[0],
        destination_port=flow.ports[1],
        payload_offset=payload_offset,
        ipv4_id=0x4321 if is_ipv4 else 0,
    )
    assert flow.frame[payload_offset:] == flow.payload


@quick
@given(flows(), st.integers(0, 0xFFFF), st.sampled_from([0x8100, 0x88A8, 0x9100]))
def test_a_tag_moves_the_headers_by_four_bytes_and_changes_nothing_else(flow: Flow, tci: int, tag_type: int) -> None:
    bare = parse(flow.frame)
    tagged = parse(
        frames.ethernet(flow.frame[14:], bare.ethertype, vlan=tci, vlan_ethertype=tag_type), vlan_ethertype=tag_type
    )
    assert tagged == bare._replace(
        vlan_tci=tci,
        l3_offset=18,
        l4_offset=bare.l4_offset + 4,
        l4_end=bare.l4_end + 4,
        payload_offset=bare.payload_offset + 4,
    )


def test_only_one_tag_is_looked_behind() -> None:
    inner = frames.ethernet(frames.udp_frame(b"x", *V4, (1, 2))[14:], 0x0800, vlan=0x0123)
    parsed = parse(frames.ethernet(inner[12:], 0x8100)[:12] + struct.pack(">HH", 0x8100, 0x6456) + inner[12:])
    assert (parsed.vlan_tci, parsed.ethertype, parsed.is_ipv4) == (0x6456, 0x8100, False)


def test_a_tag_of_another_type_is_not_a_tag() -> None:
    frame = frames.ethernet(bytes(46), 0x0806, vlan=5, vlan_ethertype=0x88A8)
    parsed = parse(frame)
    assert (parsed.vlan_tci, parsed.ethertype, parsed.l3_offset) == (None, 0x88A8, 14)


def test_memory_view_and_bytes_are_parsed_alike() -> None:
    frame = frames.tcp_frame(b"view", *V6, (7, 8))
    assert parse(memoryview(frame)) == parse(frame)
    assert isinstance(parse(memoryview(frame)).source, bytes)


def test_ethernet_padding_is_outside_the_packet() -> None:
    frame = frames.ethernet(frames.ipv4(frames.udp(b"hi", *V4, (1, 2)), frames.UDP, *V4), 0x0800, pad_to=60)
    parsed = parse(frame)
    assert len(frame) == 60
    assert (parsed.l4_end, parsed.ip_header_ok) == (14 + 20 + 8 + 2, True)


def test_options_of_ipv4_and_tcp_move_the_payload() -> None:
    segment = frames.tcp(b"data", *V4, (1, 2), options=bytes(12))
    parsed = parse(frames.ethernet(frames.ipv4(segment, frames.TCP, *V4, options=b"\x01" * 8), 0x0800))
    assert (parsed.ipv4_options, parsed.ip_header_ok) == (True, True)
    assert (parsed.l4_offset, parsed.payload_offset) == (14 + 28, 14 + 28 + 32)


@pytest.mark.parametrize("position", range(14, 34))
def test_any_flipped_bit_of_the_ipv4_header_makes_it_bad(position: int) -> None:
    frame = bytearray(frames.tcp_frame(b"payload", *V4, (1, 2)))
    frame[position] ^= 0x02
    assert not parse(bytes(frame)).ip_header_ok


@pytest.mark.parametrize(("fragment", "protocol"), [(0x2000, 17), (0x2007, 0), (0x0007, 0), (0x1000, 0)])
def test_ipv4_fragments_have_ports_only_in_the_first(fragment: int, protocol: int) -> None:
    packet = frames.ipv4(frames.udp(bytes(32), *V4, (0x1111, 0x2222)), frames.UDP, *V4, fragment=fragment)
    parsed = parse(frames.ethernet(packet, 0x0800))
    assert (parsed.is_fragment, parsed.l4_protocol, parsed.ip_header_ok) == (True, protocol, True)
    assert parsed.source_port == (0x1111 if protocol else 0)


def test_do_not_fragment_is_no_fragment() -> None:
    packet = frames.ipv4(frames.udp(b"", *V4, (3, 4)), frames.UDP, *V4, fragment=0x4000)
    assert not parse(frames.ethernet(packet, 0x0800)).is_fragment


def test_other_ip_protocols_keep_their_number() -> None:
    parsed = parse(frames.ethernet(frames.ipv4(bytes(30), 1, *V4), 0x0800))
    assert (parsed.l4_protocol, parsed.source_port, parsed.payload_offset) == (1, 0, 34)


@pytest.mark.parametrize("total_length", [0, 19, 20, 27, 61, 0xFFFF])
def test_a_total_length_that_lies_never_leads_out_of_the_frame(total_length: int) -> None:
    packet = bytearray(frames.ipv4(frames.tcp(b"", *V4, (1, 2)), frames.TCP, *V4))
    struct.pack_into(">H", packet, 2, total_length)
    packet[10:12] = bytes(2)
    struct.pack_into(">H", packet, 10, frames.internet_checksum(bytes(packet[:20])))
    parsed = parse(frames.ethernet(bytes(packet), 0x0800))
    assert parsed.l4_end == 14 + min(max(total_length, 20), 40)
    assert parsed.ip_header_ok == (20 <= total_length <= 40)
    assert parsed.l4_protocol == (frames.TCP if total_length >= 40 else 0)


@pytest.mark.parametrize("first_byte", [0x40, 0x44, 0x65, 0x4F])
def test_an_ipv4_header_that_cannot_be_is_not_ipv4(first_byte: int) -> None:
    frame = bytearray(frames.udp_frame(b"", *V4, (1, 2)))
    frame[14] = first_byte
    parsed = parse(bytes(frame))
    assert (parsed.is_ipv4, parsed.ethertype, parsed.l4_offset) == (False, 0x0800, 14)


@pytest.mark.parametrize("protocol", [frames.TCP, frames.UDP, frames.SCTP])
def test_an_l4_header_cut_short_is_unknown(protocol: int) -> None:
    whole = L4_HEADER[protocol]
    header = bytes([0x12, 0x34]) + bytes(10) + bytes([0x50]) + bytes(7)
    exact = parse(frames.ethernet(frames.ipv4(header[:whole], protocol, *V4), 0x0800))
    short = parse(frames.ethernet(frames.ipv4(header[: whole - 1], protocol, *V4), 0x0800))
    assert (exact.l4_protocol, exact.source_port) == (protocol, 0x1234)
    assert (short.l4_protocol, short.source_port) == (0, 0)


def test_a_tcp_data_offset_that_lies_stays_within_the_packet() -> None:
    segment = bytearray(frames.tcp(b"abc", *V4, (1, 2)))
    segment[12] = 0xF0
    assert parse(frames.ethernet(frames.ipv4(bytes(segment), frames.TCP, *V4), 0x0800)).payload_offset == 14 + 20 + 23
    segment[12] = 0x10
    assert parse(frames.ethernet(frames.ipv4(bytes(segment), frames.TCP, *V4), 0x0800)).payload_offset == 14 + 20 + 20


def test_an_ipv6_chain_is_walked_to_its_tcp_header() -> None:
    destination = frames.ipv6_extension(frames.TCP, bytes([1, 12]) + bytes(12))
    authentication = struct.pack(">BBHII", 60, 3, 0, 1, 2) + bytes(8)
    hop = frames.ipv6_extension(51, bytes([1, 4, 0, 0, 0, 0]))
    chain = hop + authentication + destination
    parsed = parse(frames.ethernet(frames.ipv6(chain + frames.tcp(b"d", *V6, (21, 22)), 0, *V6), 0x86DD))
    assert (parsed.l4_protocol, parsed.source_port, parsed.destination_port) == (frames.TCP, 21, 22)
    assert parsed.l4_offset == 14 + 40 + len(chain)
    assert (parsed.ipv6_extensions, parsed.is_fragment, parsed.ipv6_ex_addresses) == (True, False, None)


@pytest.mark.parametrize(
    ("offset", "more", "protocol"), [(0, False, 17), (0, True, 17), (1, False, 0), (0x1000, True, 0)]
)
def test_ipv6_fragments_have_ports_only_in_the_first(offset: int, more: bool, protocol: int) -> None:
    body = frames.ipv6_fragment_header(17, offset=offset, more=more) + frames.udp(bytes(16), *V6, (5, 6))
    parsed = parse(frames.ethernet(frames.ipv6(body, 44, *V6), 0x86DD))
    assert (parsed.is_fragment, parsed.ipv6_extensions, parsed.l4_protocol) == (True, True, protocol)
    assert (parsed.l4_offset, parsed.ip_header_ok) == (14 + 48, True)


def test_mobility_headers_give_their_addresses() -> None:
    home_address, routed = bytes(range(1, 17)), bytes(range(101, 117))
    home = frames.ipv6_extension(frames.UDP, bytes([0, 1, 0, 0xC9, 16]) + home_address + bytes(1))
    routing = frames.ipv6_extension(60, bytes([2, 1, 0, 0, 0, 0]) + routed)
    body = frames.udp(b"", *V6, (5, 6))
    both = parse(frames.ethernet(frames.ipv6(routing + home + body, 43, *V6), 0x86DD))
    only_home = parse(frames.ethernet(frames.ipv6(home + body, 60, *V6), 0x86DD))
    assert (both.source, both.destination_ip) == V6
    assert both.ipv6_ex_addresses == (home_address, routed)
    assert only_home.ipv6_ex_addresses == (home_address, V6[1])


def test_a_chain_without_end_is_left() -> None:
    chain = frames.ipv6_extension(60, bytes(6)) * 170
    parsed = parse(frames.ethernet(frames.ipv6(chain, 60, *V6), 0x86DD))
    assert (parsed.is_ipv6, parsed.ipv6_extensions, parsed.l4_protocol) == (True, True, 0)


def test_an_ipv6_payload_length_beyond_the_frame_is_not_ok() -> None:
    frame = frames.udp_frame(b"0123", *V6, (1, 2))
    assert parse(frame).ip_header_ok
    cut = parse(frame[:-1])
    assert (cut.ip_header_ok, cut.l4_end) == (False, len(frame) - 1)


def test_a_frame_shorter_than_its_ethernet_header_is_nothing() -> None:
    assert parse(b"") == Parsed(bytes(6), 0, None, 0)
    parsed = parse(b"\xff\x01\x02")
    assert (parsed.destination, parsed.ethertype) == (b"\xff\x01\x02\0\0\0", 0)


@pytest.mark.parametrize("size", range(14, 18))
def test_a_tag_cut_short_is_not_a_tag(size: int) -> None:
    parsed = parse(frames.ethernet(bytes(46), 0x0806, vlan=5)[:size])
    assert (parsed.vlan_tci, parsed.ethertype, parsed.l3_offset) == (None, 0x8100, 14)


def test_an_ipv6_header_of_another_version_is_not_ipv6() -> None:
    frame = bytearray(frames.udp_frame(b"", *V6, (1, 2)))
    frame[14] = 0x45
    assert (parse(bytes(frame)).is_ipv6, parse(bytes(frame)).ethertype) == (False, 0x86DD)


def test_mobility_headers_too_short_for_an_address_give_none() -> None:
    routing = frames.ipv6_extension(60, bytes([2, 1, 0, 0, 0, 0]))
    option = frames.ipv6_extension(frames.UDP, bytes([1, 0, 0xC9, 16, 0, 0]))
    frame = frames.ethernet(frames.ipv6(routing + option + frames.udp(bytes(40), *V6, (5, 6)), 43, *V6), 0x86DD)
    parsed = parse(frame)
    assert (parsed.l4_protocol, parsed.ipv6_ex_addresses) == (frames.UDP, None)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_beginning_of_a_frame_is_parsed_within_its_bounds(seed: bytes) -> None:
    for size in range(len(seed)):
        parsed = parse(seed[:size])
        assert parsed.l3_offset <= parsed.l4_offset <= parsed.payload_offset <= parsed.l4_end <= size


@quick
@given(damaged_frames() | st.binary(max_size=80))
def test_no_bytes_upset_the_receive_functions(frame: bytes) -> None:
    parsed = parse(frame)
    assert len(parsed.destination) == 6
    assert parsed.l3_offset <= parsed.l4_offset <= parsed.payload_offset <= parsed.l4_end <= len(frame)
    if parsed.l4_protocol in L4_HEADER:
        assert parsed.l4_end - parsed.l4_offset >= L4_HEADER[parsed.l4_protocol]
    assert l4_checksum_ok(frame, parsed) in (True, False, None)
    assert l4_checksum_ok(memoryview(frame), parsed) == l4_checksum_ok(frame, parsed)
    for disabled in (False, True):
        kind = classify(parsed, RssFields.from_mrqc(0x1FF0002, disabled))
        assert (kind == 0) == (not parsed.is_ipv4 and not parsed.is_ipv6)
        assert 0 <= KEY.hash(hash_input(parsed, kind)) < 1 << 32
