# SPDX-License-Identifier: BSD-3-Clause
"""The PHY's registers, reached through MDIC as Linux igb reaches them."""

from __future__ import annotations

import pytest

from device_model.igb.phy import Phy
from device_model.igb.spec import REGISTERS
from device_model.regfile import RegisterFile

from .linux import MDIC, PHY_ERROR, PHY_READY, Linux

READ, WRITE = 2, 1


class Bench:
    """A PHY with nobody at the other end; ``changes`` counts what it told the link."""

    def __init__(self) -> None:
        self.regs = RegisterFile(REGISTERS)
        self.changes = 0
        self.causes: list[int] = []
        self.phy = Phy(self.regs, self._changed, self.causes.append)
        self.linux = Linux(self.regs.read, self.regs.write)

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_is_the_phy_that_igb_knows(bench: Bench) -> None:
    identity = bench.linux.phy_read(2) << 16 | bench.linux.phy_read(3) & 0xFFF0
    assert identity == 0x02A80390


@pytest.mark.parametrize(
    ("register", "value"),
    [
        (0x00, 0x1140),
        (0x01, 0x7949),
        (0x04, 0x0DE1),
        (0x05, 0),
        (0x09, 0x0F00),
        (0x0A, 0),
        (0x0F, 0x3000),
        (0x10, 0x0120),
        (0x12, 0),
        (0x13, 0),
        (0x19, 0x008D),
    ],
)
def test_reset_values(bench: Bench, register: int, value: int) -> None:
    assert bench.linux.phy_read(register) == value


@pytest.mark.parametrize(("op", "data"), [(READ, 0), (WRITE, 0x1234)])
@pytest.mark.parametrize("address", [0, 2, 31])
def test_only_another_address_is_an_error(bench: Bench, op: int, data: int, address: int) -> None:
    value = bench.linux.mdic(op, 4, data, phy=address)
    assert value & PHY_ERROR
    assert bench.linux.phy_read(4) == 0x0DE1
    assert not bench.regs.read(MDIC) & PHY_ERROR, "an error does not stick"


@pytest.mark.parametrize("register", [0x08, 0x0E, 0x15, 0x1E, 0x0B5, 0x11B0])
def test_a_register_that_does_not_exist_reads_zero_and_is_no_error(bench: Bench, register: int) -> None:
    bench.linux.phy_write(register, 0xFFFF)
    assert bench.linux.phy_read(register) == 0


def test_reading_mdic_has_no_side_effect(bench: Bench) -> None:
    bench.linux.mdic(READ, 2)
    first = bench.regs.read(MDIC)
    assert first == PHY_READY | READ << 26 | 1 << 21 | 2 << 16 | 0x02A8
    assert bench.regs.read(MDIC) == first


def test_the_end_of_an_access_interrupts_only_if_asked(bench: Bench) -> None:
    bench.linux.mdic(READ, 1)
    assert bench.causes == []
    bench.linux.write(MDIC, READ << 26 | 1 << 21 | 1 << 29)
    assert bench.causes == [1 << 9]


@pytest.mark.parametrize("offset", [0x11B1, 0x12B1, 0x14B1, 0x18B1])
def test_gain_registers_give_a_cable_length(bench: Bench, offset: int) -> None:
    """igb_get_cable_length_igp_2 takes 1 to 112 in bits 15:9; 0 is an error."""
    assert 1 <= bench.linux.phy_read(offset) >> 9 <= 112


def test_pages_hide_one_another(bench: Bench) -> None:
    bench.phy.link_found(1000)
    assert bench.linux.phy_read(0x11) == 0xC000, "page 0: port status"
    assert bench.linux.phy_read(0x11B1) != 0xC000, "page 0x8D: gain"
    assert bench.linux.phy_read(0x00B4) & 0x0078 == 0, "page 5: polarity"
    assert bench.linux.phy_read(0x11) == 0xC000


def test_ieee_registers_are_the_same_on_every_page(bench: Bench) -> None:
    bench.linux.mdic(WRITE, 0x1F, 0x11B1)
    assert bench.linux.mdic(READ, 2) & 0xFFFF == 0x02A8
    assert bench.linux.mdic(READ, 0x1F) & 0xFFFF == 0x11B1


def test_read_only_registers_ignore_writes(bench: Bench) -> None:
    for register in (1, 2, 3, 5, 0x0A, 0x0F, 0x11, 0x13):
        before = bench.linux.phy_read(register)
        bench.linux.phy_write(register, before ^ 0xFFFF)
        assert bench.linux.phy_read(register) == before, hex(register)


def test_reset_and_restart_bits_clear_themselves(bench: Bench) -> None:
    bench.linux.phy_write(0, 0x1340)
    assert bench.linux.phy_read(0) == 0x1140
    bench.linux.phy_write(4, 0x0021)
    bench.linux.phy_write(0, 0x8000 | 0x4140)
    assert bench.linux.phy_read(0) == 0x1140
    assert bench.linux.phy_read(4) == 0x0DE1
    assert bench.changes == 2


@pytest.mark.parametrize(
    ("before", "written", "told"),
    [
        (0x1140, 0x1140, 0),
        (0x1140, 0x1000, 0),  # speed and duplex do not count while they are negotiated
        (0x1140, 0x1340, 1),  # restart
        (0x1140, 0x1940, 1),  # power down
        (0x1940, 0x1140, 1),  # and up
        (0x1140, 0x4140, 1),  # loopback
        (0x1140, 0x2100, 1),  # forced
        (0x2100, 0x2100, 0),
        (0x2100, 0x0100, 1),  # another forced speed
        (0x2100, 0x2000, 1),  # another forced duplex
        (0x0140, 0x0340, 0),  # restart means nothing without autonegotiation
    ],
)
def test_the_link_hears_of_what_concerns_it(bench: Bench, before: int, written: int, told: int) -> None:
    bench.linux.phy_write(0, before)
    bench.changes = 0
    bench.linux.phy_write(0, written)
    assert bench.changes == told


def test_a_lost_link_is_seen_once_even_if_it_is_back(bench: Bench) -> None:
    bench.phy.link_found(100)
    assert bench.linux.phy_read(1) & 4
    bench.phy.link_lost()
    bench.phy.link_found(100)
    assert not bench.linux.phy_read(1) & 4
    assert bench.linux.phy_read(1) & 4


@pytest.mark.parametrize(("mbps", "port", "receivers"), [(10, 0x4000, 0), (100, 0x8000, 0), (1000, 0xC000, 0x3000)])
def test_a_link_shows_its_speed(bench: Bench, mbps: int, port: int, receivers: int) -> None:
    bench.phy.link_found(mbps)
    assert bench.linux.phy_read(0x11) & 0xC000 == port
    assert bench.linux.phy_read(0x0A) & 0x3000 == receivers


@pytest.mark.parametrize(
    ("written", "mbps", "full"), [(0x0000, 10, False), (0x2100, 100, True), (0x4140, 1000, True), (0x2040, 10, False)]
)
def test_forced_settings(bench: Bench, written: int, mbps: int, full: bool) -> None:
    bench.linux.phy_write(0, written)
    assert (bench.phy.forced_mbps, bench.phy.forced_full_duplex) == (mbps, full)
