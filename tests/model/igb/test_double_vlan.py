# SPDX-License-Identifier: BSD-3-Clause
"""Two VLAN tags (CTRL_EXT.ext_vlan, VET.vet_ext): the inner one is filtered, stripped and inserted (82576 8.2.3)."""

from __future__ import annotations

import pytest

from device_model.igb.config import Config
from device_model.igb.spec.filters import VFTA
from device_model.igb.spec.general import CTRL_EXT, VET
from device_model.igb.spec.receive import RCTL
from tests.model.packet import frames

from .driver import Driver
from .world import World

A, B = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
OUTER, INNER = bytes.fromhex("88a80065"), bytes.fromhex("81006052")
VID = 0x052


@pytest.fixture
def driver() -> Driver:
    driver = Driver(World())
    driver.up()
    driver.put(VET, 0x88A8_8100)
    driver.put(CTRL_EXT, driver.get(CTRL_EXT) | CTRL_EXT.ext_vlan.mask)
    driver.put(RCTL, driver.get(RCTL) | RCTL.vfe.mask)
    driver.put(VFTA, 1 << VID % 32, VID // 32)
    return driver


def plain() -> bytes:
    packet, ethertype = frames.ip(frames.udp(bytes(range(40)), A, B, (1111, 2222)), frames.UDP, A, B)
    return frames.ethernet(packet, ethertype, destination=Config().mac)


def tagged(*tags: bytes) -> bytes:
    frame = plain()
    return frame[:12] + b"".join(tags) + frame[12:]


def test_the_inner_tag_is_stripped_and_the_outer_one_stays(driver: Driver) -> None:
    driver.world.nic.receive(tagged(OUTER, INNER))
    [(fields, data)] = driver.received(0)
    assert data == tagged(OUTER)
    assert (fields["vp"], fields["vlan"], fields["ipidv"]) == (1, 0x6052, 1)
    assert (fields["l4cs"], fields["l4e"], fields["ipe"]) == (1, 0, 0), "checksums are found behind both"


def test_the_inner_tag_is_what_the_filter_looks_at(driver: Driver) -> None:
    driver.world.nic.receive(tagged(OUTER, bytes.fromhex("81000053")))
    assert driver.received(0) == []


def test_one_tag_is_the_inner_one(driver: Driver) -> None:
    driver.world.nic.receive(tagged(INNER))
    [(fields, data)] = driver.received(0)
    assert (data, fields["vp"], fields["ipidv"]) == (plain(), 1, 0)


def test_an_outer_tag_alone_stays_where_it_is(driver: Driver) -> None:
    driver.world.nic.receive(tagged(OUTER))
    [(fields, data)] = driver.received(0)
    assert (data, fields["vp"], fields["ipidv"]) == (tagged(OUTER), 0, 1)


def test_without_the_bit_an_outer_tag_is_a_strange_type(driver: Driver) -> None:
    driver.put(CTRL_EXT, driver.get(CTRL_EXT) & ~CTRL_EXT.ext_vlan.mask)
    driver.world.nic.receive(tagged(OUTER, INNER))
    [(fields, data)] = driver.received(0)
    assert (data, fields["vp"], fields["l4cs"]) == (tagged(OUTER, INNER), 0, 0)


@pytest.mark.parametrize(("before", "after"), [((OUTER,), (OUTER, INNER)), ((), (INNER,))])
def test_the_inner_tag_is_inserted_behind_an_outer_one(
    driver: Driver, before: tuple[bytes, ...], after: tuple[bytes, ...]
) -> None:
    driver.send(0, tagged(*before), context={"vlan": 0x6052, "maclen": 14}, vle=1)
    driver.world.clock.advance(1_000_000)
    assert driver.world.cable.frames == [tagged(*after)]
