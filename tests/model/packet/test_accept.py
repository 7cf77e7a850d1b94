# SPDX-License-Identifier: BSD-3-Clause
"""Address tests of the layer 2 filters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.packet import accept

from . import frames
from .strategies import quick

GROUP = bytes.fromhex("01005e123456")


@pytest.mark.parametrize(("mo", "expected"), [(0, 0x563), (1, 0xAC6), (2, 0x58D), (3, 0x634)])
def test_each_offset_picks_its_twelve_bits(mo: int, expected: int) -> None:
    # the last two bytes, last first, make 0x5634: shifted right by 4, 3, 2 and 0
    assert accept.multicast_hash(GROUP, mo) == expected


@quick
@given(st.binary(min_size=6, max_size=6))
def test_hash_equals_the_kernels(address: bytes) -> None:
    # Linux igb_hash_mc_addr with mc_filter_type 0 and 128 registers: bit_shift is 4
    assert accept.multicast_hash(address, 0) == 0xFFF & ((address[4] >> 4) | (address[5] << 4))


def test_broadcast_is_not_multicast() -> None:
    assert accept.is_broadcast(b"\xff" * 6)
    assert not accept.is_multicast(b"\xff" * 6)
    assert accept.is_multicast(GROUP)
    assert accept.is_multicast(b"\xff" * 5 + b"\xfe")
    assert not accept.is_broadcast(GROUP)
    assert not accept.is_multicast(frames.GUEST_MAC)


def test_vlan_id_leaves_priority_out() -> None:
    assert accept.vlan_id(0xF123) == 0x123


def pause(destination: bytes, *, opcode: int = 1, ethertype: int = 0x8808) -> bytes:
    return frames.ethernet(opcode.to_bytes(2, "big") + b"\x12\x34", ethertype, destination=destination, pad_to=60)


def test_pause_frames_come_to_the_pause_address_or_ones_own() -> None:
    frame = pause(accept.PAUSE_DESTINATION)
    assert accept.is_pause(frame)
    assert accept.is_pause(memoryview(frame), frames.GUEST_MAC)
    assert accept.pause_quanta(frame) == 0x1234
    assert accept.is_pause(pause(frames.GUEST_MAC), frames.GUEST_MAC)
    assert not accept.is_pause(pause(frames.GUEST_MAC), frames.PEER_MAC)
    assert not accept.is_pause(pause(frames.GUEST_MAC))


def test_other_control_frames_are_not_pause_frames() -> None:
    other = pause(accept.PAUSE_DESTINATION, opcode=0x0101)
    assert accept.is_mac_control(other)
    assert not accept.is_pause(other)
    assert not accept.is_mac_control(pause(accept.PAUSE_DESTINATION, ethertype=0x8809))
    assert not accept.is_pause(pause(accept.PAUSE_DESTINATION, ethertype=0x8809))


@pytest.mark.parametrize("size", range(18))
def test_a_cut_pause_frame_is_none(size: int) -> None:
    assert not accept.is_pause(pause(accept.PAUSE_DESTINATION)[:size])


def test_a_tag_allows_four_more_bytes() -> None:
    assert accept.maximum_length(frames.ethernet(bytes(46), 0x0800)) == 1518
    assert accept.maximum_length(frames.ethernet(bytes(46), 0x0800, vlan=1)) == 1522
    assert accept.maximum_length(frames.ethernet(bytes(46), 0x0800, vlan=1), 0x88A8) == 1518
    assert accept.maximum_length(b"") == 1518
