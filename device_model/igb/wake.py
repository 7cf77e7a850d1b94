# SPDX-License-Identifier: BSD-3-Clause
"""Waking: which frame, while the host sleeps, would have woken it, and what is kept of that frame (82576 5.3, 8.19).

The driver says what may wake the host (WUFC) and sets WUC.pme_en before it lets the function go to D3hot (Linux
__igb_shutdown); after the return to D0 it looks here (igb_resume, igb_deliver_wake_packet). What was kept survives
every reset but that of power. The PME itself has no way to the client: vfio-user knows no such signal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.igb.spec.bus import WUC, WUFC, WUPL, WUPM, WUS
from device_model.igb.spec.filters import RAH, RAL
from device_model.packet.accept import is_broadcast, is_multicast

if TYPE_CHECKING:
    from device_model.regfile import RegisterFile

_KEPT = 4 * WUPM.count
"""Bytes of the waking frame that WUPM holds."""

_MAGIC_REPEATS = 16
_ARP = bytes.fromhex("0806")


class Wake:
    """WUS, WUPL and WUPM: the first frame that passed a filter of WUFC while WUC.pme_en was set."""

    def __init__(self, regs: RegisterFile) -> None:
        """Watch nothing yet."""
        self._regs = regs
        self._kept: dict[int, int] = {}
        self._length = 0
        self._status = 0
        regs.on_write(WUS, self._acknowledged)

    def reset(self, *, power: bool) -> None:
        """Follow a reset, after the registers took their reset values; only one of power forgets the waking frame."""
        if power:
            self._status = self._length = 0
            self._kept.clear()
        self._show()

    def arrived(self, frame: bytes) -> None:
        """Look at a frame, whether the receiver is on or not."""
        if self._regs.peek(WUC) & WUC.pme_en.mask and not self._status:
            why = self._regs.peek(WUFC) & self._filters_of(frame)
            if why:
                self._keep(why, frame)

    def link_changed(self) -> None:
        """The link came or went: that may wake the host too."""
        if self._regs.peek(WUC) & WUC.pme_en.mask and not self._status and self._regs.peek(WUFC) & WUFC.lnkc.mask:
            self._keep(WUFC.lnkc.mask, b"")

    def _filters_of(self, frame: bytes) -> int:
        """Return the bits of WUFC whose filters pass ``frame``; the protocol filters beyond ARP are not modelled."""
        regs, destination = self._regs, frame[:6]
        station = regs.peek(RAL).to_bytes(4, "little") + RAH.address.of(regs.peek(RAH)).to_bytes(2, "little")
        passed = WUFC.mag.mask if b"\xff" * 6 + station * _MAGIC_REPEATS in frame else 0
        if destination == station:
            passed |= WUFC.ex.mask
        elif is_broadcast(destination):
            passed |= WUFC.bc.mask | (WUFC.arp.mask if frame[12:14] == _ARP else 0)
        elif is_multicast(destination):
            passed |= WUFC.mc.mask
        return passed

    def _keep(self, why: int, frame: bytes) -> None:
        self._status, self._length = why, len(frame)
        words = frame[:_KEPT].ljust(_KEPT, b"\0")
        self._kept = {n: int.from_bytes(words[4 * n : 4 * n + 4], "little") for n in range(WUPM.count)}
        self._show()
        self._regs.poke(WUC, self._regs.peek(WUC) | WUC.pme_status.mask)

    def _show(self) -> None:
        self._regs.poke(WUS, self._status)
        self._regs.poke(WUPL, self._length)
        for n, word in self._kept.items():
            self._regs.poke(WUPM, word, n)

    def _acknowledged(self, _n: int, _old: int, new: int) -> None:
        """Bits written as 1 are cleared; without any left, the next frame may be kept."""
        self._status = new
