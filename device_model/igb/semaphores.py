# SPDX-License-Identifier: BSD-3-Clause
"""Registers by which drivers, firmware and the bus agree who may do what: 82576 data sheet 8.2, 8.6 and 8.7."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.igb.spec.bus import SWSM
from device_model.igb.spec.general import CTRL, STATUS

if TYPE_CHECKING:
    from device_model.regfile import RegisterFile


class Semaphores:
    """SWSM's read-to-set semaphore, and the handshake that stops bus mastering.

    SW_FW_SYNC, FWSM and EEMNGCTL need no behaviour: firmware, which the card does not have, owns nothing and
    is always done.
    """

    def __init__(self, regs: RegisterFile) -> None:
        """Attach the behaviour to ``regs``."""
        self._regs = regs
        regs.on_read(SWSM, self._take_smbi)
        regs.on_write(CTRL, self._follow_master_disable)

    def reset(self) -> None:
        """Nothing outlives the registers: the semaphore is free after a reset."""

    def _take_smbi(self, _n: int) -> int:
        """Return SWSM; whoever reads smbi as 0 has taken it (Linux igb_get_hw_semaphore)."""
        value = self._regs.peek(SWSM)
        self._regs.poke(SWSM, SWSM.smbi.put(value, 1))
        return value

    def _follow_master_disable(self, _n: int, _old: int, _new: int) -> None:
        """Show in STATUS that mastering stopped: no request is ever left pending (Linux igb_disable_pcie_master)."""
        disabled = CTRL.gio_master_disable.of(self._regs.peek(CTRL))
        self._regs.poke(STATUS, STATUS.gio_master_enable.put(self._regs.peek(STATUS), 1 - disabled))
