# SPDX-License-Identifier: BSD-3-Clause
"""Guest memory through the DMA regions that the client has mapped into this process."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from device_model.ports import MemoryFault
from emulator.vfu.context import native
from emulator.vfu.device import DmaRegion

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRATCH_SIZE = 64 * 1024
NOWHERE = DmaRegion(iova=0, size=0, address=0, mapped=0, readable=False, writable=False)


class GuestMemory:
    """Implements the HostMemory port.

    An access must lie in mapped regions that permit it, or in several that adjoin; anything else is a
    MemoryFault, and so is memory that the client has taken away behind our back. While ``enabled`` is
    false (the function is no bus master) every access faults.
    """

    def __init__(self) -> None:
        """Start with nothing mapped."""
        module = native()
        self._lib = module.lib
        self._scratch = module.ffi.new("unsigned char[]", SCRATCH_SIZE)
        self._bytes = module.ffi.buffer(self._scratch)
        self._from_buffer = module.ffi.from_buffer
        self._starts: list[int] = []
        self._regions: list[DmaRegion] = []
        self._recent = NOWHERE
        self.enabled = False

    @property
    def regions(self) -> tuple[DmaRegion, ...]:
        """What is mapped, by rising address."""
        return tuple(self._regions)

    def map(self, region: DmaRegion) -> None:
        """Use ``region`` from now on, in place of one that starts where it does."""
        self._recent = NOWHERE
        at = bisect_right(self._starts, region.iova)
        if at and self._starts[at - 1] == region.iova:
            self._regions[at - 1] = region
        else:
            self._starts.insert(at, region.iova)
            self._regions.insert(at, region)

    def unmap(self, iova: int, size: int) -> None:
        """Forget the region of ``size`` bytes at ``iova``."""
        self._recent = NOWHERE
        at = bisect_right(self._starts, iova) - 1
        if at >= 0 and self._starts[at] == iova and self._regions[at].size == size:
            del self._starts[at], self._regions[at]

    def read(self, iova: int, size: int) -> bytes:
        """Return ``size`` bytes at ``iova``."""
        direct = self._direct(iova, size, write=False)
        if direct and size <= SCRATCH_SIZE:
            if self._lib.hilnic_copy_from(self._scratch, direct, size) != 0:
                raise MemoryFault(iova, size)
            return bytes(self._bytes[:size])
        parts = []
        for address, length in self._pieces(iova, size, write=False):
            if length <= SCRATCH_SIZE:
                if self._lib.hilnic_copy_from(self._scratch, address, length) != 0:
                    raise MemoryFault(iova, size)
                parts.append(self._bytes[:length])
            else:
                block = bytearray(length)
                if self._lib.hilnic_copy_from(self._from_buffer(block), address, length) != 0:
                    raise MemoryFault(iova, size)
                parts.append(bytes(block))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, iova: int, data: bytes) -> None:
        """Store ``data`` at ``iova``; nothing is stored unless all of it is mapped."""
        direct = self._direct(iova, len(data), write=True)
        if direct:
            if self._lib.hilnic_copy_to(direct, self._from_buffer(data), len(data)) != 0:
                raise MemoryFault(iova, len(data))
            return
        pieces = list(self._pieces(iova, len(data), write=True))
        start = 0
        for address, length in pieces:
            part = data if length == len(data) else data[start : start + length]
            if self._lib.hilnic_copy_to(address, self._from_buffer(part), length) != 0:
                raise MemoryFault(iova, len(data))
            start += length

    def store64(self, iova: int, value: int) -> None:
        """Store 64 bits at once, after all earlier writes."""
        address = self._word(iova, 8)
        if address is None:
            GuestMemory.write(self, iova, value.to_bytes(8, "little"))
        elif self._lib.hilnic_store64(address, value) != 0:
            raise MemoryFault(iova, 8)

    def store32(self, iova: int, value: int) -> None:
        """Store 32 bits at once, after all earlier writes."""
        address = self._word(iova, 4)
        if address is None:
            GuestMemory.write(self, iova, value.to_bytes(4, "little"))
        elif self._lib.hilnic_store32(address, value) != 0:
            raise MemoryFault(iova, 4)

    def _word(self, iova: int, size: int) -> int | None:
        """Return the address of an aligned word, or None where the client's mapping allows no atomic store."""
        address = self._direct(iova, size, write=True)
        if address:
            return address if address % size == 0 else None
        address, length = next(self._pieces(iova, size, write=True))
        return address if length == size and address % size == 0 else None

    def _direct(self, iova: int, size: int, *, write: bool) -> int:
        """Return where ``size`` bytes at ``iova`` lie if they may be touched and one region holds them all, else 0."""
        region = self._recent
        offset = iova - region.iova
        if offset < 0 or offset + size > region.mapped:
            index = bisect_right(self._starts, iova) - 1
            if index < 0:
                return 0
            region = self._regions[index]
            offset = iova - region.iova
            if offset + size > region.mapped:
                return 0
            self._recent = region
        return region.address + offset if self.enabled and (region.writable if write else region.readable) else 0

    def _pieces(self, iova: int, size: int, *, write: bool) -> Iterator[tuple[int, int]]:
        """Yield (address, length) of each stretch of ``size`` bytes at ``iova``."""
        at, left = iova, size
        while left > 0:
            index = bisect_right(self._starts, at) - 1
            if index < 0 or not self.enabled:
                raise MemoryFault(iova, size)
            region = self._regions[index]
            offset = at - region.iova
            length = min(left, region.mapped - offset)
            if length <= 0 or not (region.writable if write else region.readable):
                raise MemoryFault(iova, size)
            yield region.address + offset, length
            if length < left and offset + length < region.size:
                raise MemoryFault(iova, size)
            at += length
            left -= length
