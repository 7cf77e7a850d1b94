# SPDX-License-Identifier: BSD-3-Clause
"""Pause frames both ways: the card stops for its partner, and asks its partner to stop (82576 8.5, 802.3 31B)."""

from __future__ import annotations

import pytest

from device_model import events
from device_model.igb.config import Config
from device_model.igb.spec.general import CTRL, FCAH, FCAL, FCRTH, FCRTL, FCRTV, FCT, FCTTV, STATUS
from device_model.igb.spec.receive import RCTL
from device_model.igb.spec.statistics import GPRC, GPTC, XOFFRXC, XOFFTXC, XONRXC, XONTXC
from device_model.igb.spec.transmit import TCTL
from device_model.nic import LinkPartner
from tests.model.packet import frames

from .driver import Driver
from .world import World

MAC = Config().mac
PAUSE_ADDRESS = bytes.fromhex("0180c2000001")
XOFF_QUANTA = 0x1234
GIGABIT_QUANTUM_NS = 512
LOW, HIGH = 0x2000, 0x4000


def pause(quanta: int, destination: bytes = PAUSE_ADDRESS, ethertype: int = 0x8808, opcode: int = 1) -> bytes:
    words = ethertype.to_bytes(2, "big") + opcode.to_bytes(2, "big") + quanta.to_bytes(2, "big")
    return (destination + bytes.fromhex("525400706565") + words).ljust(60, b"\0")


def data(size: int = 100) -> bytes:
    return bytes(12) + b"\x88\xb5" + bytes(n & 0xFF for n in range(size - 14))


def incoming(size: int = 1000) -> bytes:
    a, b = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
    packet = frames.ip(frames.udp(bytes(size - 42), a, b, (1111, 2222)), frames.UDP, a, b)
    return frames.ethernet(*packet, destination=MAC)


def ready(partner: LinkPartner | None = None, *, both: bool = True) -> Driver:
    """Return a driver that has set flow control up as igb_setup_link and igb_force_mac_fc do."""
    driver = Driver(World(config=Config(partner=partner or LinkPartner())))
    driver.up()
    driver.world.clock.advance(100_000_000)
    values = ((FCT, 0x8808), (FCAH, 0x100), (FCAL, 0x00C28001), (FCTTV, XOFF_QUANTA), (FCRTH, HIGH))
    for reg, value in (*values, (FCRTL, FCRTL.xone.mask | LOW)):
        driver.put(reg, value)
    if both:
        driver.put(CTRL, driver.get(CTRL) | CTRL.rfce.mask | CTRL.tfce.mask)
    driver.world.cable.frames.clear()
    return driver


@pytest.fixture
def driver() -> Driver:
    return ready()


# -- the card is paused --------------------------------------------------------------------------------------


def test_a_pause_holds_transmission_for_its_quanta_and_not_longer(driver: Driver) -> None:
    driver.world.nic.receive(pause(1000))
    last = driver.send(0, data())
    driver.world.clock.advance(1000 * GIGABIT_QUANTUM_NS - 1)
    assert driver.world.cable.frames == []
    assert not driver.done(0, last)
    driver.world.clock.advance(2_000)
    assert driver.world.cable.frames == [data()]
    assert driver.done(0, last)


def test_quanta_last_longer_on_a_slower_link() -> None:
    driver = ready(LinkPartner(frozenset({10})))
    driver.world.nic.receive(pause(10))
    driver.send(0, data())
    driver.world.clock.advance(10 * 51_200 - 1)
    assert driver.world.cable.frames == []
    driver.world.clock.advance(1 + 124 * 8 * 100)
    assert len(driver.world.cable.frames) == 1


def test_a_frame_that_has_begun_is_finished_and_the_next_one_waits(driver: Driver) -> None:
    driver.world.nic.set_rate(10)
    driver.send(0, data())
    driver.send(0, data(200))
    driver.world.clock.advance(10_000)
    driver.world.nic.receive(pause(1000))
    driver.world.clock.advance(200_000)
    assert driver.world.cable.frames == [data()]
    driver.world.clock.advance(1000 * GIGABIT_QUANTUM_NS)
    assert driver.world.cable.frames == [data(), data(200)]


def test_a_pause_of_zero_ends_the_pause_and_a_later_one_replaces_it(driver: Driver) -> None:
    driver.world.nic.receive(pause(0xFFFF))
    driver.send(0, data())
    driver.world.nic.receive(pause(10))
    driver.world.clock.advance(10 * GIGABIT_QUANTUM_NS + 2_000)
    assert len(driver.world.cable.frames) == 1, "the second pause is shorter, and counts"
    driver.world.nic.receive(pause(0xFFFF))
    driver.send(0, data())
    driver.world.clock.advance(1_000_000)
    assert len(driver.world.cable.frames) == 1
    driver.world.nic.receive(pause(0))
    driver.world.clock.advance(2_000)
    assert len(driver.world.cable.frames) == 2


def test_status_shows_the_pause_and_frames_are_counted_and_consumed(driver: Driver) -> None:
    driver.world.nic.receive(pause(1000))
    assert driver.get(STATUS) & STATUS.txoff.mask
    driver.world.nic.receive(pause(0, MAC))
    assert not driver.get(STATUS) & STATUS.txoff.mask
    assert [driver.get(reg) for reg in (XOFFRXC, XONRXC, GPRC)] == [1, 1, 0]
    assert driver.received(0) == []
    told = [(e.sent, e.quanta) for e in driver.world.events if isinstance(e, events.PauseFrame)]
    assert told == [(False, 1000), (False, 0)]


