# SPDX-License-Identifier: BSD-3-Clause
"""Flow control: pause frames that hold our transmitter, and those by which we hold our partner's.

82576 data sheet 3.5.5 and 8.5; IEEE 802.3 annex 31B. What the two sides agreed is the driver's affair: it reads the
PHY's pages and writes CTRL.rfce and CTRL.tfce (Linux igb_config_fc_after_link_up), and the card obeys these bits, in
full duplex.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.events import PauseFrame
from device_model.igb.spec.filters import RAH, RAL
from device_model.igb.spec.general import CTRL, FCAH, FCAL, FCRTH, FCRTL, FCRTV, FCT, FCTTV
from device_model.packet.accept import pause_frame, pause_quanta

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_model.events import Tell
    from device_model.igb.link import Link
    from device_model.igb.statistics import Statistics
    from device_model.ports import Clock, Timer
    from device_model.regfile import RegisterFile

_QUANTUM_BITS = 512
"""Bit times of one unit of pause time (IEEE 802.3 31B.2)."""


def _nothing() -> None:
    """Do nothing: nobody waits for the pause to end."""


class FlowControl:
    """The pause that our partner asked for, and the pause that we asked our partner for."""

    def __init__(
        self,
        regs: RegisterFile,
        clock: Clock,
        tell: Tell,
        link: Link,
        statistics: Statistics,
        emit: Callable[[bytes], None],
    ) -> None:
        """``emit`` puts a frame on the wire."""
        self._regs = regs
        self._clock = clock
        self._tell = tell
        self._link = link
        self._statistics = statistics
        self._emit = emit
        self._resumed: Callable[[], None] = _nothing
        self._until_ns = 0
        self._timer: Timer | None = None
        self.xoff_sent = False
        """Our partner was told to pause, and not yet to go on."""

        self._refresh: Timer | None = None
        regs.on_write(CTRL, self._ctrl_written)

    def on_resume(self, action: Callable[[], None]) -> None:
        """Call ``action`` whenever a pause has ended."""
        self._resumed = action

    def reset(self) -> None:
        """Forget both pauses; the partner is told nothing."""
        self.xoff_sent = False
        self._stop_refreshing()
        self._end_pause()

    # -- our transmitter is paused -----------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """No frame of the host's may begin now (STATUS.txoff)."""
        return self._timer is not None

    def received(self, frame: bytes) -> None:
        """Obey a pause frame: hold transmission for its quanta at the link's rate, or go on if they are 0."""
        if not self._link.full_duplex:
            return
        quanta = pause_quanta(frame)
        self._statistics.pause_received(xoff=quanta > 0)
        if self._tell.on:
            self._tell(PauseFrame(self._clock.now_ns(), False, quanta))
        if not quanta:
            self._end_pause()
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_at(self._clock.now_ns() + self._duration_ns(quanta), self._end_pause)
        self._link.pause(True)

    def _duration_ns(self, quanta: int) -> int:
        return quanta * _QUANTUM_BITS * 1000 // max(self._link.speed_mbps, 1)

    def _end_pause(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._link.pause(False)
            self._resumed()

    def _ctrl_written(self, _n: int, _old: int, new: int) -> None:
        if not new & CTRL.rfce.mask:
            self._end_pause()
        if not new & CTRL.tfce.mask:
            self.xoff_sent = False
            self._stop_refreshing()

    # -- our partner is paused ---------------------------------------------------------------------------

    def filled(self, level: int) -> None:
        """The packet buffer holds ``level`` bytes: send XOFF from FCRTH on, and XON below FCRTL if that has XONE."""
        regs = self._regs
        if not regs.peek(CTRL) & CTRL.tfce.mask or not self._link.up or not self._link.full_duplex:
            return
        high, low = regs.peek(FCRTH) & FCRTH.rth.mask, regs.peek(FCRTL)
        if not self.xoff_sent and high and level >= high:
            self.xoff_sent = True
            self._send(FCTTV.ttv.of(regs.peek(FCTTV)))
            self._refresh_later()
        elif self.xoff_sent and level < low & FCRTL.rtl.mask:
            self.xoff_sent = False
            self._stop_refreshing()
            if low & FCRTL.xone.mask:
                self._send(0)

    def _send(self, quanta: int) -> None:
        regs = self._regs
        destination = regs.peek(FCAL).to_bytes(4, "little") + regs.peek(FCAH).to_bytes(2, "little")
        station = regs.peek(RAL).to_bytes(4, "little") + RAH.address.of(regs.peek(RAH)).to_bytes(2, "little")
        self._statistics.pause_sent(xoff=quanta > 0)
        if self._tell.on:
            self._tell(PauseFrame(self._clock.now_ns(), True, quanta))
        self._emit(pause_frame(destination, station, FCT.value.of(regs.peek(FCT)), quanta))

    def _refresh_later(self) -> None:
        """While the buffer stays full, XOFF is repeated when only FCRTV of its FCTTV quanta are left; 0 is never."""
        left, whole = FCRTV.value.of(self._regs.peek(FCRTV)), FCTTV.ttv.of(self._regs.peek(FCTTV))
        if left and left < whole:
            self._refresh = self._clock.call_at(self._clock.now_ns() + self._duration_ns(whole - left), self._again)

    def _again(self) -> None:
        self._refresh = None
        if self._link.up:
            self._send(FCTTV.ttv.of(self._regs.peek(FCTTV)))
            self._refresh_later()

    @property
    def refreshing(self) -> bool:
        """XOFF will be repeated while the buffer stays full."""
        return self._refresh is not None

    def _stop_refreshing(self) -> None:
        if self._refresh is not None:
            self._refresh.cancel()
            self._refresh = None
