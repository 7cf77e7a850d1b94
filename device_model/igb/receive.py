# SPDX-License-Identifier: BSD-3-Clause
"""The receive path: filter, steer, store, write back, interrupt (82576 7.1).

Order matters to Linux igb, which takes a descriptor as complete when its length is not zero: payload
first, then the first quadword, then status, length and tag in one aligned 64-bit store, then the
interrupt (Linux igb_clean_rx_irq).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from device_model import events
from device_model.igb.filters import Filters, Steering
from device_model.igb.interrupts import RXDMT0, RXO
from device_model.igb.note import Fate, Note
from device_model.igb.rx_status import legacy_word, packet_type, write_back_status
from device_model.igb.spec.descriptors import RxWriteback
from device_model.igb.spec.general import CTRL, RXPBS
from device_model.igb.spec.receive import (
    RCTL,
    RDBAH,
    RDBAL,
    RDH,
    RDLEN,
    RDT,
    RXCSUM,
    RXDCTL,
    SRRCTL,
)
from device_model.packet import vlan
from device_model.packet.parse import parse
from device_model.ports import MemoryFault
from device_model.ring import Ring

if TYPE_CHECKING:
    from device_model.events import Tell
    from device_model.igb.faults import Faults
    from device_model.igb.flow_control import FlowControl
    from device_model.igb.interrupts import InterruptBlock
    from device_model.igb.link import Link
    from device_model.igb.statistics import Statistics
    from device_model.igb.timesync import Timesync
    from device_model.packet.parse import Parsed
    from device_model.ports import Clock, HostMemory
    from device_model.regfile import RegisterFile

_SHORTEST = 60
_HEADER = 14
_LEGACY = 0
_BSIZE_BYTES = (2048, 1024, 512, 256)
"""RCTL.BSIZE, used where SRRCTL.BSIZEPACKET is 0."""
_LENGTH_MASK = 0xFFFF << 32
_DD, _EOP, _VP = RxWriteback.dd.mask, RxWriteback.eop.mask, RxWriteback.vp.mask
_VEXT = RxWriteback.ipidv.mask
"""With CTRL_EXT.ext_vlan this bit says that there was an outer tag (7.1.5.2)."""

_PCSD = RXCSUM.pcsd.mask


class _Settings(NamedTuple):
    """What SRRCTL and RCTL say of one queue's buffers."""

    buffer_size: int
    drop: bool
    legacy: bool
    low: int


