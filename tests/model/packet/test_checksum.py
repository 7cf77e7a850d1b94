# SPDX-License-Identifier: BSD-3-Clause
"""Sums and CRCs, against naive ones; the check on receive and the insertion on transmit."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.packet.checksum import (
    checksum,
    crc32c,
    insert_ipv4_checksum,
    insert_l4_checksum,
    l4_checksum_ok,
    ones_complement_sum,
    pseudo_header_sum,
)
from device_model.packet.parse import parse

from . import frames
from .strategies import V4, V6, Flow, addresses, flows, payloads, ports, quick

FIELD = {frames.TCP: 16, frames.UDP: 6, frames.SCTP: 8}


@quick
@given(st.binary(max_size=80), st.integers(0, 0xFFFFFF))
def test_sum_equals_the_word_loop(data: bytes, initial: int) -> None:
    assert ones_complement_sum(data, initial) == frames.word_sum(data, initial)
    assert ones_complement_sum(memoryview(data), initial) == frames.word_sum(data, initial)
    assert checksum(bytearray(data), initial) == ~frames.word_sum(data, initial) & 0xFFFF


@quick
@given(st.binary(min_size=1, max_size=12), st.integers(180, 800))
def test_sum_of_long_data_equals_the_word_loop(pattern: bytes, repeats: int) -> None:
    data = pattern * repeats
    assert ones_complement_sum(data) == frames.word_sum(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (bytes(1500), 0),
        (b"\xff\xff", 0xFFFF),
        (b"\xff\xff" * 800, 0xFFFF),
        (b"\x12\x34\xed\xcb", 0xFFFF),
        (b"\x12", 0x1200),
        (bytes.fromhex("0001f203f4f5f6f7"), 0xDDF2),  # the example of RFC 1071 section 3
    ],
)
def test_both_zeros_of_ones_complement_are_told_apart(data: bytes, expected: int) -> None:
    assert ones_complement_sum(data) == expected


@quick
@given(addresses, st.integers(0, 255), st.integers(0, 0xFFFF))
def test_pseudo_header_sum_equals_the_sum_of_its_bytes(pair: tuple[bytes, bytes], protocol: int, length: int) -> None:
    expected = frames.word_sum(frames.pseudo_header(*pair, protocol, length))
    assert pseudo_header_sum(*pair, protocol, length) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),  # this and the next three: RFC 3720 B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"", 0),
    ],
)
def test_published_crc32c_values(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected
    assert frames.bitwise_crc32c(data) == expected


@quick
@given(st.binary(max_size=70))
def test_crc32c_equals_the_bit_loop(data: bytes) -> None:
    assert crc32c(data) == crc32c(memoryview(data)) == frames.bitwise_crc32c(data)


@quick
@given(flows(), st.integers(0, 20))
def test_a_right_frame_passes_with_or_without_padding(flow: Flow, padding: int) -> None:
    frame = flow.frame + b"\x5a" * padding
    assert l4_checksum_ok(frame, parse(frame)) is True


@quick
@given(flows(), st.data())
def test_one_flipped_bit_fails(flow: Flow, data: st.DataObject) -> None:
    start = 14 + flow.l3_length
    first_free = start + (8 if flow.protocol == frames.UDP else 0)  # UDP's length and its zero have tests of their own
    position = data.draw(st.sampled_from([start, start + 3, *range(first_free, len(flow.frame))]))
    damaged = bytearray(flow.frame)
    damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    assert l4_checksum_ok(bytes(damaged), parse(bytes(damaged))) is False


@quick
@given(flows(), st.integers(0, 7))
def test_a_foreign_address_fails_all_but_sctp(flow: Flow, bit: int) -> None:
    damaged = bytearray(flow.frame)
    damaged[14 + flow.l3_length - 1] ^= 1 << bit
    assert l4_checksum_ok(bytes(damaged), parse(bytes(damaged))) is (flow.protocol == frames.SCTP)


def test_udp_without_checksum_is_not_checkable_over_ipv4_and_wrong_over_ipv6() -> None:
    for pair, expected in ((V4, None), (V6, False)):
        frame = frames.udp_frame(b"unsummed", *pair, (9, 10), with_checksum=False)
        assert l4_checksum_ok(frame, parse(frame)) is expected


@pytest.mark.parametrize("length", [0, 7, 14])
def test_a_udp_length_that_its_packet_cannot_hold_is_wrong(length: int) -> None:
    datagram = bytearray(frames.udp(b"hello", *V4, (9, 10), with_checksum=False))
    struct.pack_into(">H", datagram, 4, length)
    # The checksum is right for the bytes that are there: only the length is wrong.
    right = frames.internet_checksum(frames.pseudo_header(*V4, frames.UDP, len(datagram)) + datagram)
    struct.pack_into(">H", datagram, 6, right)
    frame = frames.ethernet(frames.ipv4(bytes(datagram), frames.UDP, *V4), 0x0800, pad_to=64)
    assert l4_checksum_ok(frame, parse(frame)) is False


def test_udp_is_summed_over_its_own_length() -> None:
    datagram = frames.udp(b"hello", *V4, (9, 10)) + b"behind it"
    frame = frames.ethernet(frames.ipv4(datagram, frames.UDP, *V4), 0x0800)
    assert l4_checksum_ok(frame, parse(frame)) is True


@pytest.mark.parametrize("fragment", [0x2000, 0x0003])
def test_fragments_are_not_checkable(fragment: int) -> None:
    packet = frames.ipv4(frames.udp(bytes(32), *V4, (1, 2)), frames.UDP, *V4, fragment=fragment)
    frame = frames.ethernet(packet, 0x0800)
    assert l4_checksum_ok(frame, parse(frame)) is None


def test_other_protocols_are_not_checkable() -> None:
    for frame in (frames.arp_request(*V4), frames.ethernet(frames.ipv4(bytes(16), 1, *V4), 0x0800)):
        assert l4_checksum_ok(frame, parse(frame)) is None


def test_a_packet_whose_addresses_a_mobility_header_replaces_is_not_checkable() -> None:
    home = frames.ipv6_extension(frames.UDP, bytes([1, 2, 0, 0, 0xC9, 16]) + bytes(range(16)))
    frame = frames.ethernet(frames.ipv6(home + frames.udp(b"x", *V6, (1, 2)), 60, *V6), 0x86DD)
    assert l4_checksum_ok(frame, parse(frame)) is None


def seeded(flow: Flow) -> bytearray:
    """Make of a right frame what a driver hands over: the pseudo header's sum in the field, for SCTP junk."""
    frame = bytearray(flow.frame)
    field = 14 + flow.l3_length + FIELD[flow.protocol]
    if flow.protocol == frames.SCTP:
        frame[field : field + 4] = b"junk"
    else:
        header = frames.pseudo_header(flow.source, flow.destination, flow.protocol, len(frame) - 14 - flow.l3_length)
        struct.pack_into(">H", frame, field, frames.word_sum(header))
    return frame


