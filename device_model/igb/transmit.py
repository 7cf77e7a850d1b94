# SPDX-License-Identifier: BSD-3-Clause
"""The transmit path: doorbell, fetch, assemble, offload, depart at the link's rate, write back.

82576 data sheet 7.2. The doorbell only schedules work: frames leave one after another, each after the
time that the link's rate gives it, so that the card truly holds bytes in flight (QEMU's own igb sends
inside the doorbell write and never does).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from device_model import events
from device_model.igb.note import Fate, Note
from device_model.igb.offload import Offload, finish_advanced, finish_legacy
from device_model.igb.spec.descriptors import TxContext, TxData
from device_model.igb.spec.general import CTRL, CTRL_EXT, VET
from device_model.igb.spec.transmit import TCTL, TDBAH, TDBAL, TDH, TDLEN, TDT, TDWBAH, TDWBAL, TXDCTL
from device_model.igb.tx_queue import TxPacket, TxQueue
from device_model.ports import MemoryFault
from device_model.ring import Ring

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_model.events import Tell
    from device_model.igb.faults import Faults
    from device_model.igb.flow_control import FlowControl
    from device_model.igb.interrupts import InterruptBlock
    from device_model.igb.link import Link
    from device_model.igb.statistics import Statistics
    from device_model.igb.timesync import Timesync
    from device_model.ports import Clock, HostMemory, Timer
    from device_model.regfile import RegisterFile

_SLICE = 64
"""Frames sent before the event loop gets its turn."""
_MAX_PACKET = 256 * 1024
"""More than any offload needs; a longer chain is a driver's nonsense and is dropped."""
_WIRE_OVERHEAD = 24
"""Preamble, frame check sequence and inter-frame gap, in bytes (IEEE 802.3 4.2.3.2)."""
_STATUS_DWORD = 12
"""Where DD lies in a transmit descriptor: bit 0 of the dword at this offset."""
_DD = 1
_CONTEXT = 2
"""DTYP of a context descriptor."""
_EOP = TxData.eop.mask
_RS = TxData.rs.mask
_DEXT = TxData.dext.mask
_DTALEN = TxData.dtalen.mask


