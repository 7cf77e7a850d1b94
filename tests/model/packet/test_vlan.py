# SPDX-License-Identifier: BSD-3-Clause
"""VLAN tags put in and taken out (claim TX-14)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.packet import vlan

from . import frames
from .strategies import V4, Flow, flows, quick


def test_tag_stands_behind_the_source_address() -> None:
    bare = frames.udp_frame(b"tagged", *V4, (1, 2))
    expected = frames.ethernet(bare[14:], 0x0800, vlan=0xA123, vlan_ethertype=0x88A8)
    assert vlan.insert(bare, 0x88A8, 0xA123) == expected


@quick
@given(flows(), st.integers(0, 0xFFFF), st.integers(0x600, 0xFFFF))
def test_stripping_undoes_insertion(flow: Flow, tci: int, ethertype: int) -> None:
    tagged = vlan.insert(memoryview(flow.frame), ethertype, tci)
    assert vlan.strip(tagged) == (flow.frame, tci)
    assert vlan.strip(memoryview(tagged)) == (flow.frame, tci)


def test_only_the_outer_tag_is_stripped() -> None:
    inner = frames.ethernet(bytes(46), 0x0806, vlan=0x0111)
    assert vlan.strip(vlan.insert(inner, 0x8100, 0x0222)) == (inner, 0x0222)


@pytest.mark.parametrize("size", [0, 11, 15])
def test_a_frame_too_short_for_a_tag_comes_back_whole(size: int) -> None:
    assert vlan.strip(b"\x99" * size) == (b"\x99" * size, 0)


def test_numbers_wider_than_their_fields_are_cut() -> None:
    assert vlan.insert(bytes(14), 0x18100, 0x1F123)[12:16] == bytes.fromhex("8100f123")