@quick
@given(flows())
def test_insertion_restores_the_right_frame_from_the_seed(flow: Flow) -> None:
    frame = seeded(flow)
    assert insert_l4_checksum(frame, 14 + flow.l3_length, flow.protocol) is True
    assert bytes(frame) == flow.frame


@quick
@given(addresses, ports, payloads)
def test_insertion_adds_the_length_it_is_given(
    pair: tuple[bytes, bytes], numbers: tuple[int, int], payload: bytes
) -> None:
    expected = frames.tcp(payload, *pair, numbers)
    segment = bytearray(expected)
    struct.pack_into(">H", segment, 16, frames.word_sum(frames.pseudo_header(*pair, frames.TCP, 0)))
    assert insert_l4_checksum(segment, 0, frames.TCP, len(segment))
    assert bytes(segment) == expected


def test_a_udp_checksum_of_zero_goes_out_as_ones_and_a_tcp_one_as_zero() -> None:
    datagram = bytearray(struct.pack(">HHHH", 0xFFFF, 0, 0, 0))
    assert insert_l4_checksum(datagram, 0, frames.UDP)
    assert datagram[6:8] == b"\xff\xff"
    segment = bytearray(20)
    segment[0:2] = b"\xff\xff"
    assert insert_l4_checksum(segment, 0, frames.TCP)
    assert segment[16:18] == b"\0\0"


@pytest.mark.parametrize(("protocol", "width"), [(frames.TCP, 2), (frames.UDP, 2), (frames.SCTP, 4)])
def test_a_field_outside_the_frame_is_left_alone(protocol: int, width: int) -> None:
    size = 34 + FIELD[protocol] + width
    for offset, inserted in ((34, True), (35, False), (1 << 20, False), (-3, False)):
        frame = bytearray(b"\x77" * size)
        assert insert_l4_checksum(frame, offset, protocol) is inserted
        assert (frame == b"\x77" * size) is not inserted


def test_an_unknown_protocol_has_no_field() -> None:
    frame = bytearray(b"\x77" * 64)
    assert insert_l4_checksum(frame, 34, 1) is False
    assert frame == b"\x77" * 64


@quick
@given(st.binary(min_size=20, max_size=60), st.integers(0, 20))
def test_ipv4_insertion_includes_the_seed(header: bytes, l3_offset: int) -> None:
    frame = bytearray(l3_offset) + header + b"tail"
    assert insert_ipv4_checksum(frame, l3_offset, len(header)) is True
    stored = struct.unpack_from(">H", frame, l3_offset + 10)[0]
    assert stored == frames.internet_checksum(header)
    assert frame[:l3_offset] + header[:10] + header[12:] + b"tail" == frame[: l3_offset + 10] + frame[l3_offset + 12 :]


@pytest.mark.parametrize("seed", [0, 0xFFFF])
def test_ipv4_insertion_from_either_zero_gives_the_right_header(seed: int) -> None:
    expected = frames.ipv4(b"xy", frames.UDP, *V4)
    packet = bytearray(expected)
    struct.pack_into(">H", packet, 10, seed)
    assert insert_ipv4_checksum(packet, 0, 20)
    assert bytes(packet) == expected


@pytest.mark.parametrize(("offset", "length"), [(14, 19), (14, 21), (-1, 20), (400, 20)])
def test_an_ipv4_header_outside_the_frame_is_left_alone(offset: int, length: int) -> None:
    frame = bytearray(b"\x45" * 34)
    assert insert_ipv4_checksum(frame, offset, length) is False
    assert frame == b"\x45" * 34
