# SPDX-License-Identifier: BSD-3-Clause
"""Where QEMU 10.0's own igb departs from the 82576 data sheet or from what Linux igb relies on: here it must not.

The second half, 13 to 25: descriptors, PHY, filters, clock, rings, configuration space and pace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from device_model import events
from device_model.igb.config import Config
from device_model.igb.spec import pci
from device_model.igb.spec.bus import WUS
from device_model.igb.spec.descriptors import RxLegacy, TxLegacy
from device_model.igb.spec.filters import DAQF, ETQF, FTQF, IMIR, IMIREXT, IMIRVP, SAQF, SPQF, SYNQF
from device_model.igb.spec.general import CTRL, FCAH, FCAL, FCRTH, FCT, FRTIMER, STATUS, TCPTIMER
from device_model.igb.spec.receive import MRQC, PSRTYPE, RCTL, RDBAL, RDH, RDT, RLPML, RXCTL, RXDCTL, SRRCTL
from device_model.igb.spec.statistics import ROC, XOFFRXC, XONRXC
from device_model.igb.spec.timesync import SYSTIMH, SYSTIML, TIMINCA
from device_model.igb.spec.transmit import TDH, TDT, TDWBAH, TDWBAL, TXCTL, TXDCTL
from device_model.igb.spec.virtualization import UTA
from tests.model.packet import frames

from .driver import TX_BUFFERS, Driver
from .linux import Linux
from .world import BASE, World

if TYPE_CHECKING:
    from device_model.declare import Register

A, B = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
MAC = Config().mac
US, MS = 1_000, 1_000_000


@pytest.fixture
def driver() -> Driver:
    driver = Driver(World())
    driver.up()
    return driver


def udp(payload: bytes = b"hello, card", ports: tuple[int, int] = (1111, 2222)) -> bytes:
    return frames.ethernet(*frames.ip(frames.udp(payload, A, B, ports), frames.UDP, A, B), destination=MAC)


def plain(size: int, seed: int = 1) -> bytes:
    return bytes(12) + b"\x88\xb5" + bytes((seed + n * 7) & 0xFF for n in range(size - 14))


# -- 13: legacy descriptors, thresholds, flush --------------------------------------------------------------------


def test_13_legacy_receive_descriptors(driver: Driver) -> None:
    driver.put(SRRCTL, 2, 0)
    driver.world.nic.receive(udp(b"legacy" * 10))
    fields = RxLegacy.decode(driver.world.memory.read(driver.rx_ring(0), 16))
    assert (fields["length"], fields["dd"], fields["eop"]) == (42 + 60, 1, 1)


def test_13_legacy_transmit_descriptors_of_more_than_one_buffer(driver: Driver) -> None:
    memory, data = driver.world.memory, plain(300)
    memory.write(TX_BUFFERS, data)
    common = {"ifcs": 1, "vlan": 0x2005}
    first = TxLegacy.encode(address=TX_BUFFERS, length=100, **common)
    second = TxLegacy.encode(address=TX_BUFFERS + 100, length=200, eop=1, rs=1, **common)
    memory.write(driver.tx_ring(0), first + second)
    driver.put(TDT, 2, 0)
    driver.world.clock.advance(MS)
    assert driver.world.cable.frames == [data], "without VLE there is no tag"
    assert (driver.done(0, 0), driver.done(0, 1)) == (False, True)


@pytest.mark.parametrize(("threshold", "done"), [(0, 4), (1, 4), (2, 4), (3, 3), (8, 0)])
def test_13_write_back_gathers_up_to_the_threshold(driver: Driver, threshold: int, done: int) -> None:
    driver.put(TXDCTL, 0, 0)
    driver.put(TXDCTL, TXDCTL.enable.mask | threshold << 16, 0)
    driver.world.nic.set_rate(10)
    slots = [driver.send(0, plain(1226), ring=False) for _ in range(6)]
    driver.doorbell(0)
    driver.world.clock.advance(4 * MS + 500 * US)
    assert sum(driver.done(0, slot) for slot in slots) == done
    driver.put(TXDCTL, TXDCTL.enable.mask | TXDCTL.swflsh.mask | threshold << 16, 0)
    assert sum(driver.done(0, slot) for slot in slots) == 4, "SWFLSH reports what has left"
    assert not driver.get(TXDCTL, 0) & TXDCTL.swflsh.mask, "and clears itself"


# -- 14 and 15: PHY -----------------------------------------------------------------------------------------------


def test_14_a_software_reset_leaves_the_phy_alone_and_a_phy_reset_does_not() -> None:
    world = World()
    linux = Linux(world.read, world.write)
    linux.phy_write(4, 0x0C01)
    world.write(CTRL.at, world.read(CTRL.at) | CTRL.rst.mask)
    assert linux.phy_read(4) == 0x0C01
    assert linux.has_link()
    world.write(CTRL.at, world.read(CTRL.at) | CTRL.phy_rst.mask)
    assert not world.read(CTRL.at) & CTRL.phy_rst.mask, "the bit clears itself"
    assert linux.phy_read(4) == 0x0DE1
    assert not linux.has_link()
    world.clock.advance(1000 * MS)
    assert linux.has_link()


def test_15_paged_registers_are_not_those_of_page_zero() -> None:
    """igb_get_cable_length_igp_2 and igb_check_polarity_igp."""
    world = World()
    linux = Linux(world.read, world.write)
    gains = [linux.phy_read(offset) >> 9 & 0x7F for offset in (0x11B1, 0x12B1, 0x14B1, 0x18B1)]
    assert all(1 <= gain <= 112 for gain in gains)
    assert linux.phy_read(0x11) >> 14 == 3, "port status: 1000 Mb/s"
    linux.phy_read(0xB4)


# -- 16: filters and timers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reg", "value"),
    [
        (FTQF, 0x68008011),
        (SPQF, 0x00003F01),
        (IMIR, 0x00003F01),
        (IMIREXT, 0x00081000),
        (SAQF, 0x0100007F),
        (DAQF, 0x0200007F),
        (SYNQF, 0x00000007),
        (IMIRVP, 0x0000000D),
        (ETQF, 0x440088F7),
        (PSRTYPE, 0x00000003),
        (RXCTL, 0x030000A0),
        (TCPTIMER, 0x00000A05),
    ],
)
def test_16_filters_and_timers_are_stored(driver: Driver, reg: type[Register], value: int) -> None:
    n = min(3, reg.count - 1)
    driver.put(reg, value, n)
    assert driver.get(reg, n) == value


def test_16_ethertype_filter_chooses_a_queue_before_rss(driver: Driver) -> None:
    driver.put(MRQC, 0x00370002)
    frame = frames.ethernet(bytes(60), 0x88F7, destination=MAC)
    driver.put(ETQF, 0x88F7 | 1 << 16 | 1 << 26 | 1 << 31, 3)
    driver.world.nic.receive(frame)
    assert (len(driver.received(0)), len(driver.received(1))) == (0, 1)
    driver.put(ETQF, 0x88F7 | 1 << 16 | 1 << 26, 3)
    driver.world.nic.receive(frame)
    assert (len(driver.received(0)), len(driver.received(1))) == (1, 0), "without queue enable it only stamps"


def test_16_free_running_timer_counts_microseconds(driver: Driver) -> None:
    before = driver.get(FRTIMER)
    driver.world.clock.advance(1234 * US)
    assert driver.get(FRTIMER) - before == 1234


# -- 17: flow control ----------------------------------------------------------------------------------------------


def test_17_negotiation_does_not_switch_flow_control_on() -> None:
    """igb_config_fc_after_link_up decides, from the PHY's registers, and writes CTRL itself."""
    world = World()
    Linux(world.read, world.write, lambda ms: world.clock.advance(ms * MS)).setup_link()
    world.clock.advance(1000 * MS)
    assert world.read(STATUS.at) & STATUS.lu.mask
    assert not world.read(CTRL.at) & (CTRL.rfce.mask | CTRL.tfce.mask)


