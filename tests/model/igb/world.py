# SPDX-License-Identifier: BSD-3-Clause
"""A world for a card without QEMU: memory in a bytearray, a clock turned by hand, a wire that keeps a list."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

from device_model.igb.config import Config
from device_model.igb.nic import Igb
from device_model.ports import InterruptMode, MemoryFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_model.events import Event

BASE = 0x1_0000_0000
"""Where guest memory starts: above 4 GiB, so that a device that drops the high address half cannot pass."""


class Memory:
    def __init__(self, size: int = 1 << 20) -> None:
        self.bytes = bytearray(size)
        self.stores: list[tuple[int, int]] = []

    def _at(self, iova: int, size: int) -> int:
        offset = iova - BASE
        if offset < 0 or offset + size > len(self.bytes):
            raise MemoryFault(iova, size)
        return offset

    def read(self, iova: int, size: int) -> bytes:
        offset = self._at(iova, size)
        return bytes(self.bytes[offset : offset + size])

    def write(self, iova: int, data: bytes) -> None:
        offset = self._at(iova, len(data))
        self.bytes[offset : offset + len(data)] = data
        self.stores.append((iova, len(data)))

    def store64(self, iova: int, value: int) -> None:
        assert iova % 8 == 0
        self.write(iova, value.to_bytes(8, "little"))

    def store32(self, iova: int, value: int) -> None:
        assert iova % 4 == 0
        self.write(iova, value.to_bytes(4, "little"))


class Call:
    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        self.action = None


class Clock:
    def __init__(self) -> None:
        self.time_ns = 1_000_000_007
        self._calls: list[tuple[int, int, Call]] = []
        self._order = count()

    def now_ns(self) -> int:
        return self.time_ns

    def call_at(self, when_ns: int, action: Callable[[], None]) -> Call:
        call = Call(action)
        heapq.heappush(self._calls, (when_ns, next(self._order), call))
        return call

    def advance(self, ns: int, most: int = 1_000_000) -> None:
        """Let ``ns`` pass, running what falls due, each at its own time; more than ``most`` calls are a runaway."""
        end = self.time_ns + ns
        while self._calls and self._calls[0][0] <= end:
            when, _, call = heapq.heappop(self._calls)
            self.time_ns = max(self.time_ns, when)
            if call.action is not None:
                call.action()
                most -= 1
                assert most, "the card must come to rest, and keeps calling itself"
        self.time_ns = end


class Cable:
    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.notes: list[str] = []
        self.note: Callable[[], str] | None = None
        """Says what the frame is that leaves."""

    def emit(self, frame: bytes) -> None:
        self.frames.append(frame)
        if self.note is not None:
            self.notes.append(self.note())


class Messages:
    def __init__(self, mode: InterruptMode = InterruptMode.MSIX) -> None:
        self.mode = mode
        self.sent: list[int] = []
        self.levels: list[bool] = []

    def send(self, vector: int) -> None:
        self.sent.append(vector)

    def set_intx(self, asserted: bool) -> None:
        self.levels.append(asserted)


class World:
    """A powered-on card with its link up, and everything that it saw and did."""

    def __init__(
        self, mode: InterruptMode = InterruptMode.MSIX, config: Config | None = None, memory: Memory | None = None
    ) -> None:
        self.memory = memory or Memory()
        self.clock = Clock()
        self.cable = Cable()
        self.messages = Messages(mode)
        self.nic = Igb(
            memory=self.memory,
            wire=self.cable,
            interrupts=self.messages,
            clock=self.clock,
            config=config or Config(),
        )
        self.events: list[Event] = []
        self.nic.observe(self.events.append)
        self.clock.advance(1_000_000_000)

    def write(self, offset: int, value: int) -> None:
        self.nic.region_write(0, offset, 4, value)

    def read(self, offset: int, size: int = 4) -> int:
        return self.nic.region_read(0, offset, size)

    def take(self, kind: type[Event]) -> list[Event]:
        """Return the events of ``kind`` so far and forget them."""
        found = [event for event in self.events if isinstance(event, kind)]
        self.events = [event for event in self.events if not isinstance(event, kind)]
        return found
