# SPDX-License-Identifier: BSD-3-Clause
"""The card passes ``ethtool -t offline`` in every interrupt mode, and a card that misbehaves fails the right part."""

from __future__ import annotations

import pytest

from device_model.igb.spec.general import CTRL
from device_model.igb.spec.receive import RCTL, RXDCTL
from device_model.igb.spec.statistics import GPRC, GPTC
from device_model.nic import LinkPartner
from device_model.ports import InterruptMode

from .driver import Driver
from .selftest import MS, SelfTest

MODES = list(InterruptMode)
PASSED = {"link": 0, "registers": 0, "eeprom": 0, "interrupts": 0, "loopback": 0}


@pytest.mark.parametrize("mode", MODES)
def test_the_whole_self_test_passes_and_leaves_a_card_that_works(mode: InterruptMode) -> None:
    test = SelfTest(mode)
    assert test.run() == PASSED
    assert test.world.cable.frames == [], "nothing of the self test leaves for the wire"
    driver = Driver(test.world)
    driver.up()
    packet = bytes(12) + b"\x88\xb5" + bytes(range(100))
    driver.send(0, packet)
    test.world.clock.advance(1000 * MS)
    assert test.world.cable.frames == [packet]
    test.world.nic.receive(b"\xff" * 6 + packet[6:])
    assert len(driver.received(0)) == 1


def test_no_memory_is_touched_in_the_register_test_although_frames_arrive() -> None:
    """igb_reg_test: bases, lengths and tails hold patterns, queues are enabled, but RCTL.EN and TCTL.EN are off."""
    test = SelfTest(InterruptMode.MSIX)
    test.reset()
    plain_write = test.world.write

    def write(offset: int, value: int) -> None:
        plain_write(offset, value)
        test.world.nic.receive(b"\xff" * 12 + b"\x08\x00" + bytes(60))
        test.world.clock.advance(1000)

    test.world.write = write  # type: ignore[method-assign]
    assert test.registers() == 0
    test.world.clock.advance(1000 * MS)
    assert test.dma() == []
    assert test.world.memory.stores == []


def test_frames_are_dropped_while_the_receiver_is_on_and_all_queues_are_off() -> None:
    """What the register test leaves behind: RCTL.EN set, addresses full of ones, no queue enabled."""
    test = SelfTest(InterruptMode.MSIX)
    for n in range(16):
        test.put(RXDCTL, 0, n)
    test.put(RCTL, 0x000FB0FA)
    for _ in range(100):
        test.world.nic.receive(b"\xff" * 12 + b"\x08\x00" + bytes(60))
    assert test.dma() == []


def test_looped_frames_are_counted_in_both_directions() -> None:
    test = SelfTest(InterruptMode.MSIX)
    test.reset()
    test.power_up_link()
    test.get(GPTC)
    assert test.loopback() == 0
    assert (test.get(GPTC), test.get(GPRC)) == (640, 640)


def test_the_wire_is_cut_off_during_loopback() -> None:
    test = SelfTest(InterruptMode.MSIX)
    test.reset()
    test.power_up_link()
    plain_sleep = test.sleep_ms

    def sleep_ms(ms: int) -> None:
        test.world.nic.receive(b"\xff" * 12 + b"\x08\x00" + bytes(300))
        plain_sleep(ms)

    test.sleep_ms = sleep_ms  # type: ignore[method-assign]
    test._rings()
    test.linux.phy_write(0, 0x4140)
    sleep_ms(500)
    before = test.get(GPRC)
    test._send(64)
    sleep_ms(200)
    assert before <= 3, "only what came before the PHY looped"
    assert test.get(GPRC) == 64


@pytest.mark.parametrize(
    ("fault", "failed"),
    [
        ({"name": "bad_nvm_checksum", "on": True}, {"eeprom": 2}),
        ({"name": "ignore_eics", "on": True}, {"interrupts": 4}),
        ({"name": "hold_interrupts", "vector": 0}, {"interrupts": 4}),
        ({"name": "corrupt_loopback", "on": True}, {"loopback": 13}),
        ({"name": "transmit_nothing", "on": True}, {"loopback": 13}),
    ],
)
def test_a_card_that_misbehaves_fails_the_part_that_looks(fault: dict[str, object], failed: dict[str, int]) -> None:
    test = SelfTest(InterruptMode.MSI)
    test.world.nic.faults.apply(**fault)  # type: ignore[arg-type]
    assert test.run() == PASSED | failed


def test_without_a_cable_only_the_link_test_fails() -> None:
    test = SelfTest(InterruptMode.MSIX)
    test.world.nic.connect(None)
    assert test.link() == 1
    test.reset()
    assert test.loopback() == 0
    test.world.nic.connect(LinkPartner())
    test.put(CTRL, test.get(CTRL) | CTRL.rst.mask)
    assert test.link() == 0
