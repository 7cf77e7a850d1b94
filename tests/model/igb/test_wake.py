# SPDX-License-Identifier: BSD-3-Clause
"""What would have woken the host: which frame is kept, how long, and what of it (82576 8.19)."""

from __future__ import annotations

import pytest

from device_model.igb.config import Config
from device_model.igb.spec.bus import WUC, WUFC, WUPL, WUPM, WUS
from device_model.igb.spec.general import CTRL
from device_model.nic import LinkPartner, Reset

from .driver import Driver
from .world import World

MAC = Config().mac
PEER = bytes.fromhex("525400706565")


def asleep(wake: int) -> Driver:
    """Return a driver that has said what may wake it, as __igb_shutdown does."""
    driver = Driver(World())
    driver.put(WUC, WUC.pme_en.mask)
    driver.put(WUFC, wake)
    return driver


def frame(destination: bytes, body: bytes = b"", ethertype: int = 0x88B5) -> bytes:
    return (destination + PEER + ethertype.to_bytes(2, "big") + body).ljust(60, b"\0")


MAGIC = frame(PEER, b"\1\2\3" + b"\xff" * 6 + MAC * 16 + b"\4")
FRAMES = {
    "mag": MAGIC,
    "ex": frame(MAC),
    "mc": frame(bytes.fromhex("01005e000001")),
    "bc": frame(b"\xff" * 6),
    "arp": frame(b"\xff" * 6, ethertype=0x0806),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_wakes_by_its_own_filter_and_by_no_other(name: str) -> None:
    own = getattr(WUFC, name).mask
    driver = asleep(own)
    driver.world.nic.receive(FRAMES[name])
    assert driver.get(WUS) == own
    others = asleep(0xFF & ~own & ~(WUFC.bc.mask if name == "arp" else 0))
    others.world.nic.receive(FRAMES[name])
    assert others.get(WUS) == 0


def test_the_first_frame_is_kept_until_it_is_acknowledged() -> None:
    driver = asleep(WUFC.ex.mask)
    long = frame(MAC, bytes(range(200)))
    driver.world.nic.receive(long)
    driver.world.nic.receive(frame(MAC))
    kept = b"".join(driver.get(WUPM, n).to_bytes(4, "little") for n in range(WUPM.count))
    assert (driver.get(WUPL), kept) == (len(long), long[:128])
    assert driver.get(WUC) & WUC.pme_status.mask
    driver.put(WUS, 0xFFFFFFFF)
    assert driver.get(WUS) == 0
    driver.world.nic.receive(frame(MAC))
    assert driver.get(WUPL) == 60


def test_what_woke_the_host_survives_the_return_to_d0_and_not_the_loss_of_power() -> None:
    driver = asleep(WUFC.ex.mask)
    driver.world.nic.receive(frame(MAC))
    driver.world.nic.reset(Reset.FUNCTION_LEVEL)
    driver.put(CTRL, CTRL.rst.mask)
    assert (driver.get(WUS), driver.get(WUPL), driver.get(WUFC)) == (WUFC.ex.mask, 60, 0)
    driver.world.nic.reset(Reset.POWER_ON)
    assert (driver.get(WUS), driver.get(WUPL)) == (0, 0)


def test_nothing_is_kept_while_the_host_is_awake() -> None:
    driver = asleep(WUFC.ex.mask)
    driver.put(WUC, 0)
    driver.world.nic.receive(frame(MAC))
    assert driver.get(WUS) == 0


def test_a_link_that_goes_wakes_if_asked_for() -> None:
    driver = asleep(WUFC.lnkc.mask)
    driver.put(CTRL, driver.get(CTRL) | CTRL.slu.mask)
    driver.world.clock.advance(1_000_000_000)
    driver.put(WUS, 0xFFFFFFFF)
    driver.world.nic.connect(None)
    assert driver.get(WUS) == WUFC.lnkc.mask
    driver = asleep(WUFC.mag.mask)
    driver.put(CTRL, driver.get(CTRL) | CTRL.slu.mask)
    driver.world.nic.connect(LinkPartner())
    driver.world.clock.advance(1_000_000_000)
    assert driver.get(WUS) == 0
