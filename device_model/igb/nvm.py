# SPDX-License-Identifier: BSD-3-Clause
"""The EEPROM: its contents, reading by EERD, and the SPI lines of EECD. 82576 data sheet 3.3 and 8.4.

Behind EECD sits an SPI part that listens while EECD.cs is 0 (the line is active low) and access is granted.
Contents survive every reset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.igb.spec.filters import RAH, RAL
from device_model.igb.spec.general import CTRL_EXT, EECD, EERD
from device_model.igb.spi_eeprom import SpiEeprom

if TYPE_CHECKING:
    from device_model.regfile import RegisterFile

CHECKSUM_WORD = 0x3F
CHECKSUM = 0xBABA
DEFAULT_WORDS = 256
_SIZE_BASE = 6
_LARGEST_WORDS = 1 << 15

_DEFAULTS = {
    0x04: 0xFFFF,  # ID LED: the driver's default
    0x05: 0x2010,  # image version 2.1.0
    0x08: 0x1040,  # part number, as two plain words
    0x09: 0xFFFF,
    0x0A: 0x002B,  # initialisation control 1
    0x0B: 0x10C9,  # subsystem, and its vendor
    0x0C: 0x8086,
    0x0D: 0x10C9,  # device, and its vendor
    0x0E: 0x8086,
    0x0F: 0x70C3,  # initialisation control 2: pause in both directions
    0x14: 0x2880,  # initialisation control 3, port B
    0x24: 0x2080,  # initialisation control 3, port A
    0x37: 0xFFFF,  # no alternate MAC address
    0x3D: 0xFFFF,  # no combined image version
}


def default_image(mac: bytes) -> bytes:
    """Return the image of a card with address ``mac``: 256 little-endian words with a right checksum."""
    if len(mac) != 6:
        raise ValueError(f"a MAC address must have 6 bytes, not {len(mac)}")
    words = [0] * DEFAULT_WORDS
    words[:3] = [int.from_bytes(mac[i : i + 2], "little") for i in (0, 2, 4)]
    for word, value in _DEFAULTS.items():
        words[word] = value
    words[CHECKSUM_WORD] = (CHECKSUM - sum(words[:CHECKSUM_WORD])) & 0xFFFF
    return b"".join(word.to_bytes(2, "little") for word in words)


class Nvm:
    """The EEPROM and its two registers.

    ``bad_checksum`` makes word 0x3F read inverted, so that the sum over words 0 to 0x3F is wrong.
    """

    def __init__(self, regs: RegisterFile, mac: bytes, image: bytes | None = None) -> None:
        """Fit ``image`` (its words 0 to 2 are the MAC address), or a default one that holds ``mac``.

        ValueError: an image must be 64 to 32768 words long, a power of two.
        """
        self._bytes = bytearray(default_image(mac) if image is None else image)
        words = len(self._bytes) // 2
        if len(self._bytes) % 2 or words & (words - 1) or not 64 <= words <= _LARGEST_WORDS:
            raise ValueError(f"an EEPROM must hold 64 to 32768 words, a power of two, not {len(self._bytes)} bytes")
        self.bad_checksum = False
        self._regs = regs
        self._spi = SpiEeprom(words, self.byte, self.store)
        regs.on_write(EERD, self._read_word)
        regs.on_write(EECD, self._drive_lines)
        regs.on_write(CTRL_EXT, lambda _n, _old, new: self.reload() if CTRL_EXT.ee_rst.of(new) else None)
        self.reload()

    @property
    def image(self) -> bytes:
        """The present contents, without the fault."""
        return bytes(self._bytes)

    def byte(self, address: int) -> int:
        """Return the byte at ``address``, modulo the size."""
        address %= len(self._bytes)
        inverted = self.bad_checksum and address // 2 == CHECKSUM_WORD
        return self._bytes[address] ^ (0xFF if inverted else 0)

    def store(self, address: int, value: int) -> None:
        """Store a byte at ``address``, modulo the size."""
        self._bytes[address % len(self._bytes)] = value

    def word(self, index: int) -> int:
        """Return the 16-bit word at ``index``, modulo the size."""
        return self.byte(2 * index) | self.byte(2 * index + 1) << 8

    def reload(self) -> None:
        """Load what a reset loads: the MAC address into receive address 0, the EEPROM's size into EECD."""
        regs = self._regs
        regs.poke(RAL, self.word(0) | self.word(1) << 16)
        regs.poke(RAH, RAH.av.put(self.word(2), 1))
        words = len(self._bytes) // 2
        eecd = EECD.size.put(regs.peek(EECD), words.bit_length() - 1 - _SIZE_BASE)
        regs.poke(EECD, EECD.addr_bits.put(eecd, int(self._spi.wide)))
        self._spi.deselect()

    def _read_word(self, _n: int, _old: int, new: int) -> None:
        if EERD.start.of(new):
            value = EERD.data.put(new & EERD.address.mask, self.word(EERD.address.of(new)))
            self._regs.poke(EERD, EERD.done.put(value, 1))

    def _drive_lines(self, _n: int, old: int, new: int) -> None:
        """Follow the lines; a request is granted at once, because nothing else uses the EEPROM."""
        granted = EECD.req.of(new)
        new = EECD.gnt.put(new, granted)
        if not granted or EECD.cs.of(new):
            self._spi.deselect()
        elif EECD.sk.of(new) and not EECD.sk.of(old):
            self._spi.rise(EECD.di.of(new))
        elif EECD.sk.of(old) and not EECD.sk.of(new):
            new = EECD.do.put(new, self._spi.fall())
        self._regs.poke(EECD, new)
