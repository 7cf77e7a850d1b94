# SPDX-License-Identifier: BSD-3-Clause
"""The guest's speaker of generic netlink, tried on this machine's own kernel."""

from __future__ import annotations

import base64
import errno

import pytest

from harness.guest.program.netlink import Netlink, attribute, messages, parse

GET_FAMILY, FAMILY_ID, FAMILY_NAME = 3, 1, 2
CONTROLLER = 16


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_attributes_are_padded_and_found_again() -> None:
    data = attribute(1, b"abcde") + attribute(2, b"\x01\x02\x03\x04")
    assert len(data) == 12 + 8
    assert parse(data) == {1: b"abcde", 2: b"\x01\x02\x03\x04"}


def test_messages_are_cut_at_their_lengths() -> None:
    one = (21).to_bytes(4, "little") + (5).to_bytes(2, "little") + bytes(10) + b"abcde" + bytes(3)
    two = (16).to_bytes(4, "little") + (3).to_bytes(2, "little") + bytes(10)
    assert list(messages(one + two)) == [(5, b"abcde"), (3, b"")]


def test_the_controller_finds_itself() -> None:
    [answer] = Netlink().generic_netlink("nlctrl", GET_FAMILY, [(FAMILY_NAME, b64(b"nlctrl\0"))])
    assert dict(answer)[FAMILY_ID] == b64(CONTROLLER.to_bytes(2, "little"))


def test_a_family_that_nobody_has_is_refused_with_its_errno() -> None:
    with pytest.raises(OSError, match="No such file") as refused:
        Netlink().generic_netlink("nobody", GET_FAMILY, [])
    assert refused.value.errno == errno.ENOENT
