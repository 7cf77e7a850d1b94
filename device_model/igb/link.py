# SPDX-License-Identifier: BSD-3-Clause
"""The link: what the PHY agrees with its partner, and what the MAC makes of it.

82576 data sheet 3.5 (link configuration) and 8.2 (CTRL, STATUS); IEEE 802.3 clause 28. The PHY finds a link some
time after the cable, a restart or a reset gives it reason to look; the MAC sees it while CTRL.slu is set. A software
reset (CTRL.rst) clears CTRL.slu but leaves the PHY and its link alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.events import LinkChanged
from device_model.igb.phy import Phy
from device_model.igb.spec import phy as spec
from device_model.igb.spec.general import CTRL, STATUS
from device_model.igb.spec.interrupts import ICR
from device_model.igb.spec.receive import RCTL

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_model.events import Tell
    from device_model.nic import LinkPartner
    from device_model.ports import Clock, Timer
    from device_model.regfile import RegisterFile

_MBPS = (10, 100, 1000, 1000)
"""Speed by the two-bit code of CTRL.speed and STATUS.speed."""
_MAC_LOOPBACK = 1


def partner_offers(partner: LinkPartner) -> list[tuple[int, bool]]:
    """Return the (speed in Mb/s, full duplex) that ``partner`` can do, best first."""
    return [
        (mbps, full)
        for _, _, mbps, full in spec.ABILITIES
        if mbps in partner.speeds_mbps and (partner.full_duplex or not full)
    ]


def partner_base_page(partner: LinkPartner) -> int:
    """Return the base page that ``partner`` sends in autonegotiation (IEEE 802.3 28B), acknowledged."""
    page = spec.SELECTOR_802_3 | spec.ACKNOWLEDGE
    page |= spec.PAUSE if partner.pause else 0
    page |= spec.ASYM_PAUSE if partner.asym_pause else 0
    offers = partner_offers(partner)
    for register, bit, mbps, full in spec.ABILITIES:
        if register is spec.ADVERTISEMENT and (mbps, full) in offers:
            page |= bit
    return page


def partner_gigabit_bits(partner: LinkPartner) -> int:
    """Return what ``partner``'s 1000BASE-T pages put into the PHY's GIGABIT_STATUS."""
    offers = partner_offers(partner)
    full = spec.PARTNER_1000_FULL if (1000, True) in offers else 0
    return full | (spec.PARTNER_1000_HALF if (1000, False) in offers else 0)


def _nothing() -> None:
    """Do nothing: nobody waits for the link."""


class Link:
    """PHY, autonegotiation and the link bits of STATUS."""

    def __init__(
        self,
        regs: RegisterFile,
        clock: Clock,
        raise_cause: Callable[[int], None],
        tell: Tell,
        autoneg_ns: int,
    ) -> None:
        """Start without a cable. ``raise_cause`` takes ICR bits; finding a link takes ``autoneg_ns``, at least 1."""
        self._regs = regs
        self._clock = clock
        self._raise_cause = raise_cause
        self._tell = tell
        self._autoneg_ns = max(autoneg_ns, 1)
        self._partner: LinkPartner | None = None
        self._timer: Timer | None = None
        self._agreed: tuple[int, bool] | None = None
        self._shown: tuple[int, bool] | None = None
        self._transmit_off = False
        self._paused = False
        self._changed: Callable[[], None] = _nothing
        self.phy = Phy(regs, self.restart, raise_cause)
        regs.on_write(CTRL, self._ctrl_written)
        regs.on_write(STATUS, self._status_written)

    @property
    def up(self) -> bool:
        """The MAC has a link (STATUS.lu)."""
        return self._shown is not None

    @property
    def speed_mbps(self) -> int:
        """The speed at which the MAC works: 0 while there is neither link nor loopback."""
        if self._shown is not None:
            return self._shown[0]
        return self.loopback_speed_mbps if self.loopback else 0

    @property
    def loopback_speed_mbps(self) -> int:
        """The speed at which frames come back where there is no link."""
        return self._mac_settings(self.phy.forced_mbps, full=True)[0]

    @property
    def full_duplex(self) -> bool:
        """The MAC works in full duplex (STATUS.fd)."""
        return bool(STATUS.fd.of(self._regs.peek(STATUS)))

    @property
    def loopback(self) -> bool:
        """Frames that are sent come back instead of leaving: in the PHY, or in the MAC (RCTL.lbm 01)."""
        return self.phy.loopback or RCTL.lbm.of(self._regs.peek(RCTL)) == _MAC_LOOPBACK

    def on_change(self, action: Callable[[], None]) -> None:
        """Call ``action`` whenever the MAC gets a link, loses it or gets another."""
        self._changed = action

    def transmit_off(self, on: bool) -> None:  # noqa: FBT001 - a level
        """Show in STATUS.txoff that transmission is paused, whether it is or not; a reset does not end it."""
        self._transmit_off = on
        self._show_transmit_off()

    def pause(self, on: bool) -> None:  # noqa: FBT001 - a level
        """Show in STATUS.txoff that flow control holds transmission (or no longer does)."""
        self._paused = on
        self._show_transmit_off()

    def _show_transmit_off(self) -> None:
        off = self._transmit_off or self._paused
        self._regs.poke(STATUS, STATUS.txoff.put(self._regs.peek(STATUS), int(off)))

    def connect(self, partner: LinkPartner | None) -> None:
        """Plug the cable into ``partner``, or pull it out (None)."""
        self._partner = partner
        if not self.phy.loopback:
            self.restart()

    def reset(self, *, software: bool) -> None:
        """Follow a reset, after the registers took their reset values; CTRL.slu is 0 then, and no cause is raised.

        A software reset leaves the PHY as it is, every other one resets it and lets it look for a link again.
        """
        self._shown = None
        if not software:
            self.phy.reset()
            self._agreed = None
            self._look_for_link()
        self._show()

    def restart(self) -> None:
        """Drop the PHY's link and look for one afresh."""
        self._agreed = None
        self.phy.link_lost()
        self._show()
        self._look_for_link()

    # -- the PHY's side --------------------------------------------------------------------------------

    def _look_for_link(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.phy.powered_down and (self._partner is not None or self.phy.loopback):
            self._timer = self._clock.call_at(self._clock.now_ns() + self._autoneg_ns, self._found)

    def _found(self) -> None:
        self._timer = None
        self._agreed = self._agree()
        if self._agreed is not None:
            self.phy.link_found(self._agreed[0])
        self._show()

    def _agree(self) -> tuple[int, bool] | None:
        """Return the (speed in Mb/s, full duplex) of the link; None where the two sides have nothing in common."""
        phy, partner = self.phy, self._partner
        if phy.loopback:
            return phy.forced_mbps, phy.forced_full_duplex
        if partner is None or not partner.speeds_mbps:
            return None
        if not phy.autonegotiates:
            # 10BASE-T and 100BASE-TX need no autonegotiation: the partner detects them (802.3 28.2.3.1).
            possible = phy.forced_mbps in partner.speeds_mbps and phy.forced_mbps != 1000
            return (phy.forced_mbps, phy.forced_full_duplex) if possible else None
        phy.negotiated(partner_base_page(partner), partner_gigabit_bits(partner))
        offers = partner_offers(partner)
        return next((common for common in phy.advertised if common in offers), None)

    # -- the MAC's side --------------------------------------------------------------------------------

    def _mac_settings(self, mbps: int, *, full: bool) -> tuple[int, bool]:
        """Return speed and duplex of the MAC: the PHY's, unless CTRL forces others."""
        ctrl = self._regs.peek(CTRL)
        return (
            _MBPS[CTRL.speed.of(ctrl)] if CTRL.frcspd.of(ctrl) else mbps,
            bool(CTRL.fd.of(ctrl)) if CTRL.frcdpx.of(ctrl) else full,
        )

    def _show(self) -> None:
        """Put into STATUS what the MAC sees, and raise LSC if the link came, went or changed."""
        regs = self._regs
        seen = None
        if self._agreed is not None and CTRL.slu.of(regs.peek(CTRL)):
            seen = self._mac_settings(self._agreed[0], full=self._agreed[1])
        status = STATUS.lu.put(regs.peek(STATUS), int(seen is not None))
        status = STATUS.txoff.put(status, int(self._transmit_off or self._paused))
        if seen is not None:
            status = STATUS.speed.put(status, _MBPS.index(seen[0]))
            status = STATUS.fd.put(status, int(seen[1]))
        regs.poke(STATUS, status)
        if seen == self._shown:
            return
        self._shown = seen
        if self._tell.on:
            mbps, full = seen or (0, False)
            self._tell(LinkChanged(self._clock.now_ns(), mbps, full))
        self._raise_cause(ICR.lsc.mask)
        self._changed()

    def _ctrl_written(self, _n: int, _old: int, new: int) -> None:
        if CTRL.phy_rst.of(new):
            self._regs.poke(STATUS, STATUS.phyra.put(self._regs.peek(STATUS), 1))
            self.phy.reset()
            self.restart()
        else:
            self._show()

    def _status_written(self, _n: int, old: int, new: int) -> None:
        """STATUS.phyra is cleared by writing 0, and not set by writing 1."""
        self._regs.poke(STATUS, STATUS.phyra.put(new, STATUS.phyra.of(old & new)))
