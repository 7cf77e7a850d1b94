# SPDX-License-Identifier: BSD-3-Clause
"""Configuration space: the bytes of a PciFunction, which of them software may change, and what they mean."""

from __future__ import annotations

import dataclasses
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from device_model.pci import BarKind
from emulator.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_model.pci import Capability, PciFunction

SIZE = 4096
COMMAND, STATUS, FIRST_BAR, FIRST_CAPABILITY = 0x04, 0x06, 0x10, 0x34
INTERRUPT_LINE, INTERRUPT_PIN, CACHE_LINE, EXTENDED = 0x3C, 0x3D, 0x0C, 0x100
COMMAND_IO, COMMAND_MEMORY, COMMAND_MASTER, COMMAND_INTX_DISABLE = 1 << 0, 1 << 1, 1 << 2, 1 << 10
COMMAND_WRITABLE = 0x0547  # I/O, memory, master, parity, SERR, INTx disable (PCI Express 3.0 7.5.1.1)
STATUS_CAPABILITIES, STATUS_INTERRUPT, STATUS_CLEARED_BY_ONE = 1 << 4, 1 << 3, 0xF900
MSI_ENABLE, MSI_64_BIT, MSI_MASKABLE = 1 << 0, 1 << 7, 1 << 8
MSIX_ENABLE, MSIX_SIZE = 1 << 15, 0x07FF
DEVICE_CONTROL_FLR = 1 << 15
MSIX_ENTRY, MSIX_ENTRY_MASKED, MSIX_MOST = 16, 1, 2048


@dataclass(frozen=True, slots=True)
class PciState:
    """What configuration space says that the rest of the card must obey."""

    memory: bool
    io: bool
    master: bool
    intx_disabled: bool
    msi: bool
    msi_masked: bool
    msix: bool
    power: int