@pytest.mark.parametrize(
    "frame", [pause(1000, opcode=0x0101), pause(1000, bytes.fromhex("0180c2000002")), pause(1000, ethertype=0x8809)]
)
def test_what_is_no_pause_frame_holds_nothing(driver: Driver, frame: bytes) -> None:
    driver.world.nic.receive(frame)
    assert not driver.get(STATUS) & STATUS.txoff.mask
    assert driver.get(XOFFRXC) == 0


@pytest.mark.parametrize(("reg", "value"), [(FCT, 0x8809), (FCAL, 0x00C28002), (FCAH, 0x101)])
def test_type_and_address_are_those_of_the_registers(driver: Driver, reg: type, value: int) -> None:
    driver.put(reg, value)
    driver.world.nic.receive(pause(1000))
    assert not driver.get(STATUS) & STATUS.txoff.mask


def test_without_rfce_nothing_is_obeyed_or_counted() -> None:
    driver = ready(both=False)
    driver.world.nic.receive(pause(1000))
    driver.send(0, data())
    driver.world.clock.advance(2_000)
    assert len(driver.world.cable.frames) == 1
    assert driver.get(XOFFRXC) == 0


def test_a_pause_that_is_passed_to_the_host_is_obeyed_all_the_same(driver: Driver) -> None:
    """RCTL.pmcf without dpf (Linux igb_set_features for rx-all)."""
    driver.put(RCTL, driver.get(RCTL) | RCTL.pmcf.mask)
    driver.world.nic.receive(pause(1000))
    assert len(driver.received(0)) == 1
    assert driver.get(STATUS) & STATUS.txoff.mask


@pytest.mark.parametrize("how", ["rfce off", "link lost", "software reset"])
def test_a_pause_does_not_outlive_its_reason(driver: Driver, how: str) -> None:
    driver.world.nic.receive(pause(0xFFFF))
    if how == "rfce off":
        driver.put(CTRL, driver.get(CTRL) & ~CTRL.rfce.mask)
    elif how == "link lost":
        driver.world.nic.connect(None)
    else:
        driver.put(CTRL, CTRL.rst.mask)
    assert not driver.get(STATUS) & STATUS.txoff.mask


def test_transmission_switched_off_during_a_pause_stays_off(driver: Driver) -> None:
    driver.world.nic.receive(pause(100))
    driver.send(0, data())
    driver.put(TCTL, driver.get(TCTL) & ~TCTL.en.mask)
    driver.world.clock.advance(1_000_000)
    assert driver.world.cable.frames == []


# -- the partner is paused -----------------------------------------------------------------------------------


def fill(driver: Driver, count: int) -> None:
    for _ in range(count):
        driver.world.nic.receive(incoming())


def test_a_full_buffer_sends_xoff_once_and_xon_when_it_has_emptied(driver: Driver) -> None:
    fill(driver, 63)
    assert driver.world.cable.frames == [], "frames that find a descriptor do not fill the buffer"
    fill(driver, 16)
    assert driver.world.cable.frames == [], "16000 bytes are below FCRTH, 16384"
    fill(driver, 4)
    xoff = PAUSE_ADDRESS + MAC + bytes.fromhex("88080001") + XOFF_QUANTA.to_bytes(2, "big") + bytes(42)
    assert driver.world.cable.frames == [xoff]
    driver.received(0)
    driver.post(0, 11)
    assert driver.world.cable.frames == [xoff], "9000 bytes are not below FCRTL, 8192"
    driver.post(0, 1)
    assert driver.world.cable.frames == [xoff, PAUSE_ADDRESS + MAC + bytes.fromhex("88080001") + bytes(44)]
    assert [driver.get(reg) for reg in (XOFFTXC, XONTXC, GPTC)] == [1, 1, 0]


def test_without_xone_no_xon_is_sent_and_without_tfce_nothing(driver: Driver) -> None:
    driver.put(FCRTL, LOW)
    fill(driver, 63 + 20)
    driver.received(0)
    driver.post(0, 20)
    assert len(driver.world.cable.frames) == 1
    driver.put(CTRL, driver.get(CTRL) & ~CTRL.tfce.mask)
    fill(driver, 63 + 20)
    assert len(driver.world.cable.frames) == 1


def test_a_pause_is_asked_for_while_the_card_itself_is_paused(driver: Driver) -> None:
    driver.world.nic.receive(pause(0xFFFF))
    fill(driver, 63 + 20)
    assert len(driver.world.cable.frames) == 1


def test_xoff_is_repeated_before_it_runs_out_while_the_buffer_stays_full(driver: Driver) -> None:
    driver.put(FCRTV, XOFF_QUANTA - 100)
    fill(driver, 63 + 20)
    driver.world.clock.advance(3 * 100 * GIGABIT_QUANTUM_NS)
    assert len(driver.world.cable.frames) == 4
    driver.received(0)
    driver.post(0, 20)
    driver.world.clock.advance(1_000_000_000)
    assert len(driver.world.cable.frames) == 5
    assert [driver.get(reg) for reg in (XOFFTXC, XONTXC)] == [4, 1]
