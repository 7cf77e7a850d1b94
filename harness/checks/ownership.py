# SPDX-License-Identifier: BSD-3-Clause
"""Whose memory is it? Follows the card's events and names every DMA to memory that the driver had not handed over.

The driver hands over slots up to the tail, and with a slot the buffer that it names; the card gives both back with the
write-back (82576 data sheet 7.1, 7.2). A reset, and disabling a queue, take everything away.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from device_model.igb.spec.descriptors import RxRead, TxContext, TxData
from device_model.igb.spec.receive import RXDCTL, SRRCTL
from device_model.igb.spec.transmit import TXDCTL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.seen import Seen

SLOT = 16
KIB = 1024
STATUS_OFFSET = 12
"""Where the dword with DD lies in a transmit descriptor."""

INDEXED = re.compile(r"([TR]D(?:BAL|BAH|LEN|T)|[TR]XDCTL|SRRCTL)\[(\d+)\]")
ENABLE = {"T": TXDCTL.enable, "R": RXDCTL.enable}


@dataclass(slots=True)
class RingOwner:
    """One ring: where it lies, which slots the driver has handed over, and the buffers of those that were fetched."""

    base: int = 0
    count: int = 0
    enabled: bool = False
    tail: int = 0
    fetched: int = 0
    buffers: dict[int, tuple[int, int]] = field(default_factory=dict)

    def forget(self) -> None:
        """Give everything back to the driver."""
        self.enabled = False
        self.tail = self.fetched = 0
        self.buffers.clear()

    def slot(self, iova: int) -> int:
        """Return the slot that ``iova`` lies in, -1 if in none."""
        index, inside = divmod(iova - self.base, SLOT)
        return index if 0 <= index < self.count and inside in (0, STATUS_OFFSET) else -1

    def handed_over(self, first: int, many: int) -> bool:
        """Say whether the driver has handed over ``many`` slots from ``first`` on that were not fetched yet."""
        return bool(self.count) and first == self.fetched and many <= (self.tail - first) % self.count

    def holds(self, iova: int, size: int) -> bool:
        """Say whether a buffer in the card's hands holds ``size`` bytes at ``iova``."""
        return any(start <= iova and iova + size <= start + room for start, room in self.buffers.values())


class Owner:
    """Judges events in order, from a moment at which the card owns nothing.

    Receive buffers have ``buffer_size`` until SRRCTL says otherwise for their queue.
    """

    def __init__(self, buffer_size: int) -> None:
        self._room = buffer_size
        self._rooms: dict[int, int] = {}
        self._rings: dict[tuple[str, int], RingOwner] = {}
        self._context: dict[int, int] = {}
        self.violations: list[str] = []
        self.allowed: Counter[str] = Counter()
        self.resets = 0

    def ring(self, kind: str, queue: int) -> RingOwner:
        """Return a ring; ``kind`` is T or R."""
        return self._rings.setdefault((kind, queue), RingOwner())

    def follow(self, events: Iterable[Seen]) -> None:
        """Judge ``events``."""
        for event in events:
            match event.kind:
                case "DeviceReset":
                    self.resets += 1
                    for ring in self._rings.values():
                        ring.forget()
                case "RegisterWritten":
                    self._written(event)
                case "TxDescriptor":
                    self._fetched_transmit(event)
                case "RxDescriptor":
                    address = RxRead.decode(event.raw)["packet_address"]
                    self.ring("R", event.queue).buffers[event.index] = (
                        address,
                        self._rooms.get(event.queue, self._room),
                    )
                case "DmaRead" | "DmaWrite":
                    self._judge(event)

    def _written(self, event: Seen) -> None:
        found = INDEXED.fullmatch(event.register)
        if not found:
            return
        name, value = found[1], event.value
        ring = self.ring(name[0], int(found[2]))
        match name[1:]:
            case "DBAL":
                ring.base = ring.base >> 32 << 32 | value
            case "DBAH":
                ring.base = value << 32 | ring.base & 0xFFFF_FFFF
            case "DLEN":
                ring.count = value // SLOT
            case "DT":
                ring.tail = value
            case "RRCTL":
                self._rooms[int(found[2])] = SRRCTL.bsizepacket.of(value) * KIB
            case "XDCTL":
                enable = bool(ENABLE[name[0]].of(value))
                if enable != ring.enabled:
                    ring.forget()
                ring.enabled = enable

    def _fetched_transmit(self, event: Seen) -> None:
        fields = TxData.decode(event.raw)
        if fields["dtyp"] != TxContext.DTYP:
            self.ring("T", event.queue).buffers[event.index] = (fields["address"], fields["dtalen"])

    def _judge(self, event: Seen) -> None:
        kind = "T" if event.purpose.startswith("tx") else "R"
        ring = self.ring(kind, event.queue)
        what = event.purpose.partition("-")[2]
        if not (ring.enabled and self._right(ring, kind, what, event)):
            state = "an enabled" if ring.enabled else "a disabled"
            self.violations.append(f"{event.kind} of {event.size} at {event.iova:#x}, {event.purpose}: {state} ring")
        else:
            self.allowed[event.purpose] += 1

    def _right(self, ring: RingOwner, kind: str, what: str, event: Seen) -> bool:
        if what == "payload":
            return ring.holds(event.iova, event.size)
        slot = ring.slot(event.iova)
        if what == "descriptor":
            many = event.size // SLOT
            right = slot >= 0 and ring.handed_over(slot, many)
            ring.fetched = (slot + many) % ring.count if right else ring.fetched
            return right
        if slot not in ring.buffers:
            return False
        if kind == "R":
            del ring.buffers[slot]
            return bool(event.size == SLOT)
        return self._reported(ring, slot)

    def _reported(self, ring: RingOwner, slot: int) -> bool:
        """Take back the slots of a packet that is reported in its last one: all older ones are done too."""
        for index in list(ring.buffers):
            del ring.buffers[index]
            if index == slot:
                break
        return True
