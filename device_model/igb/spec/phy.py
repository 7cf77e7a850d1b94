# SPDX-License-Identifier: BSD-3-Clause
"""The 82576's internal PHY (IGP03): registers behind MDIC. IEEE 802.3 clauses 22, 28 and 40; 82576 data sheet 8.25.

Registers 0 to 15 are IEEE's and the same on every page. Of the others, ``page`` is what register PAGE_SELECT
holds, shifted right by five: software writes there the full number (32 · page + register).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class PhyRegister:
    """One 16-bit register: the value after a PHY reset and the bits that software may write."""

    name: str
    number: int
    reset: int = 0
    writable: int = 0
    page: int = 0


ADDRESS = 1
"""The PHY's address on the management interface."""

CONTROL = PhyRegister("CONTROL", 0x00, reset=0x1140, writable=0x7DC0)
STATUS = PhyRegister("STATUS", 0x01, reset=0x7949)
ID1 = PhyRegister("ID1", 0x02, reset=0x02A8)
ID2 = PhyRegister("ID2", 0x03, reset=0x0391)
ADVERTISEMENT = PhyRegister("ADVERTISEMENT", 0x04, reset=0x0DE1, writable=0xBFFF)
PARTNER_ABILITY = PhyRegister("PARTNER_ABILITY", 0x05)
EXPANSION = PhyRegister("EXPANSION", 0x06)
NEXT_PAGE = PhyRegister("NEXT_PAGE", 0x07, reset=0x2001, writable=0xB7FF)
GIGABIT_CONTROL = PhyRegister("GIGABIT_CONTROL", 0x09, reset=0x0F00, writable=0xFF00)
GIGABIT_STATUS = PhyRegister("GIGABIT_STATUS", 0x0A)
EXTENDED_STATUS = PhyRegister("EXTENDED_STATUS", 0x0F, reset=0x3000)
PORT_CONFIG = PhyRegister("PORT_CONFIG", 0x10, reset=0x0120, writable=0xFFFF)
PORT_STATUS = PhyRegister("PORT_STATUS", 0x11)
PORT_CONTROL = PhyRegister("PORT_CONTROL", 0x12, writable=0xFFFF)
LINK_HEALTH = PhyRegister("LINK_HEALTH", 0x13)
POWER_MANAGEMENT = PhyRegister("POWER_MANAGEMENT", 0x19, reset=0x008D, writable=0xFFFF)
PAGE_SELECT = PhyRegister("PAGE_SELECT", 0x1F, writable=0xFFFF)
POLARITY = PhyRegister("POLARITY", 0x14, page=0x05)

AGC_INDEX = 20
"""Gain that the receiver settled on: 1 to 112, longer cables need more; in bits 15:9 of the AGC registers."""
AGC = tuple(
    PhyRegister(f"AGC_{pair}", 0x11, reset=AGC_INDEX << 9, page=page)
    for pair, page in zip("ABCD", (0x8D, 0x95, 0xA5, 0xC5), strict=True)
)

REGISTERS = (
    CONTROL,
    STATUS,
    ID1,
    ID2,
    ADVERTISEMENT,
    PARTNER_ABILITY,
    EXPANSION,
    NEXT_PAGE,
    GIGABIT_CONTROL,
    GIGABIT_STATUS,
    EXTENDED_STATUS,
    PORT_CONFIG,
    PORT_STATUS,
    PORT_CONTROL,
    LINK_HEALTH,
    POWER_MANAGEMENT,
    PAGE_SELECT,
    POLARITY,
    *AGC,
)

# CONTROL
RESET = 1 << 15
LOOPBACK = 1 << 14
SPEED_LOW = 1 << 13
AUTONEG_ENABLE = 1 << 12
POWER_DOWN = 1 << 11
AUTONEG_RESTART = 1 << 9
FULL_DUPLEX = 1 << 8
SPEED_HIGH = 1 << 6

# STATUS
AUTONEG_COMPLETE = 1 << 5
LINK = 1 << 2

# ADVERTISEMENT and PARTNER_ABILITY
SELECTOR_802_3 = 1
PAUSE = 1 << 10
ASYM_PAUSE = 1 << 11
ACKNOWLEDGE = 1 << 14

# GIGABIT_STATUS
PARTNER_1000_HALF = 1 << 10
PARTNER_1000_FULL = 1 << 11
REMOTE_RECEIVER_OK = 1 << 12
LOCAL_RECEIVER_OK = 1 << 13

# EXPANSION
PARTNER_AUTONEG_ABLE = 1
PAGE_RECEIVED = 1 << 1

# PORT_STATUS bits 15:14, by speed in Mb/s
PORT_SPEED = {10: 0x4000, 100: 0x8000, 1000: 0xC000}

ABILITIES = (
    (GIGABIT_CONTROL, 1 << 9, 1000, True),
    (GIGABIT_CONTROL, 1 << 8, 1000, False),
    (ADVERTISEMENT, 1 << 8, 100, True),
    (ADVERTISEMENT, 1 << 7, 100, False),
    (ADVERTISEMENT, 1 << 6, 10, True),
    (ADVERTISEMENT, 1 << 5, 10, False),
)
"""What can be advertised, best first: (register, bit, speed in Mb/s, full duplex). IEEE 802.3 28B.3."""
