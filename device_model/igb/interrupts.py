# SPDX-License-Identifier: BSD-3-Clause
"""From cause to message: both interrupt layers, automatic masking, and moderation.

82576 data sheet 7.3 and 8.8. Mode A (MSI-X enabled and GPIE.Multiple_MSIX set) gives every IVAR entry
a vector of its own; mode B sends any unmasked ICR cause as the one message or line that there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model import events
from device_model.igb.spec.interrupts import (
    EIAC,
    EIAM,
    EICR,
    EICS,
    EIMC,
    EIMS,
    EITR,
    GPIE,
    IAM,
    ICR,
    ICS,
    IMC,
    IMS,
    IVAR,
    IVAR_MISC,
)
from device_model.igb.spec.receive import RDLEN
from device_model.igb.spec.transmit import TDLEN
from device_model.ports import InterruptMode

if TYPE_CHECKING:
    from device_model.events import Tell
    from device_model.igb.faults import Faults
    from device_model.ports import Clock, Interrupts, Timer
    from device_model.regfile import RegisterFile

TXDW = 1 << 0
"""ICR: transmit descriptor written back."""
LSC = 1 << 2
"""ICR: link status change."""
RXDMT0 = 1 << 4
"""ICR: receive descriptors below the minimum threshold."""
RXO = 1 << 6
"""ICR: the packet buffer overflowed."""
RXDW = 1 << 7
"""ICR: receive descriptor written back."""
INT_ASSERTED = 1 << 31
PACE = 8
"""So many times as long as an answer takes until the next report of what was sent, with `InterruptBlock.paced`."""
PACE_MOST_US = 500
_SLOT = 16
"""Bytes of a descriptor."""

_VALID = 0x80
_VECTOR = 0x1F
_TCP_TIMER = ICR.tcp_timer.mask


class InterruptBlock:
    """The interrupt registers and what follows from them."""

    def __init__(self, regs: RegisterFile, port: Interrupts, clock: Clock, tell: Tell, faults: Faults) -> None:
        """Attach the behaviour to ``regs``."""
        self._regs = regs
        self._port = port
        self._clock = clock
        self._tell = tell
        self._faults = faults
        self._quiet_until = [0] * EITR.count
        self._timers: list[Timer | None] = [None] * EITR.count
        self._owed = False
        self._line = False
        self.least_gap_us = 0
        """Time between two messages of a moderated vector, if it is more than EITR asks for.

        It ends early when half a ring waits behind the message.
        """

        self.paced = False
        """Messages of a moderated vector come at the guest's own pace: seldom enough that they cost it an eighth of its
        time, PACE_MOST_US apart at most, and at once for what was received.
        """

        self._asked_until = [0] * EITR.count
        self.sent = [0] * EITR.count
        """Messages by vector, since the card was made."""

        self._unseen = [0] * EITR.count
        self._sent_ns = [0] * EITR.count
        self._answer_ns = [0] * EITR.count

        regs.on_read(ICR, self._read_icr)
        regs.on_write(ICR, self._write_icr)
        regs.on_read(ICS, lambda _n: self._icr_as_read())
        regs.on_write(ICS, self._write_ics)
        regs.on_write(IMS, lambda _n, old, new: self._unmask_causes(new & ~old, new))
        regs.on_read(IMC, lambda _n: regs.peek(IMS))
        regs.on_write(IMC, self._write_imc)
        regs.on_read(EICS, lambda _n: regs.peek(EICR))
        regs.on_write(EICS, self._write_eics)
        regs.on_write(EIMS, self._write_eims)
        regs.on_read(EIMC, lambda _n: regs.peek(EIMS))
        regs.on_write(EIMC, self._write_eimc)
        regs.on_read(EICR, self._read_eicr)
        regs.on_read(EITR, self._read_eitr)
        regs.on_write(EITR, self._write_eitr)

    # -- causes, raised by the other blocks ------------------------------------------------------------

    def raise_receive(self, queue: int) -> None:
        """A descriptor of receive queue ``queue`` was written back."""
        shift = 0 if queue < IVAR.count else 16
        entry = (self._regs.peek(IVAR, queue % IVAR.count) >> shift) & 0xFF
        self._hurry(entry, 1, self._regs.peek(RDLEN, queue), at_once=self.paced)
        self._raise_queue(entry, RXDW, "rx", queue)

    def raise_transmit(self, queue: int, many: int = 1) -> None:
        """``many`` descriptors of transmit queue ``queue`` were written back."""
        shift = 8 if queue < IVAR.count else 24
        entry = (self._regs.peek(IVAR, queue % IVAR.count) >> shift) & 0xFF
        self._hurry(entry, many, self._regs.peek(TDLEN, queue), at_once=False)
        self._raise_queue(entry, TXDW, "tx", queue)

    def _hurry(self, entry: int, many: int, ring_bytes: int, *, at_once: bool) -> None:
        """End what was added to EITR's interval if half of a ring of ``ring_bytes`` waits behind it, or ``at_once``."""
        vector = entry & _VECTOR
        if not (self.paced or self.least_gap_us) or not self._multiple() or not entry & _VALID or vector >= EITR.count:
            return
        self._unseen[vector] += many
        due = at_once or self._unseen[vector] * _SLOT * 2 >= ring_bytes
        if due and self._quiet_until[vector] > self._asked_until[vector]:
            self._quiet_until[vector] = self._asked_until[vector]
            timer = self._timers[vector]
            if timer is not None:
                timer.cancel()
                self._timers[vector] = self._clock.call_at(
                    self._asked_until[vector], lambda: self._moderation_over(vector)
                )

    def raise_causes(self, causes: int) -> None:
        """Set bits of ICR (link, overrun, software …)."""
        regs = self._regs
        old = regs.peek(ICR)
        regs.poke(ICR, old | causes)
        self._unmask_causes(causes & ~old, regs.peek(IMS), "event")

    def reset(self) -> None:
        """Forget pending work after the registers were reset: timers, owed messages, the line."""
        for vector, timer in enumerate(self._timers):
            if timer is not None:
                timer.cancel()
            self._timers[vector] = None
            self._quiet_until[vector] = self._asked_until[vector] = self._unseen[vector] = 0
            self._sent_ns[vector] = self._answer_ns[vector] = 0
        self._owed = False
        self._drive_line(asserted=False)

    def mode_changed(self) -> None:
        """Configuration space selects another scheme: drop the line if it is not ours any more, then look again."""
        if self._port.mode is not InterruptMode.INTX:
            self._line = False
        if not self._multiple():
            self._legacy("event")

    # -- what faults ask for ---------------------------------------------------------------------------

    def deliver_pending(self, vector: int) -> None:
        """Try again to send the message of ``vector``."""
        if self._multiple():
            self._deliver(vector, "event")
        else:
            self._legacy("event")

    def send_spurious(self, vector: int) -> None:
        """Send a message that nothing caused."""
        self._send(vector, "fault")

    # -- mode A ------------------------------------------------------------------------------------------

    def _multiple(self) -> bool:
        return bool(self._regs.peek(GPIE) & GPIE.multiple_msix.mask) and self._port.mode is InterruptMode.MSIX

    def _raise_queue(self, entry: int, cause: int, kind: str, queue: int) -> None:
        regs = self._regs
        if self._multiple():
            regs.poke(ICR, regs.peek(ICR) | cause)
            if entry & _VALID:
                self._event(entry & _VECTOR, kind, queue)
            return
        if entry & _VALID:
            regs.poke(EICR, regs.peek(EICR) | 1 << (entry & 0xF))
        self.raise_causes(cause)

    def _event(self, vector: int, cause: str, queue: int | None = None) -> None:
        if vector >= EITR.count:
            return
        if self._tell.on:
            name = cause if queue is None else f"{cause}-{queue}"
            self._tell(events.CauseRaised(self._clock.now_ns(), vector, name))
        self._regs.poke(EICR, self._regs.peek(EICR) | 1 << vector)
        self._deliver(vector, "event")

    def _deliver(self, vector: int, why: str) -> None:
        """Send message ``vector`` if it is pending, unmasked and not moderated (7.3.4, EITR)."""
        regs, bit = self._regs, 1 << vector
        if not regs.peek(EICR) & bit:
            return
        if not regs.peek(EIMS) & bit:
            self._withheld(vector, "masked")
            return
        if vector in self._faults.held_vectors:
            self._withheld(vector, "held")
            return
        if self._throttled(vector):
            return
        if self._fault_drops(self._faults.drop_before_mask, vector):
            regs.poke(EICR, regs.peek(EICR) & ~bit)
            return
        if regs.peek(EIAC) & bit:
            regs.poke(EICR, regs.peek(EICR) & ~bit)
        auto_mask = regs.peek(GPIE) & GPIE.eiame.mask and regs.peek(EIAM) & bit
        if auto_mask and not self._faults.no_auto_mask_on:
            regs.poke(EIMS, regs.peek(EIMS) & ~bit)
            if self._tell.on:
                self._tell(events.AutoMasked(self._clock.now_ns(), vector))
        self._start_moderation(vector)
        if self._fault_drops(self._faults.drop_after_mask, vector):
            return
        self._send(vector, why)

    def _send(self, vector: int, why: str) -> None:
        for _ in range(1 + self._faults.duplicates.pop(vector, 0)):
            mode = self._port.mode.value
            if vector < len(self.sent):
                self.sent[vector] += 1
            if self._tell.on:
                self._tell(events.InterruptSent(self._clock.now_ns(), vector, mode, why))
            self._port.send(vector)
            if self._tell.two_sided:
                self._tell.other_side(events.InterruptSent(self._clock.now_ns(), vector, mode, why))

    def _fault_drops(self, drops: dict[int, int], vector: int) -> bool:
        left = drops.get(vector, 0)
        if not left:
            return False
        if left > 1:
            drops[vector] = left - 1
        else:
            del drops[vector]
        self._withheld(vector, "dropped")
        return True

    def _withheld(self, vector: int, why: str) -> None:
        if self._tell.on:
            self._tell(events.InterruptWithheld(self._clock.now_ns(), vector, why))

    # -- moderation (EITR) -------------------------------------------------------------------------------

    def _throttled(self, vector: int) -> bool:
        until = self._quiet_until[vector]
        if not until or self._faults.ignore_eitr_on or self._clock.now_ns() >= until:
            return False
        if self._timers[vector] is None:
            self._timers[vector] = self._clock.call_at(until, lambda: self._moderation_over(vector))
        self._withheld(vector, "throttled")
        return True

    def _moderation_over(self, vector: int) -> None:
        self._timers[vector] = None
        if self._multiple():
            self._deliver(vector, "timer")
        else:
            self._legacy("timer")

    def _start_moderation(self, vector: int) -> None:
        interval_us = EITR.interval.of(self._regs.peek(EITR, vector))
        self._asked_until[vector] = self._clock.now_ns() + interval_us * 1000
        self._unseen[vector] = 0
        if interval_us:
            interval_us = max(interval_us, self._least_gap_us(vector))
        self._quiet_until[vector] = self._clock.now_ns() + interval_us * 1000 if interval_us else 0
        self._sent_ns[vector] = self._clock.now_ns()

    def _least_gap_us(self, vector: int) -> int:
        """Return how many microseconds to leave at least after a message, where EITR asks for any."""
        pace_us = min(self._answer_ns[vector] * PACE // 1000, PACE_MOST_US) if self.paced else 0
        return max(pace_us, self.least_gap_us)

    def _answered(self, vector: int) -> None:
        """The guest unmasks a vector: remember how long its message kept it busy, the newer times counting more."""
        sent_ns, self._sent_ns[vector] = self._sent_ns[vector], 0
        if sent_ns:
            change = self._clock.now_ns() - sent_ns - self._answer_ns[vector]
            self._answer_ns[vector] += change // 4 if change >= 0 else -(-change // 4)

    def _read_eitr(self, n: int) -> int:
        left_us = max(0, self._quiet_until[n] - self._clock.now_ns()) // 1000
        counter = min(left_us >> 2, EITR.counter.limit)
        return EITR.counter.put(self._regs.peek(EITR, n) & ~EITR.cnt_ingr.mask, counter)

    def _write_eitr(self, n: int, _old: int, new: int) -> None:
        if new & EITR.cnt_ingr.mask:
            return
        counter_us = EITR.counter.of(new) << 2
        self._quiet_until[n] = self._asked_until[n] = self._clock.now_ns() + counter_us * 1000
        timer = self._timers[n]
        if timer is not None:
            timer.cancel()
            self._timers[n] = None
        self.deliver_pending(n)

    # -- mode B ------------------------------------------------------------------------------------------

    def _legacy(self, why: str) -> None:
        """One interrupt for all of ICR & IMS: MSI-X message 0, the MSI message, or the INTx level."""
        pending = self._regs.peek(ICR) & self._regs.peek(IMS) & ~INT_ASSERTED
        if not pending:
            self._owed = False
            self._drive_line(asserted=False)
            return
        line = self._port.mode is InterruptMode.INTX
        if (line and self._line) or not (line or self._owed):
            return
        if 0 in self._faults.held_vectors:
            self._withheld(0, "held")
            return
        if self._throttled(0):
            return
        self._owed = False
        self._start_moderation(0)
        if self._fault_drops(self._faults.drop_before_mask, 0):
            return
        if not line:
            self._send(0, why)
            return
        self.sent[0] += 1
        if self._tell.on:
            self._tell(events.InterruptSent(self._clock.now_ns(), 0, "intx", why))
        self._drive_line(asserted=True)
        if self._tell.two_sided:
            self._tell.other_side(events.InterruptSent(self._clock.now_ns(), 0, "intx", why))

    def _drive_line(self, *, asserted: bool) -> None:
        if asserted != self._line:
            self._line = asserted
            self._port.set_intx(asserted)

    # -- the legacy registers ----------------------------------------------------------------------------

    def _unmask_causes(self, gained: int, mask: int, why: str = "unmask") -> None:
        """Causes ``gained`` are new or newly unmasked; those that stand in ICR and ``mask`` interrupt."""
        pending = self._regs.peek(ICR) & mask & gained
        if self._multiple():
            entries = self._regs.peek(IVAR_MISC)
            if pending & _TCP_TIMER and entries & _VALID:
                self._event(entries & _VECTOR, "tcp-timer")
            if pending & ~_TCP_TIMER and entries >> 8 & _VALID:
                self._event(entries >> 8 & _VECTOR, "other")
        elif pending:
            self._owed = True
            self._legacy(why)

    def _icr_as_read(self) -> int:
        icr = self._regs.peek(ICR) & ~INT_ASSERTED
        return icr | INT_ASSERTED if not self._multiple() and icr & self._regs.peek(IMS) else icr

    def _acknowledge(self, cleared: int) -> None:
        regs = self._regs
        asserted = regs.peek(ICR) & regs.peek(IMS) & ~INT_ASSERTED
        regs.poke(ICR, regs.peek(ICR) & ~cleared)
        if regs.peek(GPIE) & GPIE.nsicr.mask or asserted:
            regs.poke(IMS, regs.peek(IMS) & ~regs.peek(IAM))
        if self._multiple():
            self._drop_other_summary()
        else:
            self._legacy("event")

    def _drop_other_summary(self) -> None:
        """EICR's "other" bit is the summary of ICR & IMS: it falls with them."""
        regs = self._regs
        entry = (regs.peek(IVAR_MISC) >> 8) & 0xFF
        if entry & _VALID and not regs.peek(ICR) & regs.peek(IMS):
            regs.poke(EICR, regs.peek(EICR) & ~(1 << (entry & _VECTOR)))

    def _read_icr(self, _n: int) -> int:
        regs = self._regs
        value = self._icr_as_read()
        really_pending = regs.peek(ICR) & regs.peek(IMS)
        if regs.peek(GPIE) & GPIE.nsicr.mask or not regs.peek(IMS) or really_pending:
            self._acknowledge(0xFFFF_FFFF)
        return value

    def _write_icr(self, _n: int, old: int, new: int) -> None:
        cleared = old & ~new
        self._regs.poke(ICR, old)
        self._acknowledge(cleared)

    def _write_ics(self, _n: int, _old: int, new: int) -> None:
        if not self._faults.ignore_eics_on:
            self.raise_causes(new & ~INT_ASSERTED)

    def _write_imc(self, _n: int, _old: int, new: int) -> None:
        self._regs.poke(IMS, self._regs.peek(IMS) & ~new)
        if self._multiple():
            self._drop_other_summary()
        else:
            self._legacy("event")

    # -- the extended registers --------------------------------------------------------------------------

    def _write_eics(self, _n: int, _old: int, new: int) -> None:
        if self._faults.ignore_eics_on:
            return
        for vector in _bits(new):
            if self._multiple():
                self._event(vector, "software")
            else:
                self._regs.poke(EICR, self._regs.peek(EICR) | 1 << vector)

    def _write_eims(self, _n: int, old: int, new: int) -> None:
        if self._multiple():
            fired = self._regs.peek(EICR)
            for vector in _bits(new & ~old):
                if vector < EITR.count:
                    self._answered(vector)
                    if fired >> vector & 1:
                        self._deliver(vector, "unmask")

    def _write_eimc(self, _n: int, _old: int, new: int) -> None:
        self._regs.poke(EIMS, self._regs.peek(EIMS) & ~new)

    def _read_eicr(self, _n: int) -> int:
        value = self._regs.peek(EICR)
        if not self._multiple():
            self._regs.poke(EICR, 0)
        return value


def _bits(value: int) -> list[int]:
    return [n for n in range(value.bit_length()) if value >> n & 1]
