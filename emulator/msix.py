# SPDX-License-Identifier: BSD-3-Clause
"""Interrupts to the guest: MSI-X, MSI or INTx, through the eventfds that the client connects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.ports import InterruptMode
from emulator.vfu.device import IrqKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.pci import ConfigSpace

INTX_VECTOR = 0


class GuestInterrupts:
    """Implements the Interrupts port.

    INTx is a level that travels as an edge: the client signals its guest once, masks the line by itself,
    and unmasks it when the guest is done; if the line is still asserted then, it is signalled again.
    Messages are held while the client or the MSI capability masks them, and sent at the unmask.
    """

    def __init__(self, config: ConfigSpace, trigger: Callable[[int], bool]) -> None:
        """Signal vectors by ``trigger``, which tells whether somebody listens."""
        self._config = config
        self._trigger = trigger
        self._asserted = False
        self._signalled = False
        self._masked: dict[IrqKind, set[int]] = {kind: set() for kind in IrqKind}
        self._pending: dict[IrqKind, set[int]] = {kind: set() for kind in IrqKind}
        self._state = config.state()
        self._mode = InterruptMode.INTX

    @property
    def mode(self) -> InterruptMode:
        """The scheme that configuration space selects right now."""
        return self._mode

    @property
    def asserted(self) -> bool:
        """The level of the INTx line."""
        return self._asserted

    def pending_messages(self) -> int:
        """Return the pending bits of the MSI-X vectors (PCI 3.0 6.8.2.10)."""
        return sum(1 << vector for vector in self._pending[IrqKind.MSIX])

    def send(self, vector: int) -> None:
        """Send message ``vector``; nothing happens in INTx mode or past the table."""
        if self._mode is InterruptMode.INTX or not self._state.master:
            return
        kind, count = (
            (IrqKind.MSIX, self._config.function.msix.vectors) if self._mode is InterruptMode.MSIX else (IrqKind.MSI, 1)
        )
        if not 0 <= vector < count:
            return
        if vector in self._masked[kind] or (kind is IrqKind.MSI and self._state.msi_masked):
            self._pending[kind].add(vector)
        else:
            self._trigger(vector)

    def set_intx(self, asserted: bool) -> None:  # noqa: FBT001 - a level or a mask is a Boolean by nature
        """Drive the INTx line."""
        if asserted != self._asserted:
            self._asserted = asserted
            self._config.set_interrupt_status(asserted)
            self._signal_intx()

    def client_masked(self, kind: IrqKind, vectors: range, masked: bool) -> None:  # noqa: FBT001 - a level or a mask is a Boolean by nature
        """Take note that the client masked, unmasked, or newly connected ``vectors``."""
        if masked:
            self._masked[kind].update(vectors)
            return
        self._masked[kind].difference_update(vectors)
        if kind is IrqKind.INTX:
            self._signalled = False
            self._signal_intx()
        else:
            self._release(kind)

    def config_changed(self) -> None:
        """Look at configuration space again."""
        before, self._state = self._state, self._config.state()
        state = self._state
        if state.msix:
            self._mode = InterruptMode.MSIX
        else:
            self._mode = InterruptMode.MSI if state.msi else InterruptMode.INTX
        if (before.msix, before.msi) != (state.msix, state.msi):
            self._signalled = False
            for pending in self._pending.values():
                pending.clear()
        if self._mode is InterruptMode.INTX:
            self._signal_intx()
        elif self._mode is InterruptMode.MSI:
            self._release(IrqKind.MSI)

    def reset(self) -> None:
        """Deassert, and forget what is pending; the client's masks and eventfds stay."""
        self._asserted = self._signalled = False
        for pending in self._pending.values():
            pending.clear()
        self.config_changed()

    def forget_client(self) -> None:
        """Forget the masks of a client that has left."""
        for masked in self._masked.values():
            masked.clear()
        self.reset()

    def _signal_intx(self) -> None:
        blocked = self._signalled or self._state.intx_disabled or INTX_VECTOR in self._masked[IrqKind.INTX]
        if self._asserted and self._mode is InterruptMode.INTX and not blocked:
            self._signalled = self._trigger(INTX_VECTOR)

    def _release(self, kind: IrqKind) -> None:
        if kind is IrqKind.MSI and self._state.msi_masked:
            return
        ready = sorted(self._pending[kind] - self._masked[kind])
        self._pending[kind].difference_update(ready)
        for vector in ready:
            self._trigger(vector)
