# SPDX-License-Identifier: BSD-3-Clause
"""Where QEMU's igb departs from the 82576 in EEPROM, PHY, register masks and configuration space."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from device_model.igb.spec import phy
from device_model.igb.spec.general import CTRL, EECD, EEMNGCTL, FCRTH, MDIC
from device_model.igb.spec.transmit import TXCTL
from device_model.igb.spec.virtualization import UTA
from harness.checks.spare import registers
from harness.checks.witness import told
from harness.claims import claim
from harness.guest.bare import offset

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.guest.bare import Registers
    from harness.lab import Bound

CFG_DONE = 1 << 18
"""EEMNGCTL: the PHY of port 0 has its configuration (igb_get_cfg_done_82575)."""

MAGIC = "0x10c98086"
PLACE = 0x21
"""A byte of the EEPROM that no one reads (word 0x10)."""

POLARITY, GAIN = 0x00B4, 0x11B1
"""Paged PHY registers: number in the low five bits (igb_check_polarity_igp, igb_get_cable_length_igp_2)."""

ADVERTISED, AT_RESET = 0x0C01, 0x0DE1
"""What the PHY advertises: a value that is neither the driver's nor the one after a reset, and the latter."""

SERIAL_NUMBER = 0x0003
WRITE, READ = 1, 2
WAKE = re.compile(r"Supports Wake-on: (\w+)")


def mdio(regs: Registers, number: int, value: int | None = None) -> dict[str, int]:
    """Write (or read) register ``number`` of the PHY; return the fields of MDIC when it is ready."""
    word = MDIC.phy.put(MDIC.reg.put(0, number), phy.ADDRESS)
    word = MDIC.op.put(word, READ if value is None else WRITE) | (value or 0)
    regs.write(MDIC, word)
    return MDIC.decode(regs.wait(MDIC, MDIC.ready.mask, MDIC.ready.mask))


@claim("DEV-08")
def test_the_eeprom_can_be_written(bound: Bound, evidence: Evidence) -> None:
    """``ethtool -E`` changes a byte that ``-e`` then shows; the access it asks for is granted, and set-up is done."""
    regs = registers(bound)
    show = ("-e", "offset", PLACE, "length", 1, "raw", "on")
    old = bound.netif.ethtool(*show).out.encode()[0]
    new = old ^ 0x5A
    with regs.kept((EECD, 0)):
        (granted,) = regs.do((offset(EECD), EECD.req.mask | EECD.cs.mask), (offset(EECD),))
    management = regs.read(EEMNGCTL)
    wrote = bound.netif.ethtool("-E", "magic", MAGIC, "offset", PLACE, "value", new, check=False)
    now = bound.netif.ethtool(*show).out.encode()[0]
    bound.netif.ethtool("-E", "magic", MAGIC, "offset", PLACE, "value", old, check=False)
    guest = {"EECD": hex(granted), "EEMNGCTL": hex(management), "ethtool -E": (wrote.rc, wrote.err), "byte": (old, now)}
    evidence.note(guest=guest, device=told(bound, "EECD", "EEMNGCTL"))
    assert granted & EECD.gnt.mask
    assert granted & EECD.auto_rd.mask
    assert management & CFG_DONE
    assert (wrote.rc, now) == (0, new)


@claim("DEV-14")
def test_each_reset_resets_what_it_should(bound: Bound, evidence: Evidence) -> None:
    """With the interface down, the PHY's advertisement survives CTRL.RST, not CTRL.PHY_RST, which clears itself."""
    regs = registers(bound)
    bound.netif.down()
    try:
        mdio(regs, phy.ADVERTISEMENT.number, ADVERTISED)
        set_before = mdio(regs, phy.ADVERTISEMENT.number)["data"]
        regs.write(CTRL, regs.read(CTRL) | CTRL.rst.mask)
        regs.wait(CTRL, CTRL.rst.mask, 0)
        after_software = mdio(regs, phy.ADVERTISEMENT.number)["data"]
        mdio(regs, phy.ADVERTISEMENT.number, ADVERTISED)
        control, after = regs.do(
            (offset(CTRL), regs.read(CTRL) | CTRL.phy_rst.mask),
            (offset(CTRL),),
            (offset(CTRL), CTRL.phy_rst.mask, 0, 100),
        )
        after_phy = mdio(regs, phy.ADVERTISEMENT.number)["data"]
    finally:
        bound.netif.up()
        bound.netif.ethtool("-r")
    values = {
        "set": set_before,
        "after RST": after_software,
        "after PHY_RST": after_phy,
        "CTRL": after,
        "at once": control,
    }
    evidence.note(guest={name: hex(value) for name, value in values.items()}, device=told(bound, "CTRL"))
    assert set_before == after_software == ADVERTISED
    assert after_phy == AT_RESET
    assert not after & CTRL.phy_rst.mask


