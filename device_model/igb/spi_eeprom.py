# SPDX-License-Identifier: BSD-3-Clause
"""An SPI EEPROM (25xx series), bit by bit.

Mode 0: it takes its input on the rising edge of the clock and moves its output on the falling one, most
significant bit first. Parts of up to 256 words have 8-bit addresses and take the ninth bit from the
opcode; larger ones have 16-bit addresses. A write goes to one page, and wraps inside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WRITE, READ, WRITE_DISABLE, READ_STATUS, WRITE_ENABLE = 0x02, 0x03, 0x04, 0x05, 0x06
ADDRESS_BIT_8 = 0x08
STATUS_WRITE_ENABLED = 0x02
_SMALL_WORDS = 256
_LARGEST_WORDS = 1 << 15


class SpiEeprom:
    """The part's shift registers and write latch; the bytes themselves are the owner's, by ``load`` and ``store``."""

    def __init__(self, words: int, load: Callable[[int], int], store: Callable[[int, int], None]) -> None:
        """Make a part of ``words`` 16-bit words."""
        self.wide = words > _SMALL_WORDS
        self._page = 128 if words == _LARGEST_WORDS else 32 if self.wide else 8
        self._load = load
        self._store = store
        self._write_enabled = False
        self._shift = self._bits = self._bits_out = self._address = self._address_bytes_left = 0
        self._opcode: int | None = None
        self._data: list[int] = []

    def rise(self, level: int) -> None:
        """Take ``level`` from the input line on a rising clock edge."""
        self._shift = (self._shift << 1 | level) & 0xFF
        self._bits += 1
        if self._bits % 8 == 0:
            self._take(self._shift)

    def fall(self) -> int:
        """Return the level of the output line after a falling clock edge."""
        if self._opcode == READ_STATUS:
            value = STATUS_WRITE_ENABLED if self._write_enabled else 0
        elif self._opcode == READ and not self._address_bytes_left:
            value = self._load(self._address + self._bits_out // 8)
        else:
            return 0
        bit = 7 - self._bits_out % 8
        self._bits_out += 1
        return value >> bit & 1

    def deselect(self) -> None:
        """End the command: now a write is carried out, and the write latch changes."""
        whole_bytes = self._bits % 8 == 0
        if self._opcode == WRITE and self._write_enabled and whole_bytes and self._data:
            self._store_page()
            self._write_enabled = False
        elif self._opcode in (WRITE_ENABLE, WRITE_DISABLE) and self._bits == 8:
            self._write_enabled = self._opcode == WRITE_ENABLE
        self._forget()

    def _forget(self) -> None:
        self._shift = self._bits = self._bits_out = self._address = self._address_bytes_left = 0
        self._opcode = None
        self._data = []

    def _take(self, value: int) -> None:
        if self._opcode is None:
            self._opcode = value
            if not self.wide and value & ~ADDRESS_BIT_8 in (READ, WRITE):
                self._opcode = value & ~ADDRESS_BIT_8
                self._address = value >> 3 & 1
            self._address_bytes_left = 2 if self.wide else 1
        elif self._address_bytes_left:
            self._address = self._address << 8 | value
            self._address_bytes_left -= 1
        else:
            self._data.append(value)

    def _store_page(self) -> None:
        page_start = self._address - self._address % self._page
        for n, value in enumerate(self._data):
            self._store(page_start + (self._address + n) % self._page, value)