class Receive:
    """The sixteen receive queues behind one packet buffer."""

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
    ) -> None:
        """Attach the behaviour to ``regs``."""
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
        self.filters = Filters(regs)
        self.rings = [Ring(memory, clock, tell, "rx", n) for n in range(RDT.count)]
        self._fifo: deque[tuple[bytes, Steering, bool]] = deque()
        self._fifo_bytes = 0
        self.note = Note()
        """What became of the frame that arrived last."""

        self.delivered, self.delivered_bytes = [0] * RDT.count, [0] * RDT.count
        """Frames and bytes by queue, since the card was made."""

        self.dropped: dict[str, int] = {}
        """Frames by reason."""

        self._unfinished: dict[int, list[tuple[int, int]]] = {}
        self._last: dict[int, tuple[int, int, int]] = {}
        self._settings: dict[int, _Settings] = {}
        regs.on_write(RDBAL, self._ring_moved)
        regs.on_write(RDBAH, self._ring_moved)
        regs.on_write(RDLEN, self._ring_moved)
        regs.on_read(RDH, lambda n: self.rings[n].head)
        regs.on_write(RDT, self._doorbell)
        regs.on_write(RXDCTL, self._control)
        regs.on_write(SRRCTL, self._forget_settings)
        regs.on_write(RCTL, self._enable)

    # -- registers ---------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Drop all frames and forget all rings."""
        self._drop_waiting()
        self._unfinished.clear()
        self._last.clear()
        self._settings.clear()
        self.filters.invalidate()
        for n, ring in enumerate(self.rings):
            ring.stop()
            ring.enabled = bool(self._regs.peek(RXDCTL, n) & RXDCTL.enable.mask)
            self._ring_moved(n, 0, 0)

    def _ring_moved(self, n: int, _old: int, _new: int) -> None:
        ring = self.rings[n]
        ring.base = self._regs.peek(RDBAH, n) << 32 | self._regs.peek(RDBAL, n)
        ring.count = self._regs.peek(RDLEN, n) // 16

    def _doorbell(self, n: int, old: int, new: int) -> None:
        ring = self.rings[n]
        if not ring.enabled:
            self._regs.poke(RDT, old, n)
            return
        ring.set_tail(new)
        if self._fifo:
            self._drain()

    def _control(self, n: int, old: int, new: int) -> None:
        enable = RXDCTL.enable.mask
        if new & enable and not old & enable:
            self.rings[n].start()
            self._regs.poke(RDT, 0, n)
        elif old & enable and not new & enable:
            self.rings[n].stop()
            self._unfinished.pop(n, None)
            self._last.pop(n, None)

    def _enable(self, _n: int, old: int, new: int) -> None:
        self._settings.clear()
        if old & RCTL.en.mask and not new & RCTL.en.mask:
            self._drop_waiting()
            self._flow_control.filled(0)

    # -- a frame arrives ---------------------------------------------------------------------------------

    def arrive(self, frame: bytes, *, looped: bool = False) -> None:
        """Take one frame (no FCS) from the wire, or from our own transmitter."""
        self.note = Note()
        if self._tell.on:
            self._tell(events.FrameArrived(self._clock.now_ns(), frame))
        if not self._regs.peek(RCTL) & RCTL.en.mask or len(frame) < _HEADER:
            self._drop("disabled", frame, 0)
            return
        if looped != self._link.loopback or not (looped or self._link.up):
            self._drop("link", frame, 0)
            return
        frame = frame.ljust(_SHORTEST, b"\0")
        self._statistics.arrived(frame)
        if not looped and self.filters.asks_for_pause(frame):
            self._flow_control.received(frame)
        reason = self.filters.refusal(frame)
        if reason is not None:
            self._refuse(reason, frame)
            return
        inner = vlan.without(frame, self.filters.outer_tag(frame))
        parsed = parse(inner, vlan_ethertype=self.filters.vlan_ethertype)
        steering = self._steer(parsed)
        note = self.note
        note.queue, note.rss_type, note.rss_hash = steering
        stamped = self._timesync.arrived(inner, parsed)
        ring = self.rings[steering.queue]
        if not self._fifo and self._room(ring, len(frame)):
            self._statistics.received(frame)
            self._store(ring, frame, parsed, steering, stamped)
        elif self._queue_settings(steering.queue).drop and not self._room(ring, len(frame)):
            self._statistics.received(frame)
            self._statistics.dropped_no_descriptor(steering.queue)
            self._drop("no-descriptor", frame, steering.queue)
        else:
            self._buffer(frame, steering, stamped)

    def _refuse(self, reason: str, frame: bytes) -> None:
        if reason == "oversize":
            self._statistics.oversize()
        self._drop(reason, frame, 0)

    def _steer(self, parsed: Parsed) -> Steering:
        steering = self.filters.steer(parsed)
        forced = self._faults.forced_rss
        if not forced:
            return steering
        return Steering(
            forced.get("queue", steering.queue),
            forced.get("type", steering.rss_type),
            forced.get("hash", steering.rss_hash),
        )

    def _buffer(self, frame: bytes, steering: Steering, stamped: bool) -> None:  # noqa: FBT001
        """Keep a frame in the packet buffer until the driver posts descriptors; count what does not fit."""
        self._statistics.waited()
        if self._fifo_bytes + len(frame) > RXPBS.size.of(self._regs.peek(RXPBS)) * 1024:
            self._statistics.dropped_no_buffer()
            self._drop("packet-buffer-full", frame, steering.queue)
            self._interrupts.raise_causes(RXO)
            return
        self._statistics.received(frame)
        self.note.fate = Fate.WAITING
        self._fifo.append((frame, steering, stamped))
        self._fifo_bytes += len(frame)
        self._flow_control.filled(self._fifo_bytes)

    def _drain(self) -> None:
        """Deliver from the packet buffer, in order, as far as there are descriptors."""
        while self._fifo:
            frame, steering, stamped = self._fifo[0]
            ring = self.rings[steering.queue]
            if not self._room(ring, len(frame)):
                return
            self._fifo.popleft()
            self._fifo_bytes -= len(frame)
            self._flow_control.filled(self._fifo_bytes)
            inner = vlan.without(frame, self.filters.outer_tag(frame))
            parsed = parse(inner, vlan_ethertype=self.filters.vlan_ethertype)
            self._store(ring, frame, parsed, steering, stamped)

    def _drop(self, reason: str, frame: bytes, queue: int) -> None:
        self.note.fate, self.note.reason = Fate.DROPPED, reason
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        if self._tell.on:
            self._tell(events.FrameDropped(self._clock.now_ns(), reason, len(frame), queue))

    def _drop_waiting(self) -> None:
        for frame, steering, _ in self._fifo:
            self._drop("disabled", frame, steering.queue)
        self._fifo.clear()
        self._fifo_bytes = 0

    # -- into the ring -----------------------------------------------------------------------------------

    def _forget_settings(self, n: int, _old: int, _new: int) -> None:
        self._settings.pop(n, None)

    def _queue_settings(self, queue: int) -> _Settings:
        settings = self._settings.get(queue)
        if settings is None:
            srrctl = self._regs.peek(SRRCTL, queue)
            settings = self._settings[queue] = _Settings(
                buffer_size=SRRCTL.bsizepacket.of(srrctl) * 1024 or _BSIZE_BYTES[RCTL.bsize.of(self._regs.peek(RCTL))],
                drop=bool(SRRCTL.drop_en.of(srrctl)),
                legacy=SRRCTL.desctype.of(srrctl) == _LEGACY,
                low=SRRCTL.rdmts.of(srrctl) * 16,
            )
        return settings

    def _room(self, ring: Ring, length: int) -> bool:
        """Tell whether the driver has handed over descriptors for a whole frame of ``length`` bytes."""
        if not ring.enabled or ring.halted:
            return False
        waiting = ring.waiting()
        return waiting > 0 and waiting * self._queue_settings(ring.queue).buffer_size >= length

    def _store(self, ring: Ring, frame: bytes, parsed: Parsed, steering: Steering, stamped: bool) -> None:  # noqa: FBT001
        """Write a frame into its buffers and report it, the reported length of each buffer last."""
        tagged = parsed.vlan_tci is not None and self._regs.peek(CTRL) & CTRL.vme.mask
        outer = self.filters.outer_tag(frame)
        inner = vlan.without(frame, outer)
        payload, tci = vlan.strip(inner) if tagged else (inner, 0)
        payload = vlan.put_back(payload, outer)
        size, _drop, legacy, low = self._queue_settings(ring.queue)
        rxcsum = self._regs.peek(RXCSUM)
        status = write_back_status(inner, parsed, rxcsum, self._faults, stamped=stamped)
        if tagged:
            status |= _VP
        if outer:
            status |= _VEXT
        word0 = steering.rss_type | packet_type(parsed) << 4
        if rxcsum & _PCSD:
            word0 |= steering.rss_hash << 32
        else:
            word0 |= parsed.ipv4_id << 32
        for start in range(0, len(payload), size):
            slot = ring.take()
            if slot is None:
                self._drop("no-descriptor", frame, ring.queue)
                return
            index, buffer, _header = slot
            chunk = payload[start : start + size]
            last = start + size >= len(payload)
            done = _DD | (status | _EOP | tci << 48 if last else 0)
            if legacy:
                words = (buffer, legacy_word(done, len(chunk)))
            else:
                words = (word0 if last else 0, done | len(chunk) << 32)
            if not self._write(ring, index, buffer, chunk, words):
                self.note.fate = Fate.LOST
                return
            self.note.takes(index)
        self.note.fate = Fate.DELIVERED
        self.delivered[ring.queue] += 1
        self.delivered_bytes[ring.queue] += len(payload)
        if self._tell.on:
            now = self._clock.now_ns()
            self._tell(events.FrameDelivered(now, ring.queue, len(payload), steering.rss_type, steering.rss_hash))
        self._interrupts.raise_receive(ring.queue)
        if low and ring.waiting() == low:
            self._statistics.ring_low()
            self._interrupts.raise_causes(RXDMT0)

    def _write(self, ring: Ring, index: int, buffer: int, chunk: bytes, words: tuple[int, int]) -> bool:
        """Store one buffer and its descriptor. False: the descriptor ring cannot be written, the queue halts."""
        word0, word1 = words
        queue = ring.queue
        self._about_to_write(buffer, len(chunk), "rx-payload", queue)
        try:
            self._memory.write(buffer, chunk)
        except MemoryFault as fault:
            ring.nonsense(f"a buffer of {ring.name} cannot be written, the frame is marked bad: {fault}")
            word1 |= RxWriteback.rxe.mask
        if self._faults.zero_length_left and self._faults.leaves_length_out(queue):
            self._unfinished.setdefault(queue, []).append((index, word1))
            word1 &= ~_LENGTH_MASK
        iova = ring.address(index)
        self._about_to_write(iova, 16, "rx-write-back", queue)
        try:
            self._memory.store64(iova, word0)
            self._memory.store64(iova + 8, word1)
        except MemoryFault as fault:
            ring.halt(f"{ring.name} cannot be written back, the queue halts: {fault}")
            return False
        ring.head = ring.after(index)
        self._last[queue] = (index, word0, word1)
        if self._tell.on:
            now = self._clock.now_ns()
            raw = word0.to_bytes(8, "little") + word1.to_bytes(8, "little")
            self._tell(events.DmaWrite(now, buffer, len(chunk), "rx-payload", queue))
            self._tell(events.DmaWrite(now, iova, 16, "rx-write-back", queue))
            self._tell(events.RxWriteBack(now, queue, index, raw))
        return True

    def _about_to_write(self, iova: int, size: int, purpose: str, queue: int) -> None:
        if self._tell.two_sided:
            self._tell.other_side(events.DmaWrite(self._clock.now_ns(), iova, size, purpose, queue))

    # -- what faults ask for -----------------------------------------------------------------------------

    def finish_write_back(self, queue: int) -> None:
        """Supply the lengths that a fault left out, and interrupt if there were any."""
        ring = self.rings[queue]
        unfinished = self._unfinished.pop(queue, [])
        for index, word1 in unfinished:
            self._store_second(ring, index, word1)
        if unfinished:
            self._interrupts.raise_receive(queue)

    def rewrite_old_slot(self, queue: int) -> None:
        """Write the newest descriptor's words once more into the slot behind it, which the driver may still own."""
        if queue in self._last:
            index, word0, word1 = self._last[queue]
            ring = self.rings[queue]
            stale = ring.after(index)
            try:
                self._memory.store64(ring.address(stale), word0)
            except MemoryFault:
                return
            self._store_second(ring, stale, word1)
            self._interrupts.raise_receive(queue)

    def _store_second(self, ring: Ring, index: int, word1: int) -> None:
        try:
            self._memory.store64(ring.address(index) + 8, word1)
        except MemoryFault as fault:
            ring.nonsense(f"{ring.name} cannot be written back: {fault}")
