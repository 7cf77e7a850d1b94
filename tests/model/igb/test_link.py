# SPDX-License-Identifier: BSD-3-Clause
"""The link, from cable to STATUS, in the sequences that Linux igb goes through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from device_model.events import LinkChanged, Tell
from device_model.igb.link import Link, partner_base_page, partner_offers
from device_model.igb.semaphores import Semaphores
from device_model.igb.spec import REGISTERS
from device_model.nic import LinkPartner, Reset
from device_model.regfile import RegisterFile

from .linux import CTRL, STATUS, Linux
from .world import Clock, World

if TYPE_CHECKING:
    from device_model.events import Event

MS = 1_000_000
AUTONEG = 20 * MS
LSC, LU, FD, TXOFF = 4, 2, 1, 16
SLU, RST = 1 << 6, 1 << 26


class Bench:
    """A link and nothing else. ``causes`` are the ICR bits raised so far."""

    def __init__(self, partner: LinkPartner | None = None, *, set_up: bool = True) -> None:
        self.regs = RegisterFile(REGISTERS)
        self.clock = Clock()
        self.causes: list[int] = []
        self.events: list[Event] = []
        tell = Tell()
        tell.observe(self.events.append)
        self.link = Link(self.regs, self.clock, self.causes.append, tell, AUTONEG)
        self.link.connect(partner or LinkPartner())
        self.linux = Linux(self.regs.read, self.regs.write, lambda ms: self.clock.advance(ms * MS))
        if set_up:
            self.linux.setup_link()
            self.clock.advance(AUTONEG)
            self.causes.clear()
            self.events.clear()

    @property
    def status(self) -> int:
        return self.regs.read(STATUS)

    @property
    def speed(self) -> int:
        return (10, 100, 1000, 1000)[self.status >> 6 & 3]


# -- finding a link --------------------------------------------------------------------------------------


def test_setup_as_igb_does_it_ends_with_a_gigabit_link() -> None:
    bench = Bench(set_up=False)
    assert not bench.status & LU
    bench.linux.setup_link()
    bench.clock.advance(AUTONEG)
    assert bench.status & (LU | FD) == LU | FD
    assert bench.speed == 1000
    assert bench.linux.has_link()
    assert bench.linux.phy_read(1) & 0x20, "autonegotiation complete"
    assert bench.linux.phy_read(5) & 0x4000, "acknowledged"
    assert bench.linux.phy_read(0x0A) & 0x3000 == 0x3000, "igb waits for the remote receiver at 1000 Mb/s"
    assert (bench.link.up, bench.link.speed_mbps, bench.link.full_duplex) == (True, 1000, True)


def test_autonegotiation_never_completes_inside_the_access_that_starts_it() -> None:
    bench = Bench()
    bench.linux.phy_write(0, 0x1340)
    assert not bench.link.up
    assert not bench.linux.phy_read(1) & 0x24
    bench.clock.advance(AUTONEG - 1)
    assert not bench.status & LU
    bench.clock.advance(1)
    assert bench.status & LU


def test_even_a_link_that_takes_no_time_takes_a_nanosecond() -> None:
    clock = Clock()
    regs = RegisterFile(REGISTERS)
    regs.write(CTRL, SLU)
    link = Link(regs, clock, lambda _causes: None, Tell(), 0)
    link.connect(LinkPartner())
    clock.advance(0)
    assert not link.up
    clock.advance(1)
    assert link.up


def test_a_link_that_comes_and_goes_raises_lsc_each_time() -> None:
    bench = Bench()
    bench.link.connect(None)
    assert bench.causes == [LSC]
    assert not bench.status & LU
    bench.link.connect(LinkPartner())
    assert bench.causes == [LSC]
    bench.clock.advance(AUTONEG)
    assert bench.causes == [LSC, LSC]
    assert [(e.speed_mbps, e.full_duplex) for e in bench.events if isinstance(e, LinkChanged)] == [
        (0, False),
        (1000, True),
    ]


def test_the_phy_and_status_are_right_by_the_time_lsc_is_raised() -> None:
    seen: list[tuple[bool, int]] = []
    regs, clock = RegisterFile(REGISTERS), Clock()
    linux = Linux(regs.read, regs.write)
    link = Link(regs, clock, lambda _causes: seen.append((linux.has_link(), regs.read(STATUS) & LU)), Tell(), AUTONEG)
    link.connect(LinkPartner())
    regs.write(CTRL, SLU)
    clock.advance(AUTONEG)
    link.connect(None)
    assert seen == [(True, LU), (False, 0)]


def test_without_a_cable_there_is_no_link_however_long_one_waits() -> None:
    for nobody in (None, LinkPartner(speeds_mbps=frozenset())):
        bench = Bench()
        bench.link.connect(nobody)
        bench.linux.phy_write(0, 0x1340)
        bench.clock.advance(10_000 * MS)
        assert not bench.status & LU
        assert not bench.linux.phy_read(1) & 0x24


def test_a_restart_in_the_middle_starts_the_wait_again() -> None:
    bench = Bench()
    bench.linux.phy_write(0, 0x1340)
    bench.clock.advance(AUTONEG - MS)
    bench.linux.phy_write(0, 0x1340)
    bench.clock.advance(AUTONEG - MS)
    assert not bench.status & LU
    bench.clock.advance(MS)
    assert bench.status & LU


# -- what is agreed ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("speeds", "partner_full", "anar", "gigabit", "agreed"),
    [
        ({10, 100, 1000}, True, 0x0DE1, 0x0F00, (1000, True)),
        ({10, 100}, True, 0x0DE1, 0x0F00, (100, True)),
        ({10}, True, 0x0DE1, 0x0F00, (10, True)),
        ({10, 100, 1000}, True, 0x0DE1, 0x0000, (100, True)),
        ({10, 100, 1000}, True, 0x0061, 0x0000, (10, True)),
        ({10, 100, 1000}, True, 0x00A1, 0x0000, (100, False)),
        ({10, 100}, False, 0x0DE1, 0x0F00, (100, False)),
        ({10, 1000}, False, 0x0DE1, 0x0200, (10, False)),
        ({10, 1000}, False, 0x0DE1, 0x0100, (1000, False)),
        ({1000}, True, 0x0DE1, 0x0000, None),
        ({100}, True, 0x0021, 0x0300, None),
    ],
)
def test_the_best_common_ability_wins(
    speeds: set[int], partner_full: bool, anar: int, gigabit: int, agreed: tuple[int, bool] | None
) -> None:
    bench = Bench(LinkPartner(speeds_mbps=frozenset(speeds), full_duplex=partner_full))
    bench.linux.phy_write(4, anar)
    bench.linux.phy_write(9, gigabit)
    bench.linux.phy_write(0, 0x1340)
    bench.clock.advance(AUTONEG)
    assert bench.link.up == (agreed is not None)
    assert bool(bench.status & LU) == bench.linux.has_link() == bench.link.up
    if agreed:
        assert (bench.speed, bool(bench.status & FD)) == agreed
        assert (bench.link.speed_mbps, bench.link.full_duplex) == agreed


@pytest.mark.parametrize(("pause", "asym", "bits"), [(True, True, 0xC00), (True, False, 0x400), (False, True, 0x800)])
def test_the_partners_pause_bits_arrive_in_its_base_page(pause: bool, asym: bool, bits: int) -> None:
    bench = Bench(LinkPartner(pause=pause, asym_pause=asym))
    assert bench.linux.phy_read(5) & 0xC00 == bits


def test_a_partners_base_page_names_what_it_can_do() -> None:
    assert partner_base_page(LinkPartner()) == 0x4DE1
    half = LinkPartner(frozenset({100}), full_duplex=False, pause=False, asym_pause=False)
    assert partner_base_page(half) == 0x4081
    assert partner_offers(half) == [(100, False)]


@pytest.mark.parametrize(("mbps", "full"), [(10, False), (10, True), (100, False), (100, True)])
def test_forced_settings_bring_the_link_up_without_autonegotiation(mbps: int, full: bool) -> None:
    bench = Bench()
    bench.linux.force(mbps, full=full)
    assert not bench.status & LU
    bench.clock.advance(AUTONEG)
    assert (bench.speed, bool(bench.status & FD), bool(bench.status & LU)) == (mbps, full, True)
    assert bench.linux.has_link()
    assert not bench.linux.phy_read(1) & 0x20, "nothing was negotiated"


def test_a_forced_speed_that_the_partner_lacks_gives_no_link() -> None:
    bench = Bench(LinkPartner(speeds_mbps=frozenset({10, 1000})))
    bench.linux.force(100, full=True)
    bench.clock.advance(10 * AUTONEG)
    assert not bench.status & LU


def test_a_gigabit_link_needs_autonegotiation() -> None:
    """IEEE 802.3 40.5.1: 1000BASE-T settles master and slave by negotiating."""
    bench = Bench()
    bench.linux.phy_write(0, 0x0140)
    bench.clock.advance(10 * AUTONEG)
    assert not bench.status & LU


# -- losing it -----------------------------------------------------------------------------------------


def test_a_phy_reset_drops_the_link_and_finds_it_again() -> None:
    bench = Bench()
    bench.linux.phy_hw_reset()
    assert not bench.status & LU
    assert bench.causes == [LSC]
    assert not bench.regs.read(CTRL) & 1 << 31, "it clears itself"
    bench.clock.advance(AUTONEG)
    assert bench.status & LU


def test_a_phy_reset_forgets_what_software_set() -> None:
    bench = Bench()
    bench.linux.phy_write(9, 0)
    bench.linux.phy_hw_reset()
    assert bench.linux.phy_read(9) == 0x0F00


def test_power_down_drops_the_link_and_power_up_finds_it() -> None:
    bench = Bench()
    bench.linux.phy_write(0, bench.linux.phy_read(0) | 0x0800)
    assert not bench.status & LU
    bench.clock.advance(1000 * MS)
    assert not bench.status & LU
    bench.linux.phy_write(0, bench.linux.phy_read(0) & ~0x0800)
    bench.clock.advance(AUTONEG)
    assert bench.status & LU


def test_a_cable_plugged_into_a_sleeping_phy_gives_no_link() -> None:
    bench = Bench()
    bench.link.connect(None)
    bench.linux.phy_write(0, 0x1940)
    bench.link.connect(LinkPartner())
    bench.clock.advance(10 * AUTONEG)
    assert not bench.link.up


def test_the_mac_sees_the_link_only_while_slu_is_set() -> None:
    bench = Bench()
    bench.linux.write(CTRL, bench.regs.read(CTRL) & ~SLU)
    assert not bench.status & LU
    assert bench.linux.has_link()
    assert bench.causes == [LSC]
    bench.linux.write(CTRL, bench.regs.read(CTRL) | SLU)
    assert bench.status & LU
    assert bench.causes == [LSC, LSC]


def test_those_who_wait_hear_of_every_link_that_goes_and_comes() -> None:
    bench = Bench()
    came: list[bool] = []
    bench.link.on_change(lambda: came.append(bench.link.up))
    bench.link.connect(None)
    assert came == [False]
    bench.link.connect(LinkPartner())
    bench.clock.advance(AUTONEG)
    assert came == [False, True]


# -- loopback ------------------------------------------------------------------------------------------


def test_phy_loopback_as_ethtool_sets_it_is_up_without_a_cable() -> None:
    """Linux igb_integrated_phy_loopback: register 0 = 4140, then CTRL forces 1000 Mb/s full duplex."""
    bench = Bench()
    bench.link.connect(None)
    bench.linux.phy_write(0, 0x4140)
    assert bench.link.loopback
    ctrl = bench.regs.read(CTRL) & ~(3 << 8)
    bench.linux.write(CTRL, ctrl | 1 << 11 | 1 << 12 | 2 << 8 | FD | SLU)
    bench.clock.advance(500 * MS)
    assert bench.status & (LU | FD) == LU | FD
    assert bench.speed == 1000
    bench.linux.phy_write(0, bench.linux.phy_read(0) & ~0x4000)
    assert not bench.link.loopback
    bench.linux.phy_write(0, 0x9140)
    bench.clock.advance(500 * MS)
    assert not bench.status & LU, "no cable, no loopback: no link"


def test_the_cable_does_not_matter_in_phy_loopback() -> None:
    bench = Bench()
    bench.linux.phy_write(0, 0x4140)
    bench.clock.advance(AUTONEG)
    bench.causes.clear()
    bench.link.connect(None)
    bench.clock.advance(AUTONEG)
    assert bench.link.up
    assert bench.causes == []


@pytest.mark.parametrize(("lbm", "loops"), [(0, False), (1, True), (2, False), (3, False)])
def test_mac_loopback_is_one_value_of_rctl(lbm: int, loops: bool) -> None:
    bench = Bench()
    bench.link.connect(None)
    bench.linux.write(0x100, lbm << 6)
    assert bench.link.loopback == loops
    assert (bench.link.speed_mbps > 0) == loops


# -- resets --------------------------------------------------------------------------------------------


def test_a_software_reset_leaves_the_phy_and_its_link_alone() -> None:
    bench = Bench()
    bench.linux.phy_write(9, 0x0200)
    bench.regs.reset(software=True)
    bench.link.reset(software=True)
    assert bench.linux.phy_read(9) == 0x0200
    assert bench.linux.has_link()
    assert not bench.status & LU, "CTRL.SLU is 0 after a reset"
    assert bench.causes == []
    bench.linux.write(CTRL, bench.regs.read(CTRL) | SLU)
    assert bench.status & LU
    assert bench.speed == 1000


def test_a_full_reset_starts_the_phy_afresh() -> None:
    bench = Bench()
    bench.linux.phy_write(9, 0)
    bench.regs.reset(software=False)
    bench.link.reset(software=False)
    assert bench.linux.phy_read(9) == 0x0F00
    assert not bench.linux.has_link()
    bench.linux.write(CTRL, SLU)
    bench.clock.advance(AUTONEG)
    assert bench.status & LU


def test_txoff_is_shown_until_it_is_taken_back() -> None:
    bench = Bench()
    bench.link.transmit_off(True)
    bench.link.connect(None)
    assert bench.status & TXOFF
    bench.link.transmit_off(False)
    assert not bench.status & TXOFF


def test_the_whole_card_finds_its_link_soon_enough_for_ethtool() -> None:
    """The link test of ``ethtool -t`` waits 5 s after the PHY reset (Linux igb_link_test)."""
    world = World()
    linux = Linux(world.read, world.write, lambda ms: world.clock.advance(ms * MS))
    world.write(CTRL, world.read(CTRL) | RST)
    linux.setup_link()
    world.clock.advance(1000 * MS)
    assert world.read(STATUS) & LU
    assert world.read(0xC0) & LSC


def test_a_power_on_reset_in_the_middle_of_everything_is_survived() -> None:
    world = World()
    linux = Linux(world.read, world.write, lambda ms: world.clock.advance(ms * MS))
    linux.setup_link()
    world.nic.reset(Reset.FUNCTION_LEVEL)
    assert not world.read(STATUS) & LU
    linux.setup_link()
    world.clock.advance(1000 * MS)
    assert world.read(STATUS) & LU


# -- who may do what -----------------------------------------------------------------------------------


def test_reading_swsm_takes_the_semaphore_and_writing_0_frees_it() -> None:
    regs = RegisterFile(REGISTERS)
    Semaphores(regs)
    assert regs.read(0x5B50) == 0
    assert regs.read(0x5B50) == 1
    regs.write(0x5B50, regs.read(0x5B50) | 2)
    assert regs.read(0x5B50) == 3
    regs.write(0x5B50, regs.read(0x5B50) & ~3)
    assert regs.read(0x5B50) == 0


def test_peeking_at_swsm_does_not_take_it() -> None:
    regs = RegisterFile(REGISTERS)
    Semaphores(regs)
    assert regs.snapshot()["SWSM"] == 0
    assert regs.read(0x5B50) == 0


def test_firmware_never_owns_a_resource() -> None:
    regs = RegisterFile(REGISTERS)
    Semaphores(regs)
    regs.write(0x5B5C, 0xFFFF0107)
    assert regs.read(0x5B5C) == 0x0107
    assert regs.read(0x5B54) == 0


def test_status_shows_that_bus_mastering_stopped() -> None:
    """Linux igb_disable_pcie_master polls STATUS bit 19 for 80 ms; CTRL.RST enables mastering again."""
    world = World()
    assert world.read(STATUS) & 1 << 19
    world.write(CTRL, world.read(CTRL) | 4)
    assert not world.read(STATUS) & 1 << 19
    world.write(CTRL, world.read(CTRL) | RST)
    assert world.read(STATUS) & 1 << 19
    assert not world.read(CTRL) & 4


def test_the_phy_is_configured_as_soon_as_it_is_reset() -> None:
    """Linux igb_get_cfg_done_82575 polls EEMNGCTL bit 18 for 100 ms."""
    world = World()
    world.write(CTRL, 1 << 31)
    assert world.read(0x1010) & 1 << 18