def expose(function: PciFunction, irq: str, msix_vectors: int | None) -> PciFunction:
    """Return ``function`` with the interrupt schemes up to ``irq`` (msix, msi, intx) and ``msix_vectors`` vectors."""
    hidden = {"msix": set(), "msi": {"msix"}, "intx": {"msix", "msi"}}.get(irq)
    if hidden is None:
        raise UsageError(f"the interrupt scheme must be msix, msi or intx, not {irq!r}")
    capabilities = [item for item in function.capabilities if item.name not in hidden]
    vectors = function.msix.vectors if msix_vectors is None else msix_vectors
    room = min(MSIX_MOST, (function.msix.pending_at - function.msix.table_at) // MSIX_ENTRY)
    if not 1 <= vectors <= room:
        raise UsageError(f"the number of MSI-X vectors must be 1 to {room}, not {vectors}")
    for index, item in enumerate(capabilities):
        if item.name == "msix":
            body = struct.pack("<H", vectors - 1) + item.body[2:]
            capabilities[index] = dataclasses.replace(item, body=body)
    layout = dataclasses.replace(function.msix, vectors=vectors)
    return dataclasses.replace(function, capabilities=tuple(capabilities), msix=layout)


class ConfigSpace:
    """4096 bytes, with a mask of what software stores and one of what it clears by writing 1."""

    def __init__(self, function: PciFunction) -> None:
        """Lay out ``function`` as it is after power-on."""
        self.function = function
        self._capabilities = {item.name: item for item in function.capabilities}
        self._writable = bytearray(SIZE)
        self._cleared_by_one = bytearray(SIZE)
        initial = bytearray(SIZE)
        self._lay_out_header(initial)
        self._lay_out_capabilities(initial)
        self._initial = bytes(initial)
        self.data = bytearray(initial)

    def reset(self) -> None:
        """Return to the state after power-on."""
        self.data[:] = self._initial

    def read(self, offset: int, size: int) -> int:
        """Return ``size`` bytes at ``offset``."""
        return int.from_bytes(self.data[offset : offset + size], "little")

    def write(self, offset: int, size: int, value: int) -> bool:
        """Store what is writable of ``size`` bytes at ``offset``; tell whether it asks for a function level reset."""
        for at, new in enumerate(value.to_bytes(size, "little"), offset):
            writable = self._writable[at]
            kept = self.data[at] & ~writable & ~(new & self._cleared_by_one[at])
            self.data[at] = kept | (new & writable)
        return self._take_reset_request()

    def set_interrupt_status(self, asserted: bool) -> None:  # noqa: FBT001 - a level or a mask is a Boolean by nature
        """Show the level of the INTx line (PCI 3.0 6.2.3)."""
        status = self._word(STATUS)
        self._store(STATUS, status | STATUS_INTERRUPT if asserted else status & ~STATUS_INTERRUPT)

    def state(self) -> PciState:
        """Return what the bytes mean now."""
        command = self._word(COMMAND)
        power = self._word(self._at("pm") + 2) & 3 if "pm" in self._capabilities else 0
        msi_control = self._word(self._at("msi")) if "msi" in self._capabilities else 0
        return PciState(
            memory=bool(command & COMMAND_MEMORY) and power == 0,
            io=bool(command & COMMAND_IO) and power == 0,
            master=bool(command & COMMAND_MASTER) and power == 0,
            intx_disabled=bool(command & COMMAND_INTX_DISABLE),
            msi=bool(msi_control & MSI_ENABLE),
            msi_masked=self._msi_masked(msi_control),
            msix="msix" in self._capabilities and bool(self._word(self._at("msix")) & MSIX_ENABLE),
            power=power,
        )

    def has(self, capability: str) -> bool:
        """Tell whether software can see ``capability``."""
        return capability in self._capabilities

    def _at(self, capability: str) -> int:
        return self._capabilities[capability].body_at

    def _word(self, offset: int) -> int:
        return int.from_bytes(self.data[offset : offset + 2], "little")

    def _store(self, offset: int, word: int) -> None:
        self.data[offset : offset + 2] = word.to_bytes(2, "little")

    def _msi_masked(self, control: int) -> bool:
        if not control & MSI_MASKABLE:
            return False
        # The mask follows control, address and data (PCI 3.0 6.8.1).
        at = self._at("msi") + (14 if control & MSI_64_BIT else 10)
        return bool(self.data[at] & 1)

    def _take_reset_request(self) -> bool:
        if "express" not in self._capabilities:
            return False
        at = self._at("express") + 6
        control = self._word(at)
        self._store(at, control & ~DEVICE_CONTROL_FLR)
        return bool(control & DEVICE_CONTROL_FLR)

    def _lay_out_header(self, data: bytearray) -> None:
        function = self.function
        struct.pack_into("<HH", data, 0, function.vendor, function.device)
        struct.pack_into("<H", data, STATUS, STATUS_CAPABILITIES)
        struct.pack_into("<I", data, 0x08, function.class_code << 8 | function.revision)
        struct.pack_into("<HH", data, 0x2C, function.subsystem_vendor, function.subsystem)
        data[INTERRUPT_PIN] = function.interrupt_pin
        struct.pack_into("<H", self._writable, COMMAND, COMMAND_WRITABLE)
        struct.pack_into("<H", self._cleared_by_one, STATUS, STATUS_CLEARED_BY_ONE)
        self._writable[CACHE_LINE] = self._writable[INTERRUPT_LINE] = 0xFF
        for bar in function.bars:
            at = FIRST_BAR + 4 * bar.index
            decoded = ~(bar.size - 1)
            if bar.kind is BarKind.MEMORY_64:
                struct.pack_into("<I", data, at, 0b100)
                struct.pack_into("<Q", self._writable, at, decoded & 0xFFFF_FFFF_FFFF_FFFF)
            else:
                struct.pack_into("<I", data, at, 0b1 if bar.kind is BarKind.IO else 0)
                struct.pack_into("<I", self._writable, at, decoded & 0xFFFF_FFFF)

    def _lay_out_capabilities(self, data: bytearray) -> None:
        plain = [item for item in self.function.capabilities if not item.extended]
        extended = [item for item in self.function.capabilities if item.extended]
        data[FIRST_CAPABILITY] = plain[0].at if plain else 0
        for item, following in zip(plain, [*plain[1:], None], strict=True):
            data[item.at], data[item.at + 1] = item.number, following.at if following else 0
            self._place(item, data)
        if extended and extended[0].at != EXTENDED:
            raise UsageError(f"the first extended capability must be at {EXTENDED:#x}, not {extended[0].at:#x}")
        for item, following in zip(extended, [*extended[1:], None], strict=True):
            header = item.number | item.version << 16 | (following.at if following else 0) << 20
            struct.pack_into("<I", data, item.at, header)
            self._place(item, data)

    def _place(self, item: Capability, data: bytearray) -> None:
        at = item.body_at
        data[at : at + len(item.body)] = item.body
        self._writable[at : at + len(item.writable)] = item.writable
        self._cleared_by_one[at : at + len(item.cleared_by_one)] = item.cleared_by_one


class MsixTable:
    """The BAR with the MSI-X table and the pending bits.

    A vfio client keeps a table of its own and masks there, so nothing reads this one back but software.
    """

    def __init__(self, function: PciFunction, pending: Callable[[], int]) -> None:
        """Lay out the table of ``function``, every vector masked; ``pending`` returns the pending bits."""
        layout = function.msix
        self._size = next(bar.size for bar in function.bars if bar.index == layout.bar)
        self._start = layout.table_at
        self._end = layout.table_at + layout.vectors * MSIX_ENTRY
        self._pending = pending
        self._pending_at = layout.pending_at
        self._data = bytearray(self._size)
        self.reset()

    def reset(self) -> None:
        """Clear and mask every vector (PCI 3.0 6.8.2.9)."""
        self._data[:] = bytes(self._size)
        for at in range(self._start, self._end, MSIX_ENTRY):
            self._data[at + 12] = MSIX_ENTRY_MASKED

    def read(self, offset: int, size: int) -> int:
        """Return ``size`` bytes at ``offset``."""
        if offset >= self._pending_at:
            return self._pending() >> (8 * (offset - self._pending_at)) & ((1 << (8 * size)) - 1)
        return int.from_bytes(self._data[offset : offset + size], "little")

    def write(self, offset: int, size: int, value: int) -> None:
        """Store the writable part of ``size`` bytes at ``offset``: the table, but only bit 0 of vector control."""
        for at, byte in enumerate(value.to_bytes(size, "little"), offset):
            if self._start <= at < self._end:
                field = (at - self._start) % MSIX_ENTRY
                if field < 12:
                    self._data[at] = byte & ~0b11 if field == 0 else byte
                elif field == 12:
                    self._data[at] = byte & MSIX_ENTRY_MASKED