@claim("DEV-15")
def test_paged_registers_of_the_phy_are_there(bound: Bound, evidence: Evidence) -> None:
    """Gain (register 0x11 of a page) is not the port status (0x11 of page 0); polarity can be read at all."""
    regs = registers(bound)
    try:
        mdio(regs, phy.PAGE_SELECT.number, 0)
        port = mdio(regs, phy.PORT_STATUS.number)
        mdio(regs, phy.PAGE_SELECT.number, GAIN)
        gain = mdio(regs, GAIN & 0x1F)
        mdio(regs, phy.PAGE_SELECT.number, POLARITY)
        polarity = mdio(regs, POLARITY & 0x1F)
    finally:
        mdio(regs, phy.PAGE_SELECT.number, 0)
    evidence.note(guest={"port": port, "gain": gain, "polarity": polarity}, device=told(bound, "MDIC"))
    assert [answer["error"] for answer in (port, gain, polarity)] == [0, 0, 0]
    assert port["data"] >> 14 == 3
    assert gain["data"] != port["data"]
    assert 1 <= gain["data"] >> 9 & 0x7F <= 112


@claim("DEV-21")
def test_masks_and_capabilities_are_the_cards(bound: Bound, evidence: Evidence) -> None:
    """FCRTH keeps bits 15:4, UTA can be read, the card has a serial number, and can wake the machine."""
    regs = registers(bound)
    with regs.kept((FCRTH, 0), (UTA, 5)):
        marks, table = regs.do(
            (offset(FCRTH), 0xFFFF_FFFF), (offset(FCRTH),), (offset(UTA, 5), 0x1234_5678), (offset(UTA, 5),)
        )
    space = bound.guest.agent.read_bytes(f"/sys/class/net/{bound.netif.name}/device/config")
    found = list(extended(space))
    wake = WAKE.search(bound.netif.tool("ethtool", bound.netif.name).out)
    guest = {"FCRTH": hex(marks), "UTA": hex(table), "capabilities": found, "wake-on": wake and wake[1]}
    evidence.note(guest=guest, device=told(bound, "FCRTH", "UTA[5]"))
    assert (marks, table) == (0xFFF0, 0x1234_5678)
    assert SERIAL_NUMBER in found
    assert wake is not None
    assert "g" in wake[1]


def extended(space: bytes) -> list[int]:
    """Return the ids of the extended capabilities of a configuration space (PCI Express 7.6.3)."""
    found, at = [], 0x100
    while at:
        head = int.from_bytes(space[at : at + 4], "little")
        found.append(head & 0xFFFF)
        at = head >> 20
    return found


@claim("DEV-22")
def test_the_old_address_reaches_the_same_queue(bound: Bound, evidence: Evidence) -> None:
    """A value written at the 82575's address of TXCTL(3) is read at queue 3's of the 82576; queue 9 keeps its own."""
    regs, old, value = registers(bound), 0x3B14, 0x0300_0020
    with regs.kept((TXCTL, 3), (TXCTL, 9)):
        third, ninth = regs.do(
            (offset(TXCTL, 3), 0), (offset(TXCTL, 9), 0), (old, value), (offset(TXCTL, 3),), (offset(TXCTL, 9),)
        )
    evidence.note(guest={"queue 3": hex(third), "queue 9": hex(ninth)}, device=told(bound, "TXCTL[3]"))
    assert (third, ninth) == (value, 0)
