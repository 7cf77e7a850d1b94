# SPDX-License-Identifier: BSD-3-Clause
"""A descriptor ring in host memory: who owns which slot, and fetching what the driver handed over.

Three pointers go round: ``tail`` (the driver's doorbell), ``fetched`` (up to where the device has read)
and ``head`` (up to where it has finished). The device owns [head, tail) and never reads past the tail.
"""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import TYPE_CHECKING

from device_model import events
from device_model.ports import MemoryFault

if TYPE_CHECKING:
    from device_model.events import Tell
    from device_model.ports import Clock, HostMemory

SLOT = 16
"""Bytes of one descriptor."""
_BATCH = 64
_WORDS = Struct("<QQ")


class Ring:
    """One ring. ``direction`` is rx or tx; it only names the ring to observers."""

    __slots__ = (
        "_cache", "_clock", "_memory", "_tell", "base", "count", "direction",
        "enabled", "fetched", "halted", "head", "queue", "tail",
    )  # fmt: skip

    def __init__(self, memory: HostMemory, clock: Clock, tell: Tell, direction: str, queue: int) -> None:
        """Start disabled and empty."""
        self._memory = memory
        self._clock = clock
        self._tell = tell
        self._cache: deque[tuple[int, int, int]] = deque()
        self.direction = direction
        self.queue = queue
        self.base = 0
        self.count = 0
        self.stop()

    def start(self) -> None:
        """Enable: the pointers return to slot 0 (82576 8.10.9, 8.12.15)."""
        self.stop()
        self.enabled = True

    def stop(self) -> None:
        """Disable, and forget what was fetched."""
        self.enabled = False
        self.halted = False
        self.head = self.fetched = self.tail = 0
        self._cache.clear()

    def set_tail(self, tail: int) -> None:
        """Take the driver's doorbell; one that points past the ring is ignored."""
        if tail < self.count:
            self.tail = tail
        elif self.count:
            self.nonsense(f"tail of {self.name} must be below {self.count}, not {tail}; ignored")

    @property
    def name(self) -> str:
        """How messages call this ring."""
        return f"{self.direction}[{self.queue}]"

    def waiting(self) -> int:
        """Return how many descriptors the driver has handed over and the device has not taken."""
        return len(self._cache) + ((self.tail - self.fetched) % self.count if self.count else 0)

    def take(self) -> tuple[int, int, int] | None:
        """Return the next descriptor as (slot, first word, second word), or None when there is none."""
        if not self._cache:
            self._fetch()
        return self._cache.popleft() if self._cache else None

    def address(self, index: int) -> int:
        """Return the I/O virtual address of slot ``index``."""
        return self.base + index * SLOT

    def after(self, index: int) -> int:
        """Return the slot that follows ``index``."""
        return (index + 1) % self.count if self.count else 0

    def halt(self, why: str) -> None:
        """Touch the ring no more until it is enabled afresh; tell observers ``why``."""
        self.halted = True
        self._cache.clear()
        self.nonsense(why)

    def nonsense(self, what: str) -> None:
        """Tell observers that the driver asked for nonsense."""
        if self._tell.on:
            self._tell(events.GuestError(self._clock.now_ns(), what))

    def _fetch(self) -> None:
        """Read a batch of descriptors, up to the tail or the end of the ring."""
        if not self.enabled or self.halted or not self.count:
            return
        many = min((self.tail - self.fetched) % self.count, _BATCH, self.count - self.fetched)
        if many <= 0:
            return
        first, size = self.fetched, many * SLOT
        if self._tell.two_sided:
            purpose = f"{self.direction}-descriptor"
            now = self._clock.now_ns()
            self._tell.other_side(events.DmaRead(now, self.address(first), size, purpose, self.queue))
        try:
            raw = self._memory.read(self.address(first), size)
        except MemoryFault as fault:
            self.halt(f"{self.name} descriptors cannot be fetched, the queue halts: {fault}")
            return
        self.fetched = (first + many) % self.count
        self._cache.extend((first + n, *words) for n, words in enumerate(_WORDS.iter_unpack(raw)))
        if self._tell.on:
            now = self._clock.now_ns()
            self._tell(events.DmaRead(now, self.address(first), size, f"{self.direction}-descriptor", self.queue))
            kind = events.TxDescriptor if self.direction == "tx" else events.RxDescriptor
            for n in range(many):
                self._tell(kind(now, self.queue, first + n, raw[n * SLOT : (n + 1) * SLOT]))
