# SPDX-License-Identifier: BSD-3-Clause
"""Addresses and reset values that drivers rely on, written down a second time and independently of the declaration."""

from __future__ import annotations

import pytest

from device_model.igb.spec import REGISTERS
from device_model.regfile import RegisterFile

RESET_VALUES = {
    "CTRL": (0x00000, 0x00100209),
    "STATUS": (0x00008, 0x80080400),
    "EECD": (0x00010, 0x00001310),
    "EERD": (0x00014, 0),
    "CTRL_EXT": (0x00018, 0),
    "MDIC": (0x00020, 0),
    "VET": (0x00038, 0x81008100),
    "ICR": (0x000C0, 0),
    "IMS": (0x000D0, 0),
    "RCTL": (0x00100, 0),
    "TCTL": (0x00400, 0xA40400F8),
    "TCTL_EXT": (0x00404, 0x00010840),
    "TIPG": (0x00410, 0x00601008),
    "LEDCTL": (0x00E00, 0x07068302),
    "EEMNGCTL": (0x01010, 0x800C0000),
    "GPIE": (0x01514, 0),
    "EICR": (0x01580, 0),
    "EITR": (0x01680, 0),
    "IVAR": (0x01700, 0),
    "IVAR_MISC": (0x01740, 0),
    "RXPBS": (0x02404, 0x40),
    "TXPBS": (0x03404, 0x28),
    "DTXCTL": (0x03590, 0x44),
    "CRCERRS": (0x04000, 0),
    "LENERRS": (0x04138, 0),
    "RXCSUM": (0x05000, 0x300),
    "RLPML": (0x05004, 0x2600),
    "MANC": (0x05820, 0),
    "VMOLR": (0x05AD0, 0x80002600),
    "RPLOLR": (0x05AF0, 0x80000000),
    "GCR": (0x05B00, 0x06850200),
    "SWSM": (0x05B50, 0),
    "FWSM": (0x05B54, 0),
    "SW_FW_SYNC": (0x05B5C, 0),
    "MBVFIMR": (0x00C84, 0xFF),
    "VFRE": (0x00C8C, 0xFF),
    "VFTE": (0x00C90, 0xFF),
    "SYSTIML": (0x0B600, 0),
    "TSICR": (0x0B66C, 0),
    "RDBAL": (0x0C000, 0),
    "RXDCTL": (0x0C028, 0x02010000),
    "TXCTL": (0x0E014, 0x2A00),
    "TXDCTL": (0x0E028, 0x02000000),
}


@pytest.mark.parametrize("name", RESET_VALUES)
def test_address_and_reset_value(name: str) -> None:
    address, value = RESET_VALUES[name]
    regs = RegisterFile(REGISTERS)
    assert regs.find(name).at == address
    assert regs.read(address) == value


@pytest.mark.parametrize(
    ("offset", "name"),
    [
        (0x00004, "CTRL"),
        (0x01500, "ICR"),
        (0x01510, "IAM"),
        (0x02800, "RDBAL[0]"),
        (0x02918, "RDT[1]"),
        (0x0C118, "RDT[4]"),
        (0x0C3D8, "RDT[15]"),
        (0x03B28, "TXDCTL[3]"),
        (0x03B14, "TXCTL[3]"),
        (0x0E3FC, "TDWBAH[15]"),
        (0x0C3F0, "RQDPC[15]"),
        (0x0547C, "RAH[15]"),
        (0x054E0, "RAL_HIGH[0]"),
        (0x0551C, "RAH_HIGH[7]"),
        (0x016E0, "EITR[24]"),
        (0x0171C, "IVAR[7]"),
        (0x05CA4, "RSSRK[9]"),
        (0x05C7C, "RETA[31]"),
        (0x040FC, "TSCTFC"),
        (0x04124, "HTCBDPC"),
        (0x12345, "0x12345"),
    ],
)
def test_what_lies_where(offset: int, name: str) -> None:
    assert RegisterFile(REGISTERS).name_at(offset) == name


def test_only_queue_0_is_switched_on_at_reset() -> None:
    regs = RegisterFile(REGISTERS)
    receive = [regs.read(0xC028 + 0x40 * n) for n in range(16)]
    transmit = [regs.read(0xE028 + 0x40 * n) for n in range(16)]
    assert receive == [0x02010000] + [0x00010000] * 15
    assert transmit == [0x02000000] + [0] * 15
