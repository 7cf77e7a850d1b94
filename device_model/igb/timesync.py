# SPDX-License-Identifier: BSD-3-Clause
"""The IEEE 1588 clock and the two time-stamp latches (82576 7.9, 8.16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.igb.spec.timesync import (
    RXSATRH,
    RXSATRL,
    RXSTMPH,
    RXSTMPL,
    SYSTIMH,
    SYSTIML,
    TIMINCA,
    TSYNCRXCFG,
    TSYNCRXCTL,
    TSYNCTXCTL,
    TXSTMPH,
    TXSTMPL,
)

if TYPE_CHECKING:
    from device_model.igb.faults import Faults
    from device_model.packet.parse import Parsed
    from device_model.ports import Clock
    from device_model.regfile import RegisterFile

_TICK_NS = 16
_MASK64 = (1 << 64) - 1
_PTP_ETHERTYPE = 0x88F7
_PTP_EVENT_PORT = 319
_TYPE_L2_V2, _TYPE_L4_V1, _TYPE_L2_L4_V2, _TYPE_ALL, _TYPE_EVENT_V2 = 0, 1, 2, 4, 5
_LAST_EVENT_MESSAGE = 3
_V1_CONTROL_OFFSET = 32
_V2_SEQUENCE_OFFSET = 30
_V2_SOURCE_OFFSET = 20


class Timesync:
    """SYSTIM counts by TIMINCA; a stamp stays latched until software reads its high half."""

    def __init__(self, regs: RegisterFile, clock: Clock, faults: Faults) -> None:
        """Attach the behaviour to ``regs``."""
        self._regs = regs
        self._clock = clock
        self._faults = faults
        self._base = 0
        self._since_ns = clock.now_ns()
        self._timinca = 0
        regs.on_read(SYSTIML, self._read_low)
        regs.on_write(SYSTIMH, lambda _n, _old, new: self._set(new << 32 | regs.peek(SYSTIML)))
        regs.on_write(TIMINCA, lambda _n, _old, new: self._new_increment(new))
        regs.on_read(TXSTMPH, lambda _n: self._free(TXSTMPH, TSYNCTXCTL))
        regs.on_read(RXSTMPH, lambda _n: self._free(RXSTMPH, TSYNCRXCTL))

    def reset(self) -> None:
        """Stop the clock at zero, as TIMINCA's reset value 0 asks."""
        self._timinca = 0
        self._set(0)

    def now(self) -> int:
        """Return SYSTIM, 64 bits."""
        period = TIMINCA.incperiod.of(self._timinca) or 1
        ticks = (self._clock.now_ns() - self._since_ns) // (_TICK_NS * period)
        return (self._base + ticks * TIMINCA.incvalue.of(self._timinca)) & _MASK64

    def transmitted(self) -> None:
        """A frame whose descriptor asked for a stamp leaves now."""
        control = self._regs.peek(TSYNCTXCTL)
        if self._faults.no_tx_timestamp_on or not control & TSYNCTXCTL.enable.mask or control & TSYNCTXCTL.valid.mask:
            return
        self._latch(TXSTMPL, TXSTMPH)
        self._regs.poke(TSYNCTXCTL, control | TSYNCTXCTL.valid.mask)

    def arrived(self, frame: bytes, parsed: Parsed) -> bool:
        """Stamp a PTP event message; return whether its descriptor must say so."""
        control = self._regs.peek(TSYNCRXCTL)
        if not control & TSYNCRXCTL.enable.mask or control & TSYNCRXCTL.valid.mask:
            return False
        message = _ptp_message(frame, parsed)
        if message is None or not self._wanted(message, TSYNCRXCTL.type.of(control), parsed):
            return False
        self._latch(RXSTMPL, RXSTMPH)
        source = message[_V2_SOURCE_OFFSET : _V2_SOURCE_OFFSET + 6].ljust(6, b"\0")
        sequence = message[_V2_SEQUENCE_OFFSET : _V2_SEQUENCE_OFFSET + 2].ljust(2, b"\0")
        self._regs.poke(RXSATRL, int.from_bytes(source[:4], "little"))
        self._regs.poke(RXSATRH, int.from_bytes(source[4:], "little") | int.from_bytes(sequence, "big") << 16)
        self._regs.poke(TSYNCRXCTL, control | TSYNCRXCTL.valid.mask)
        return True

    def _wanted(self, message: bytes, kind: int, parsed: Parsed) -> bool:
        config = self._regs.peek(TSYNCRXCFG)
        layer2 = parsed.ethertype == _PTP_ETHERTYPE
        if kind == _TYPE_ALL:
            return True
        if kind == _TYPE_EVENT_V2:
            return message[1] & 0xF == 2 and message[0] & 0xF <= _LAST_EVENT_MESSAGE
        if kind == _TYPE_L4_V1:
            control = message[_V1_CONTROL_OFFSET] if len(message) > _V1_CONTROL_OFFSET else None
            return not layer2 and message[1] & 0xF == 1 and control == TSYNCRXCFG.ctrl.of(config)
        if kind == _TYPE_L2_V2 and not layer2:
            return False
        return kind in (_TYPE_L2_V2, _TYPE_L2_L4_V2) and message[0] & 0xF == TSYNCRXCFG.msg_id.of(config)

    def _latch(self, low: type, high: type) -> None:
        stamp = self.now()
        self._regs.poke(low, stamp & 0xFFFF_FFFF)
        self._regs.poke(high, stamp >> 32)

    def _free(self, high: type, control: type) -> int:
        """Reading the high half frees the latch: bit 0 of the control register is VALID in both."""
        self._regs.poke(control, self._regs.peek(control) & ~1)
        return self._regs.peek(high)

    def _read_low(self, _n: int) -> int:
        now = self.now()
        self._regs.poke(SYSTIMH, now >> 32)
        return now & 0xFFFF_FFFF

    def _set(self, value: int) -> None:
        self._base = value
        self._since_ns = self._clock.now_ns()

    def _new_increment(self, timinca: int) -> None:
        self._set(self.now())
        self._timinca = timinca


def _ptp_message(frame: bytes, parsed: Parsed) -> bytes | None:
    """Return the PTP message in the frame, or None."""
    if parsed.ethertype == _PTP_ETHERTYPE:
        message = frame[parsed.l3_offset :]
    elif parsed.l4_protocol == 17 and _PTP_EVENT_PORT in (parsed.destination_port, parsed.source_port):
        message = frame[parsed.payload_offset :]
    else:
        return None
    return message if len(message) >= 2 else None
