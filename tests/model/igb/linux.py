# SPDX-License-Identifier: BSD-3-Clause
"""How Linux 6.12 igb speaks to the EEPROM and the PHY, register access by register access.

Bit positions are the driver's own (e1000_defines.h), not taken from the declarations under test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CTRL, STATUS, EECD, EERD, MDIC = 0x0, 0x8, 0x10, 0x14, 0x20
SK, CS, DI, DO, REQ, GNT = 1, 2, 4, 8, 0x40, 0x80
WRITE, READ, READ_STATUS, WRITE_ENABLE, A8 = 2, 3, 5, 6, 8
PHY_READY, PHY_ERROR = 1 << 28, 1 << 30
SLU, FRCSPD, FRCDPX, PHY_RST = 1 << 6, 1 << 11, 1 << 12, 1 << 31


class Linux:
    """igb's accessors over ``read(offset)`` and ``write(offset, value)``; ``sleep_ms`` lets the device's time pass."""

    def __init__(
        self,
        read: Callable[[int], int],
        write: Callable[[int, int], None],
        sleep_ms: Callable[[int], None] = lambda _ms: None,
    ) -> None:
        self.read = read
        self.write = write
        self.sleep_ms = sleep_ms

    # -- EEPROM ----------------------------------------------------------------------------------------

    def eerd(self, word: int) -> int:
        """igb_read_nvm_eerd."""
        self.write(EERD, word << 2 | 1)
        value = self.read(EERD)
        assert value & 2, "DONE"
        return value >> 16

    def acquire_nvm(self) -> None:
        """igb_acquire_nvm."""
        self.write(EECD, self.read(EECD) | REQ)
        assert self.read(EECD) & GNT

    def release_nvm(self) -> None:
        """igb_release_nvm: pull CS high, then drop the request."""
        eecd = self.read(EECD) | CS
        self.write(EECD, eecd)
        self.write(EECD, eecd & ~SK)
        self.write(EECD, self.read(EECD) & ~REQ)

    def standby(self) -> None:
        """igb_standby_nvm: toggle CS to end the command."""
        eecd = self.read(EECD) | CS
        self.write(EECD, eecd)
        self.write(EECD, eecd & ~CS)

    def select(self) -> None:
        """The start of igb_ready_nvm_eeprom."""
        self.write(EECD, self.read(EECD) & ~(CS | SK))

    def shift_out(self, value: int, count: int) -> None:
        """igb_shift_out_eec_bits."""
        eecd = self.read(EECD) | DO
        for bit in reversed(range(count)):
            eecd = eecd & ~DI | (DI if value >> bit & 1 else 0)
            self.write(EECD, eecd)
            eecd |= SK
            self.write(EECD, eecd)
            eecd &= ~SK
            self.write(EECD, eecd)
        self.write(EECD, eecd & ~DI)

    def shift_in(self, count: int) -> int:
        """igb_shift_in_eec_bits: sample DO while the clock is high."""
        eecd = self.read(EECD) & ~(DO | DI)
        value = 0
        for _ in range(count):
            eecd |= SK
            self.write(EECD, eecd)
            eecd = self.read(EECD) & ~DI
            value = value << 1 | bool(eecd & DO)
            eecd &= ~SK
            self.write(EECD, eecd)
        return value

    def nvm_status(self) -> int:
        """The RDSR command."""
        self.shift_out(READ_STATUS, 8)
        return self.shift_in(8)

    def write_words(self, offset: int, words: list[int], *, address_bits: int, page_bytes: int) -> None:
        """igb_write_nvm_spi."""
        done = 0
        while done < len(words):
            self.acquire_nvm()
            self.select()
            assert not self.nvm_status() & 1, "ready"
            self.standby()
            self.shift_out(WRITE_ENABLE, 8)
            self.standby()
            self.shift_out(WRITE | (A8 if address_bits == 8 and offset >= 128 else 0), 8)
            self.shift_out((offset + done) * 2, address_bits)
            while done < len(words):
                word = words[done]
                self.shift_out((word >> 8 | word << 8) & 0xFFFF, 16)
                done += 1
                if (offset + done) * 2 % page_bytes == 0:
                    self.standby()
                    break
            self.release_nvm()

    def read_bytes(self, offset: int, count: int, *, address_bits: int) -> bytes:
        """igb_read_nvm_spi, for any number of bytes."""
        self.acquire_nvm()
        self.select()
        self.shift_out(READ | (A8 if address_bits == 8 and offset >= 256 else 0), 8)
        self.shift_out(offset, address_bits)
        data = bytes(self.shift_in(8) for _ in range(count))
        self.release_nvm()
        return data

    # -- PHY -------------------------------------------------------------------------------------------

    def mdic(self, op: int, number: int, data: int = 0, phy: int = 1) -> int:
        """One MDIC access; return what the register holds afterwards."""
        self.write(MDIC, op << 26 | phy << 21 | number << 16 | data)
        value = self.read(MDIC)
        assert value & PHY_READY
        return value

    def phy_read(self, offset: int) -> int:
        """igb_read_phy_reg_igp."""
        self._select_page(offset)
        value = self.mdic(2, offset & 0x1F)
        assert not value & PHY_ERROR
        return value & 0xFFFF

    def phy_write(self, offset: int, data: int) -> None:
        """igb_write_phy_reg_igp."""
        self._select_page(offset)
        assert not self.mdic(1, offset & 0x1F, data) & PHY_ERROR

    def _select_page(self, offset: int) -> None:
        if offset > 0xF:
            self.mdic(1, 0x1F, offset)

    # -- link ------------------------------------------------------------------------------------------

    def phy_hw_reset(self) -> None:
        """igb_phy_hw_reset."""
        ctrl = self.read(CTRL)
        self.write(CTRL, ctrl | PHY_RST)
        self.write(CTRL, ctrl)
        assert self.read(0x1010) & 1 << 18, "EEMNGCTL.CFG_DONE0"

    def setup_link(self) -> None:
        """igb_setup_copper_link_82575 and what it calls, without the waits."""
        self.write(CTRL, self.read(CTRL) & ~(FRCSPD | FRCDPX) | SLU)
        self.phy_hw_reset()
        self.sleep_ms(100)
        self.phy_write(0x19, self.phy_read(0x19) & ~2)
        self.phy_write(0x12, self.phy_read(0x12) | 0x1000)
        self.phy_write(4, self.phy_read(4) | 0x0DE0)
        self.phy_write(9, self.phy_read(9) | 0x0200)
        self.phy_write(0, self.phy_read(0) | 0x1200)

    def has_link(self) -> bool:
        """igb_phy_has_link: bit 2 of register 1, read twice."""
        self.phy_read(1)
        return bool(self.phy_read(1) & 4)

    def force(self, mbps: int, *, full: bool) -> None:
        """igb_phy_force_speed_duplex_setup: the MAC first, then the PHY."""
        code = {10: 0, 100: 1}[mbps]
        ctrl = self.read(CTRL) & ~(3 << 8 | 1)
        self.write(CTRL, ctrl | FRCSPD | FRCDPX | code << 8 | full)
        bmcr = self.phy_read(0) & ~(0x1000 | 0x0040 | 0x2000 | 0x0100)
        self.phy_write(0, bmcr | (0x2000 if mbps == 100 else 0) | (0x0100 if full else 0))