class Transmit:
    """The sixteen transmit queues and the one port that they share."""

    def __init__(
        self,
        regs: RegisterFile,
        memory: HostMemory,
        clock: Clock,
        tell: Tell,
        faults: Faults,
        interrupts: InterruptBlock,
        link: Link,
        statistics: Statistics,
        timesync: Timesync,
        flow_control: FlowControl,
        emit: Callable[[bytes], None],
        loop: Callable[[bytes], None],
        rate_mbps: int | None,
    ) -> None:
        """``emit`` puts a frame on the wire, ``loop`` into the card's own receiver."""
        self._regs = regs
        self._memory = memory
        self._clock = clock
        self._tell = tell
        self._faults = faults
        self._interrupts = interrupts
        self._link = link
        self._statistics = statistics
        self._timesync = timesync
        self._flow_control = flow_control
        self._emit = emit
        self._loop = loop
        self.rate_mbps = rate_mbps
        self.queues = [TxQueue(Ring(memory, clock, tell, "tx", n)) for n in range(TDT.count)]
        self._ready: deque[int] = deque()
        self._offload: Offload | None = None
        self._departing: TxPacket | None = None
        self.note = Note()
        """What the frame is that leaves just now."""

        self.sent, self.sent_bytes = [0] * TDT.count, [0] * TDT.count
        """Frames and bytes by queue, since the card was made."""

        self._departs_ns = 0
        self._free_ns = 0
        self._timer: Timer | None = None
        self._finished: dict[int, int] = {}
        regs.on_write(TDBAL, self._ring_moved)
        regs.on_write(TDBAH, self._ring_moved)
        regs.on_write(TDLEN, self._ring_moved)
        regs.on_read(TDH, lambda n: self.queues[n].ring.head)
        regs.on_write(TDT, self._doorbell)
        regs.on_write(TXDCTL, self._control)
        regs.on_write(TCTL, self._enable)
        for reg in (VET, CTRL, CTRL_EXT, TCTL):
            regs.on_write(reg, self._forget_offload)

    # -- registers ---------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Drop all work; nothing is sent, written back or raised for it afterwards."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._departing = None
        self._departs_ns = self._free_ns = 0
        self._finished.clear()
        self._ready.clear()
        self._offload = None
        for n, queue in enumerate(self.queues):
            queue.ring.stop()
            queue.ring.enabled = bool(self._regs.peek(TXDCTL, n) & TXDCTL.enable.mask)
            queue.forget()
            self._ring_moved(n, 0, 0)

    def kick(self) -> None:
        """Look for work soon: after a doorbell, or when the link came up."""
        if self._timer is None:
            self._schedule(self._clock.now_ns())

    def _schedule(self, when_ns: int) -> None:
        self._timer = self._clock.call_at(when_ns, self._pump)

    def _ring_moved(self, n: int, _old: int, _new: int) -> None:
        ring = self.queues[n].ring
        ring.base = self._regs.peek(TDBAH, n) << 32 | self._regs.peek(TDBAL, n)
        ring.count = self._regs.peek(TDLEN, n) // 16

    def _doorbell(self, n: int, old: int, new: int) -> None:
        ring = self.queues[n].ring
        if not ring.enabled:
            self._regs.poke(TDT, old, n)
            return
        ring.set_tail(new)
        if n not in self._ready:
            self._ready.append(n)
        if self._faults.prompt_doorbells_on:
            self._at_once()
        else:
            self.kick()

    def _at_once(self) -> None:
        """Work now: whoever rings waits for it (F24)."""
        if self._timer is not None:
            self._timer.cancel()
        self._pump()

    def _control(self, n: int, old: int, new: int) -> None:
        queue, enable = self.queues[n], TXDCTL.enable.mask
        if new & enable and not old & enable:
            queue.ring.start()
            self._regs.poke(TDT, 0, n)
        elif old & enable and not new & enable:
            queue.ring.stop()
            queue.forget()
            if self._departing is not None and self._departing.queue == n:
                self._departing = None
        elif new & TXDCTL.swflsh.mask:
            self._write_back(n)

    def _enable(self, _n: int, old: int, new: int) -> None:
        if new & TCTL.en.mask:
            self.kick()
        elif old & TCTL.en.mask:
            self._departing = None
            for queue in self.queues:
                queue.done.clear()
                queue.withheld.clear()

    # -- the engine --------------------------------------------------------------------------------------

    def _rate_bps(self) -> int:
        """Bits per second at which frames leave; 0 is unlimited."""
        mbps = self._link.speed_mbps if self.rate_mbps is None else self.rate_mbps
        return mbps * 1_000_000

    def _pump(self) -> None:
        """Let frames depart that are due; stop after a slice, when the link is busy, or when nothing is left."""
        self._timer = None
        if not self._regs.peek(TCTL) & TCTL.en.mask or not (self._link.up or self._link.loopback):
            return
        now, rate = self._clock.now_ns(), self._rate_bps()
        for _ in range(_SLICE):
            packet = self._departing
            if packet is None or not packet.begun:
                packet = self._begin(now, rate)
                if packet is None:
                    self._idle()
                    return
            if self._departs_ns > now:
                self._raise()
                self._schedule(self._departs_ns)
                return
            self._depart(packet)
        self._raise()
        self._schedule(now)

    def _begin(self, now: int, rate: int) -> TxPacket | None:
        """Let the next frame begin; None while flow control forbids it or there is none."""
        if self._flow_control.paused:
            return None
        packet = self._departing = self._departing or self._next_packet()
        if packet is not None:
            if self._departs_ns == 0:
                self._free_ns = max(self._free_ns, now)
            self._set_departure(packet, rate)
            packet.begun = True
        return packet

    def _set_departure(self, packet: TxPacket, rate: int) -> None:
        length = len(packet.frames[0]) + _WIRE_OVERHEAD if packet.frames else 0
        self._departs_ns = self._free_ns + (length * 8_000_000_000 // rate if rate else 0)

    def _depart(self, packet: TxPacket) -> None:
        """One frame has left; after the packet's last one its slots are reported."""
        self._free_ns = self._departs_ns
        if packet.frames:
            self._send(packet, packet.frames.popleft())
        if packet.frames:
            packet.begun = False
            return
        self._departing = None
        queue = self.queues[packet.queue]
        queue.ring.head = queue.ring.after(packet.last)
        if packet.segmented:
            self._statistics.segmented()
        if packet.queue in self._faults.withheld_queues:
            queue.withheld.append(packet.report)
        else:
            self._report(packet.queue, packet.report)

    def _idle(self) -> None:
        """Nothing may be sent, or nothing is left to send: report what WTHRESH kept back."""
        self._departs_ns = 0
        for n, queue in enumerate(self.queues):
            if queue.done:
                self._write_back(n)
        self._raise()

    def _next_packet(self) -> TxPacket | None:
        """Take the next whole packet, queue by queue in turn; a queue with nothing left waits for its doorbell."""
        while self._ready:
            n = self._ready.popleft()
            packet = self._assemble(n, self.queues[n])
            if packet is not None:
                self._ready.append(n)
                return packet
        return None

    def _assemble(self, n: int, queue: TxQueue) -> TxPacket | None:
        """Take descriptors up to the end of a packet; None when the driver has not handed over the rest."""
        while (slot := queue.ring.take()) is not None:
            index, word0, word1 = slot
            if queue.slot is None:
                queue.slot = index
            if word1 & _DEXT and TxData.dtyp.of(word1) == _CONTEXT:
                queue.contexts[TxContext.idx.of(word1) & 1] = (word0, word1)
                if queue.first is None and queue.ring.head == index:
                    queue.ring.head = queue.ring.after(index)
                continue
            if queue.first is None:
                queue.first = (word0, word1)
            self._gather(n, queue, word0, word1)
            if word1 & _RS:
                queue.report.append(index)
            if word1 & _EOP:
                return self._finish(n, queue, index)
        return None

    def _gather(self, n: int, queue: TxQueue, iova: int, word1: int) -> None:
        """Read one buffer of the packet."""
        size = word1 & _DTALEN
        if queue.broken or not size:
            return
        if len(queue.data) + size > _MAX_PACKET:
            queue.broken = True
            queue.ring.nonsense(f"a packet on {queue.ring.name} must not exceed {_MAX_PACKET} bytes; dropped")
            return
        if self._tell.two_sided:
            self._tell.other_side(events.DmaRead(self._clock.now_ns(), iova, size, "tx-payload", n))
        try:
            queue.data += self._memory.read(iova, size)
        except MemoryFault as fault:
            queue.broken = True
            queue.ring.nonsense(f"a buffer of {queue.ring.name} cannot be read, the packet is dropped: {fault}")
            return
        if self._tell.on:
            self._tell(events.DmaRead(self._clock.now_ns(), iova, size, "tx-payload", n))

    def _forget_offload(self, _n: int, _old: int, _new: int) -> None:
        self._offload = None

    def _finish(self, n: int, queue: TxQueue, index: int) -> TxPacket:
        first = queue.first or (0, 0)
        frames: list[bytes] = []
        segmented = bool(first[1] & _DEXT and TxData.tse.of(first[1]))
        if not queue.broken:
            if self._offload is None:
                self._offload = Offload.of(self._regs)
            offload = self._offload
            if first[1] & _DEXT:
                context = queue.contexts[TxData.idx.of(first[1]) & 1]
                frames = finish_advanced(queue.data, first[1], context, offload)
            else:
                frames = finish_legacy(queue.data, first[1], offload)
        stamp = bool(first[1] & _DEXT and TxData.mac_ts.of(first[1]))
        note = Note(Fate.SENT, n, queue.slot, index, frame=0, frames=len(frames))
        packet = TxPacket(n, deque(frames), index, queue.report, segmented and bool(frames), stamp, note)
        queue.begin()
        return packet

    def _send(self, packet: TxPacket, frame: bytes) -> None:
        packet.note.frame += 1
        if self._faults.transmit_nothing_on:
            return
        looped = self._link.loopback
        self._statistics.transmitted(frame)
        self.sent[packet.queue] += 1
        self.sent_bytes[packet.queue] += len(frame)
        if packet.timestamp:
            self._timesync.transmitted()
            packet.timestamp = False
        if self._tell.on:
            self._tell(events.FrameEmitted(self._clock.now_ns(), packet.queue, frame, looped))
        if looped:
            self._loop(self._faults.looped(frame))
        else:
            self.note = packet.note
            self._emit(frame)
            self.note = Note()

    # -- write-back --------------------------------------------------------------------------------------

    def release(self, n: int, count: int | None) -> int:
        """Write back the oldest ``count`` withheld packets of queue ``n`` with one interrupt; return how many."""
        queue = self.queues[n]
        released = 0
        while queue.withheld and (count is None or released < count):
            queue.done.extend(queue.withheld.popleft())
            released += 1
        self._write_back(n)
        self._raise()
        return released

    def complete_now(self, n: int, index: int) -> None:
        """Set DD in slot ``index``, whatever it holds, and interrupt."""
        if self.queues[n].ring.count:
            self.queues[n].done.append(index % self.queues[n].ring.count)
            self._write_back(n)
            self._raise()

    def _report(self, n: int, slots: list[int]) -> None:
        """Queue ``slots`` for write-back; WTHRESH says how many may gather (8.12.14)."""
        if slots:
            done = self.queues[n].done
            done.extend(slots)
            if len(done) >= TXDCTL.wthresh.of(self._regs.peek(TXDCTL, n)):
                self._write_back(n)

    def _write_back(self, n: int) -> None:
        """Report finished descriptors: the head by itself where TDWBAL asks for it, else DD in each."""
        queue = self.queues[n]
        if not queue.done:
            return
        slots, queue.done = queue.done, []
        now, ring, written = self._clock.now_ns(), queue.ring, len(slots)
        try:
            low = self._regs.peek(TDWBAL, n)
            if low & TDWBAL.head_wb_en.mask:
                iova = self._regs.peek(TDWBAH, n) << 32 | low & ~0x3
                self._about_to_write(now, iova, "tx-head", n)
                self._memory.store32(iova, ring.head)
                if self._tell.on:
                    self._tell(events.DmaWrite(now, iova, 4, "tx-head", n))
            else:
                for index in slots:
                    iova = ring.address(index) + _STATUS_DWORD
                    self._about_to_write(now, iova, "tx-write-back", n)
                    self._memory.store32(iova, _DD)
                    if self._tell.on:
                        self._tell(events.DmaWrite(now, iova, 4, "tx-write-back", n))
                        self._tell(events.TxWriteBack(now, n, index))
        except MemoryFault as fault:
            ring.halt(f"{ring.name} cannot be written back, the queue halts: {fault}")
        self._finished[n] = self._finished.get(n, 0) + written

    def _about_to_write(self, now: int, iova: int, purpose: str, n: int) -> None:
        if self._tell.two_sided:
            self._tell.other_side(events.DmaWrite(now, iova, 4, purpose, n))

    def _raise(self) -> None:
        """Raise one cause for each queue that reported something, the lowest first."""
        finished, self._finished = sorted(self._finished.items()), {}
        for queue, many in finished:
            self._interrupts.raise_transmit(queue, many)
