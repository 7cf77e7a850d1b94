# SPDX-License-Identifier: BSD-3-Clause
"""The card's ports, each with the card's log beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.bundle.entries import MAP, MASK, READ, TIME, UNMAP, WRITE, Kind
from emulator.guest_memory import GuestMemory
from emulator.vfu.device import ClientReset, IrqKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from emulator.bundle.log import Log
    from emulator.vfu.device import Device, DmaRegion
    from emulator.wires import WireEnd
    from emulator.wires.end import WireCounts

SCHEMES = (IrqKind.INTX, IrqKind.MSI, IrqKind.MSIX)


class LoggedDevice:
    """What the client does to ``device`` are steps. Implements emulator.vfu.device.Device."""

    def __init__(self, device: Device, log: Log) -> None:
        self._device = device
        self._log = log

    def read(self, region: int, offset: int, size: int) -> int:
        """Return ``size`` bytes."""
        self._log.begin(Kind.READ, region, size, READ.pack(0, offset)[TIME.size :])
        try:
            value = self._device.read(region, offset, size)
            self._log.put(Kind.RESULT, 0, 0, value.to_bytes(8, "little"))
        finally:
            self._log.end()
        return value

    def write(self, region: int, offset: int, size: int, value: int) -> None:
        """Store ``size`` bytes."""
        self._log.begin(Kind.WRITE, region, size, WRITE.pack(0, offset, value)[TIME.size :])
        try:
            self._device.write(region, offset, size, value)
        finally:
            self._log.end()

    def reset(self, kind: ClientReset) -> None:
        """Start afresh."""
        self._log.begin(Kind.RESET, kind is ClientReset.LOST_CLIENT)
        try:
            self._device.reset(kind)
        finally:
            self._log.end()

    def dma_map(self, region: DmaRegion) -> None:
        """Use ``region`` from now on."""
        body = MAP.pack(0, region.iova, region.size, region.mapped)[TIME.size :]
        self._log.begin(Kind.MAP, region.readable | region.writable << 1, 0, body)
        try:
            self._device.dma_map(region)
        finally:
            self._log.end()

    def dma_unmap(self, iova: int, size: int) -> None:
        """Stop using the region."""
        self._log.begin(Kind.UNMAP, 0, 0, UNMAP.pack(0, iova, size)[TIME.size :])
        try:
            self._device.dma_unmap(iova, size)
        finally:
            self._log.end()

    def irq_masked(self, kind: IrqKind, vectors: range, masked: bool) -> None:  # noqa: FBT001 - a level or a mask is a Boolean by nature
        """Take note of masks."""
        body = MASK.pack(0, vectors.start, len(vectors))[TIME.size :]
        self._log.begin(Kind.MASK, SCHEMES.index(kind), masked, body)
        try:
            self._device.irq_masked(kind, vectors, masked)
        finally:
            self._log.end()

    def quiesce(self) -> None:
        """Finish what runs outside."""
        self._device.quiesce()


class LoggedMemory(GuestMemory):
    """Guest memory whose accesses are logged."""

    def __init__(self, log: Log) -> None:
        """Start with nothing mapped."""
        super().__init__()
        self._log = log

    def read(self, iova: int, size: int) -> bytes:
        """Return ``size`` bytes at ``iova``."""
        return self._log.dma_read(iova, size, super().read)

    def write(self, iova: int, data: bytes) -> None:
        """Store ``data`` at ``iova``."""
        self._log.dma_write(iova, data, 0, lambda: GuestMemory.write(self, iova, data))

    def store64(self, iova: int, value: int) -> None:
        """Store 64 bits at once."""
        self._log.dma_write(iova, value.to_bytes(8, "little"), 8, lambda: GuestMemory.store64(self, iova, value))

    def store32(self, iova: int, value: int) -> None:
        """Store 32 bits at once."""
        self._log.dma_write(iova, value.to_bytes(4, "little"), 4, lambda: GuestMemory.store32(self, iova, value))


class LoggedWire:
    """A wire on which what leaves is logged. Implements emulator.wires.end.WireEnd."""

    def __init__(self, wire: WireEnd, log: Log) -> None:
        self._wire = wire
        self._log = log

    @property
    def counts(self) -> WireCounts:
        """What became of frames so far."""
        return self._wire.counts

    @property
    def connected(self) -> bool:
        """Whether somebody is at the other end."""
        return self._wire.connected

    def fileno(self) -> int | None:
        """Return the descriptor to wait for."""
        return self._wire.fileno()

    def emit(self, frame: bytes) -> None:
        """Send one frame."""
        self._log.put(Kind.FRAME_OUT, 0, 0, frame)
        self._wire.emit(frame)

    def poll(self) -> Sequence[bytes]:
        """Return the frames that have come."""
        return self._wire.poll()

    def close(self) -> None:
        """Close the wire."""
        self._wire.close()


def logged_trigger(trigger: Callable[[int], bool], log: Log) -> Callable[[int], bool]:
    """Return ``trigger``, whose calls are logged."""
    return lambda vector: log.interrupt(vector, trigger)