def test_17_pause_frames_are_consumed_and_counted_when_the_driver_wants_that(driver: Driver) -> None:
    pause = bytes.fromhex("0180c2000001") + bytes(6) + b"\x88\x08\x00\x01"
    for reg, value in ((FCAL, 0x00C28001), (FCAH, 0x100), (FCT, 0x8808)):
        driver.put(reg, value)
    driver.put(CTRL, driver.get(CTRL) | CTRL.rfce.mask)
    driver.world.nic.receive((pause + b"\x00\xff").ljust(60, b"\0"))
    driver.world.nic.receive(pause.ljust(60, b"\0"))
    assert driver.received(0) == []
    assert [driver.get(reg) for reg in (XOFFRXC, XONRXC)] == [1, 1]


# -- 18: the clock ---------------------------------------------------------------------------------------------------


def test_18_system_time_can_be_stepped_and_its_halves_are_read_as_one() -> None:
    world = World()
    driver = Driver(world)
    driver.put(TIMINCA, 1 << 24 | 16)
    driver.put(SYSTIML, 0xFFFFFFF0)
    driver.put(SYSTIMH, 7)
    world.clock.advance(8)
    low = driver.get(SYSTIML)
    world.clock.advance(1000 * MS)
    assert driver.get(SYSTIMH) << 32 | low == 7 << 32 | 0xFFFFFFF0, "16 ns have not passed when the low half was read"
    assert driver.get(SYSTIML) == (0xFFFFFFF0 + 1000 * MS // 16 * 16) & 0xFFFFFFFF
    assert driver.get(SYSTIMH) == 8


def test_18_the_increment_sets_the_speed() -> None:
    """igb_ptp_adjfine_82576 changes the numerator around 16 << 19 each 16 ns."""
    world = World()
    driver = Driver(world)
    elapsed = []
    for timinca in (1 << 24 | 16 << 19, 1 << 24 | 16 << 19 | 0x1234, 2 << 24 | 16 << 19, 0):
        driver.put(TIMINCA, timinca)
        start = driver.get(SYSTIML) | driver.get(SYSTIMH) << 32
        world.clock.advance(1600)
        elapsed.append((driver.get(SYSTIML) | driver.get(SYSTIMH) << 32) - start)
    assert elapsed == [100 * (16 << 19), 100 * (16 << 19 | 0x1234), 50 * (16 << 19), 0]


# -- 19: rings -------------------------------------------------------------------------------------------------------


def test_19_enabling_a_queue_resets_its_pointers_and_the_heads_are_the_cards(driver: Driver) -> None:
    driver.world.nic.receive(udp())
    driver.send(0, plain(100))
    driver.world.clock.advance(MS)
    driver.put(RDH, 33, 0)
    driver.put(TDH, 33, 0)
    assert (driver.get(RDH, 0), driver.get(TDH, 0)) == (1, 1)
    for reg, tail, head in ((RXDCTL, RDT, RDH), (TXDCTL, TDT, TDH)):
        driver.put(reg, 0, 0)
        driver.put(tail, 17, 0)
        assert driver.get(tail, 0) != 17, "a doorbell of a disabled queue is not taken"
        driver.put(reg, 1 << 25, 0)
        assert (driver.get(head, 0), driver.get(tail, 0)) == (0, 0)


# -- 21 and 22: registers and configuration space ---------------------------------------------------------------------


def test_21_masks_of_registers(driver: Driver) -> None:
    for reg, kept in ((FCRTH, 0x0000FFF0), (RDBAL, 0xFFFFFF80)):
        driver.put(reg, 0xFFFFFFFF, 0)
        assert driver.get(reg, 0) == kept
    driver.put(UTA, 0x12345678, 5)
    assert driver.get(UTA, 5) == 0x12345678


def test_21_wake_up_status_is_cleared_by_ones() -> None:
    world = World()
    world.nic.regs.poke(WUS, 0x14)
    world.write(WUS.at, 0x04)
    assert world.read(WUS.at) == 0x10


def test_21_capabilities_that_linux_looks_for_are_there() -> None:
    by_name = {capability.name: capability for capability in pci.function(MAC).capabilities}
    assert int.from_bytes(by_name["pm"].body[:2], "little") >> 11 == 0b11001, "PME from D0, D3hot and D3cold"
    assert by_name["dsn"].at == 0x140
    assert pci.MSIX.vectors == 10


@pytest.mark.parametrize("queue", range(4))
def test_22_old_addresses_reach_the_same_queue(queue: int) -> None:
    world = World()
    for old, new, value in (
        (0x3814 + queue * 0x100, TXCTL.at + queue * 0x40, 0x11000020 + (queue << 24)),
        (0x3800 + queue * 0x100, 0xE000 + queue * 0x40, 0x1000 + queue * 0x80),
        (0x2814 + queue * 0x100, RXCTL.at + queue * 0x40, 0x22000020 + (queue << 24)),
        (0x280C + queue * 0x100, SRRCTL.at + queue * 0x40, 0x02000400 + queue),
    ):
        world.write(old, value)
        assert world.read(new) == value
    assert world.read(TXCTL.at + 9 * 0x40) == 0x2A00


# -- 23 to 25: counters, VLAN, pace -----------------------------------------------------------------------


def test_23_oversize_frames_are_counted(driver: Driver) -> None:
    driver.world.nic.receive(udp(bytes(1536 - 42 - 3)))
    assert driver.get(ROC) == 1
    driver.put(RCTL, driver.get(RCTL) & ~RCTL.lpe.mask)
    driver.put(RLPML, 0x2600)
    driver.world.nic.receive(udp(bytes(1514 - 42)))
    driver.world.nic.receive(udp(bytes(1515 - 42)))
    assert (len(driver.received(0)), driver.get(ROC)) == (1, 1)


def test_24_a_tag_is_inserted_only_with_ctrl_vme(driver: Driver) -> None:
    for vme, tagged in ((CTRL.vme.mask, True), (0, False)):
        driver.put(CTRL, driver.get(CTRL) & ~CTRL.vme.mask | vme)
        driver.send(0, plain(100), context={"vlan": 0x2ABC, "maclen": 14}, vle=1)
        driver.world.clock.advance(MS)
        frame = driver.world.cable.frames.pop()
        assert (frame[12:16] == b"\x81\x00\x2a\xbc") is tagged


def test_25_the_doorbell_returns_before_anything_is_fetched_or_sent(driver: Driver) -> None:
    driver.send(0, plain(100), ring=False)
    driver.world.events.clear()
    driver.doorbell(0)
    assert driver.world.cable.frames == []
    assert not [event for event in driver.world.events if isinstance(event, events.DmaRead)]


def test_25_frames_take_their_time_and_the_head_can_be_written_back_alone(driver: Driver) -> None:
    where = BASE + 0xF000
    driver.put(TDWBAH, where >> 32, 0)
    driver.put(TDWBAL, where & 0xFFFFFFFF | 1, 0)
    driver.world.nic.set_rate(100)
    for _ in range(4):
        driver.send(0, plain(1226), ring=False)
    driver.doorbell(0)
    driver.world.clock.advance(250 * US)
    assert len(driver.world.cable.frames) == 2
    assert int.from_bytes(driver.world.memory.read(where, 4), "little") == 2
