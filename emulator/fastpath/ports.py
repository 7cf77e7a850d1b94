# SPDX-License-Identifier: BSD-3-Clause
"""The ports of the card when the engine is native: guest memory and interrupts, as both sides see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.ports import InterruptMode, MemoryFault
from emulator.endpoint import Endpoint
from emulator.guest_memory import GuestMemory
from emulator.msix import GuestInterrupts
from emulator.vfu.device import IrqKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_model.nic import Nic
    from emulator.fastpath.engine import Engine
    from emulator.pci import ConfigSpace
    from emulator.vfu.device import ClientReset, DmaRegion

MODES = {InterruptMode.MSIX: 0, InterruptMode.MSI: 1, InterruptMode.INTX: 2}
"""In the order of ``enum fp_mode``."""


def no_memory(iova: int, size: int) -> bytes:
    """Raise MemoryFault."""
    raise MemoryFault(iova, size)


class NativeMemory(GuestMemory):
    """Implements the HostMemory port on the engine's own regions: memory.c."""

    def __init__(self, engine: Engine) -> None:
        """Start with nothing mapped."""
        self._engine = engine
        self._memory = engine.ffi.addressof(engine.e.memory)
        self.missing: Callable[[int, int], bytes] = no_memory
        """What is read where nothing is mapped."""
        super().__init__()

    @property
    def enabled(self) -> bool:
        """Whether the function is a bus master."""
        return bool(self._memory.enabled)

    @enabled.setter
    def enabled(self, on: bool) -> None:
        self._memory.enabled = on

    def map(self, region: DmaRegion) -> None:
        """Use ``region`` from now on, in place of one that starts where it does."""
        super().map(region)
        made = self._engine.ffi.new("struct fp_region *")
        made.iova, made.size, made.mapped, made.address = region.iova, region.size, region.mapped, region.address
        made.readable, made.writable = region.readable, region.writable
        if not self._engine.lib.fp_map(self._memory, made):
            raise MemoryError

    def unmap(self, iova: int, size: int) -> None:
        """Forget the region of ``size`` bytes at ``iova``."""
        super().unmap(iova, size)
        self._engine.lib.fp_unmap(self._memory, iova, size)

    def read(self, iova: int, size: int) -> bytes:
        """Return ``size`` bytes at ``iova``."""
        data = bytearray(size)
        if size and not self._engine.lib.fp_read(self._memory, iova, self._engine.ffi.from_buffer(data), size):
            return self.missing(iova, size)
        return bytes(data)

    def write(self, iova: int, data: bytes) -> None:
        """Store ``data`` at ``iova``; nothing is stored unless all of it is mapped."""
        if data and not self._engine.lib.fp_write(self._memory, iova, data, len(data)):
            raise MemoryFault(iova, len(data))

    def store64(self, iova: int, value: int) -> None:
        """Store 64 bits at once, after all earlier writes."""
        if not self._engine.lib.fp_store64(self._memory, iova, value):
            raise MemoryFault(iova, 8)

    def store32(self, iova: int, value: int) -> None:
        """Store 32 bits at once, after all earlier writes."""
        if not self._engine.lib.fp_store32(self._memory, iova, value):
            raise MemoryFault(iova, 4)


class NativeInterruptPort(GuestInterrupts):
    """Lets the engine signal by itself the MSI-X messages that nothing masks."""

    def __init__(self, engine: Engine, config: ConfigSpace, trigger: Callable[[int], bool]) -> None:
        self._e = engine.e
        super().__init__(config, trigger)
        self._show()

    def client_masked(self, kind: IrqKind, vectors: range, masked: bool) -> None:  # noqa: FBT001 - a level or a mask is a Boolean by nature
        """Take note that the client masked, unmasked, or newly connected ``vectors``."""
        super().client_masked(kind, vectors, masked)
        self._show()

    def config_changed(self) -> None:
        """Look at configuration space again."""
        super().config_changed()
        self._show()

    def forget_client(self) -> None:
        """Forget the masks of a client that has left."""
        super().forget_client()
        self._show()

    def _show(self) -> None:
        """Tell the engine scheme, table size, bus mastering and masks."""
        e = self._e
        e.mode = MODES[self.mode]
        e.messages = self._config.function.msix.vectors
        e.master = self._state.master
        e.masked = sum(1 << vector for vector in self._masked[IrqKind.MSIX] if vector < 32)


class NativeEndpoint(Endpoint):
    """Lets the engine answer accesses of BAR 0 while the function decodes them."""

    def __init__(
        self, engine: Engine, config: ConfigSpace, nic: Nic, memory: GuestMemory, interrupts: GuestInterrupts
    ) -> None:
        self._e = engine.e
        super().__init__(config, nic, memory, interrupts)

    def write(self, region: int, offset: int, size: int, value: int) -> None:
        """Store ``size`` bytes in configuration space or in a BAR."""
        super().write(region, offset, size, value)
        self._e.decodes = self._state.memory

    def reset(self, kind: ClientReset) -> None:
        """Start afresh."""
        super().reset(kind)
        self._e.decodes = self._state.memory
