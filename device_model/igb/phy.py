# SPDX-License-Identifier: BSD-3-Clause
"""The PHY as software meets it: registers behind MDIC. What the link does about them is link.py's affair.

82576 data sheet 8.2 (MDIC) and 8.25; Linux igb_read_phy_reg_mdic and igb_read_phy_reg_igp. Accesses complete
at once. A register that does not exist reads as 0; only another PHY address is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.igb.spec import phy as spec
from device_model.igb.spec.general import MDIC
from device_model.igb.spec.interrupts import ICR

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_model.igb.spec.phy import PhyRegister
    from device_model.regfile import RegisterFile

_WRITE, _READ = 1, 2
_IEEE_REGISTERS = 16
_BY_PLACE = {(register.page, register.number): register for register in spec.REGISTERS}
_SPEEDS = {0: 10, spec.SPEED_LOW: 100, spec.SPEED_HIGH: 1000}


class Phy:
    """The PHY's registers. ``changed()`` is called when software asked for something that concerns the link."""

    def __init__(self, regs: RegisterFile, changed: Callable[[], None], raise_cause: Callable[[int], None]) -> None:
        """Attach MDIC in ``regs``; ``raise_cause`` takes ICR bits (the end of an access, if asked for)."""
        self._regs = regs
        self._changed = changed
        self._raise_cause = raise_cause
        self._values: dict[PhyRegister, int] = {}
        self._link_was_lost = False
        self.reset()
        regs.on_write(MDIC, self._access)

    def reset(self) -> None:
        """Return all registers to their reset values (CTRL.phy_rst, or bit 15 of register 0)."""
        self._values = {register: register.reset for register in spec.REGISTERS}
        self._link_was_lost = False

    # -- what the link wants to know -----------------------------------------------------------------

    @property
    def powered_down(self) -> bool:
        """Software switched the PHY off."""
        return bool(self._control & spec.POWER_DOWN)

    @property
    def loopback(self) -> bool:
        """Frames that are sent come back."""
        return bool(self._control & spec.LOOPBACK) and not self.powered_down

    @property
    def autonegotiates(self) -> bool:
        """Speed and duplex are negotiated, not forced."""
        return bool(self._control & spec.AUTONEG_ENABLE)

    @property
    def forced_mbps(self) -> int:
        """The speed that software forces (10 for the reserved setting)."""
        return _SPEEDS.get(self._control & (spec.SPEED_LOW | spec.SPEED_HIGH), 10)

    @property
    def forced_full_duplex(self) -> bool:
        """The duplex that software forces."""
        return bool(self._control & spec.FULL_DUPLEX)

    @property
    def advertised(self) -> list[tuple[int, bool]]:
        """(speed in Mb/s, full duplex) that software lets the PHY offer, best first."""
        return [(mbps, full) for register, bit, mbps, full in spec.ABILITIES if self._values[register] & bit]

    @property
    def _control(self) -> int:
        return self._values[spec.CONTROL]

    # -- what the link tells -------------------------------------------------------------------------

    def link_lost(self) -> None:
        """Show that there is no link; STATUS.LINK reads 0 once more even if it is back by then (802.3 22.2.4.2.13)."""
        status = self._values[spec.STATUS]
        self._link_was_lost = self._link_was_lost or bool(status & spec.LINK)
        self._values[spec.STATUS] = status & ~(spec.LINK | spec.AUTONEG_COMPLETE)
        for register in (spec.PARTNER_ABILITY, spec.EXPANSION, spec.GIGABIT_STATUS, spec.PORT_STATUS):
            self._values[register] = 0

    def link_found(self, mbps: int) -> None:
        """Show a link at ``mbps``."""
        self._values[spec.STATUS] |= spec.LINK
        self._values[spec.PORT_STATUS] = spec.PORT_SPEED[mbps]
        if mbps == 1000:
            self._values[spec.GIGABIT_STATUS] |= spec.LOCAL_RECEIVER_OK | spec.REMOTE_RECEIVER_OK

    def negotiated(self, ability: int, gigabit: int) -> None:
        """Show that autonegotiation is complete, and what the partner said: its base page and its 1000BASE-T bits."""
        self._values[spec.STATUS] |= spec.AUTONEG_COMPLETE
        self._values[spec.PARTNER_ABILITY] = ability
        self._values[spec.GIGABIT_STATUS] = gigabit
        self._values[spec.EXPANSION] = spec.PARTNER_AUTONEG_ABLE | spec.PAGE_RECEIVED

    # -- what software does --------------------------------------------------------------------------

    def read(self, number: int) -> int:
        """Return register ``number`` of the selected page, with the side effects of reading."""
        register = self._at(number)
        if register is None:
            return 0
        value = self._values[register]
        if register is spec.STATUS and self._link_was_lost:
            self._link_was_lost = False
            value &= ~spec.LINK
        return value

    def write(self, number: int, value: int) -> None:
        """Write register ``number`` of the selected page."""
        register = self._at(number)
        if register is None:
            return
        old = self._values[register]
        self._values[register] = (old & ~register.writable) | (value & register.writable)
        if register is spec.CONTROL:
            self._control_written(old, value)

    def _control_written(self, old: int, value: int) -> None:
        if value & spec.RESET:
            self.reset()
            self._changed()
            return
        concerns_link = spec.LOOPBACK | spec.AUTONEG_ENABLE | spec.POWER_DOWN
        if not self.autonegotiates:
            concerns_link |= spec.SPEED_LOW | spec.SPEED_HIGH | spec.FULL_DUPLEX
        restarted = self.autonegotiates and value & spec.AUTONEG_RESTART
        if restarted or (old ^ self._control) & concerns_link:
            self._changed()

    def _at(self, number: int) -> PhyRegister | None:
        everywhere = number < _IEEE_REGISTERS or number == spec.PAGE_SELECT.number
        page = 0 if everywhere else self._values[spec.PAGE_SELECT] >> 5
        return _BY_PLACE.get((page, number))

    def _access(self, _n: int, _old: int, new: int) -> None:
        """Carry out what was written to MDIC."""
        op, number = MDIC.op.of(new), MDIC.reg.of(new)
        answer = MDIC.ready.put(MDIC.error.put(new, 0), 1)
        if MDIC.phy.of(new) != spec.ADDRESS or op not in (_WRITE, _READ):
            answer = MDIC.error.put(answer, 1)
        elif op == _READ:
            answer = MDIC.data.put(answer, self.read(number))
        else:
            self.write(number, MDIC.data.of(new))
        self._regs.poke(MDIC, answer)
        if MDIC.int_en.of(new):
            self._raise_cause(ICR.mdac.mask)
