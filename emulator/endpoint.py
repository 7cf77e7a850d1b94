# SPDX-License-Identifier: BSD-3-Clause
"""The card as a PCI Express endpoint: which access goes where, and which reset reaches whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.nic import Reset
from emulator.pci import MsixTable
from emulator.vfu.device import CONFIG_REGION, ClientReset

if TYPE_CHECKING:
    from device_model.nic import Nic
    from emulator.guest_memory import GuestMemory
    from emulator.msix import GuestInterrupts
    from emulator.pci import ConfigSpace
    from emulator.vfu.device import DmaRegion, IrqKind

D3_HOT = 3


class Endpoint:
    """Implements emulator.vfu.device.Device for a NIC behind configuration space."""

    def __init__(self, config: ConfigSpace, nic: Nic, memory: GuestMemory, interrupts: GuestInterrupts) -> None:
        """Join the parts, as they are after power-on."""
        self.config = config
        self.nic = nic
        self.memory = memory
        self.interrupts = interrupts
        self._table = MsixTable(config.function, interrupts.pending_messages)
        self._table_bar = config.function.msix.bar
        self._io_bars = frozenset(bar.index for bar in config.function.bars if bar.kind.value == "I/O")
        self._state = config.state()

    def read(self, region: int, offset: int, size: int) -> int:
        """Return ``size`` bytes of configuration space or of a BAR; all ones from a BAR that is not decoded.

        A register of an absent card is read all the same, so that observers see who still asks.
        """
        ones = (1 << (8 * size)) - 1
        if region == CONFIG_REGION:
            return self.config.read(offset, size) if self.nic.present else ones
        if not self._decodes(region):
            return ones
        if region == self._table_bar:
            return self._table.read(offset, size)
        return self.nic.region_read(region, offset, size)

    def write(self, region: int, offset: int, size: int, value: int) -> None:
        """Store ``size`` bytes in configuration space or in a BAR."""
        if region == CONFIG_REGION:
            if self.nic.present:
                self._write_config(offset, size, value)
        elif not self._decodes(region):
            return
        elif region == self._table_bar:
            self._table.write(offset, size, value)
        else:
            self.nic.region_write(region, offset, size, value)

    def reset(self, kind: ClientReset) -> None:
        """Start afresh: for the client this is a function level reset."""
        if kind is ClientReset.LOST_CLIENT:
            self._start_afresh(Reset.LOST_CLIENT)
            self.interrupts.forget_client()
        else:
            self._start_afresh(Reset.FUNCTION_LEVEL)

    def dma_map(self, region: DmaRegion) -> None:
        """Use ``region`` from now on."""
        self.memory.map(region)

    def dma_unmap(self, iova: int, size: int) -> None:
        """Stop using a region."""
        self.memory.unmap(iova, size)

    def irq_masked(self, kind: IrqKind, vectors: range, masked: bool) -> None:  # noqa: FBT001 - a level or a mask is a Boolean by nature
        """Pass the client's masks on."""
        self.interrupts.client_masked(kind, vectors, masked)

    def quiesce(self) -> None:
        """Nothing runs outside the event loop."""

    def _decodes(self, region: int) -> bool:
        return self._state.io if region in self._io_bars else self._state.memory

    def _write_config(self, offset: int, size: int, value: int) -> None:
        if self.config.write(offset, size, value):
            self._start_afresh(Reset.FUNCTION_LEVEL)
            return
        before, self._state = self._state, self.config.state()
        if before == self._state:
            return
        self.memory.enabled = self._state.master
        if before.power == D3_HOT and self._state.power == 0:
            # No_Soft_Reset is clear: coming back from D3hot resets the function (PCI PM 1.2 3.2.4).
            self.interrupts.reset()
            self.nic.reset(Reset.FUNCTION_LEVEL)
        self.interrupts.config_changed()
        self.nic.interrupts_changed()

    def _start_afresh(self, kind: Reset) -> None:
        self.memory.enabled = False
        self.config.reset()
        self._state = self.config.state()
        self._table.reset()
        self.interrupts.reset()
        self.nic.reset(kind)
