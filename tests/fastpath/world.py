# SPDX-License-Identifier: BSD-3-Clause
"""The world of tests/model/igb with a native card in it: the same memory, clock, cable and messages."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from device_model.igb.config import Config
from device_model.ports import InterruptMode
from emulator.fastpath.engine import Engine
from emulator.fastpath.nic import NativeIgb
from emulator.fastpath.ports import MODES
from tests.model.igb.world import BASE, Cable, Clock, Memory, Messages, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from device_model.events import Event

FOR_EVER = (1 << 63) - 1
PAGE = 0x1000
ELSEWHERE, MAPPED_MOST = 0xF000_0000, 40


class EngineClock(Clock):
    """The clock turned by hand, which the engine's clock follows and whose timers it runs beside the others."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.nic: NativeIgb | None = None
        super().__init__()

    @property
    def time_ns(self) -> int:
        return self._time_ns

    @time_ns.setter
    def time_ns(self, now: int) -> None:
        self._time_ns = now
        self._engine.lib.fp_set_clock(self._engine.e, now)

    def advance(self, ns: int, most: int = 1_000_000) -> None:
        end = self.time_ns + ns
        while most:
            engine = self._engine.lib.fp_next_timer(self._engine.e)
            python = self._calls[0][0] if self._calls else FOR_EVER
            if min(engine, python) > end:
                break
            self.time_ns = max(self.time_ns, min(engine, python))
            if engine <= python:
                self._engine.lib.fp_run_due(self._engine.e)
            else:
                action = heapq.heappop(self._calls)[2].action
                if action is not None:
                    action()
            most -= 1
            if self.nic is not None:
                self.nic.settle()
        assert most, "the card must come to rest, and keeps calling itself"
        self.time_ns = end


class TestedNic(NativeIgb):
    """A native card that raises what Python raised while the engine ran."""

    __test__ = False
    failures: list[BaseException]

    def settle(self) -> None:
        super().settle()
        if self.failures:
            raise self.failures.pop()


class NativeWorld(World):
    """A powered-on native card with its link up, and everything that it saw and did."""

    def __init__(
        self, mode: InterruptMode = InterruptMode.MSIX, config: Config | None = None, memory: Memory | None = None
    ) -> None:
        engine = self.engine = Engine()
        self.memory = memory or Memory()
        self.clock = EngineClock(engine)
        self.cable = Cable()
        self.messages = Messages(mode)
        self._map_memory()
        engine.e.mode = MODES[mode]
        TestedNic.failures = []
        self.nic: TestedNic = TestedNic(
            engine,
            memory=self.memory,
            wire=self.cable,
            interrupts=self.messages,
            clock=self.clock,
            config=config or Config(),
            keep=TestedNic.failures.append,
        )
        self.clock.nic = self.nic
        self._events: list[Event] = []
        self._elsewhere: list[Any] = []
        self.unobserve = self.nic.observe(self._note)
        self.clock.advance(1_000_000_000)
        self.nic.settle()

    def _note(self, event: Event) -> None:
        self._events.append(event)

    def _map_memory(self) -> None:
        engine, ffi = self.engine, self.engine.ffi
        self._keep_alive: Any = ffi.from_buffer(self.memory.bytes)
        region = ffi.new("struct fp_region *")
        region.iova, region.size, region.mapped = BASE, len(self.memory.bytes), len(self.memory.bytes)
        region.address = int(ffi.cast("uintptr_t", self._keep_alive))
        region.readable = region.writable = True
        engine.lib.fp_map(ffi.addressof(engine.e.memory), region)
        engine.e.memory.enabled = engine.e.decodes = True

    @property
    def events(self) -> list[Event]:
        self.nic.native_tell.drain()
        return self._events

    @events.setter
    def events(self, events: list[Event]) -> None:
        self._events = events

    def write(self, offset: int, value: int) -> None:
        """Write as glue.c has it: the engine is asked first."""
        if self.engine.lib.fp_bar_write(self.engine.e, offset, 4, value):
            self.nic.region_write(0, offset, 4, value)

    def read(self, offset: int, size: int = 4) -> int:
        """Read as glue.c has it."""
        value = self.engine.ffi.new("uint64_t *")
        if self.engine.lib.fp_bar_read(self.engine.e, offset, size, value):
            return self.nic.region_read(0, offset, size)
        return int(value[0])

    def use_threads(self, threads: int) -> None:
        """Carry packets with so many threads, few as they may be. Nobody listens to events then."""
        self.unobserve()
        assert self.engine.lib.fp_set_threads(self.engine.e, threads)
        self.engine.e.together_least = 2

    def map_elsewhere(self) -> None:
        """Map one more region below the others, as a client does while BARs are sized, or unmap all of those."""
        engine, ffi = self.engine, self.engine.ffi
        memory = ffi.addressof(engine.e.memory)
        if len(self._elsewhere) < MAPPED_MOST:
            held = ffi.new("uint8_t[]", PAGE)
            region = ffi.new("struct fp_region *")
            region.iova, region.size, region.mapped = self._next_elsewhere(), PAGE, PAGE
            region.address = int(ffi.cast("uintptr_t", held))
            region.readable = region.writable = True
            engine.lib.fp_map(memory, region)
            self._elsewhere.append(held)
            return
        while self._elsewhere:
            self._elsewhere.pop()
            engine.lib.fp_unmap(memory, self._next_elsewhere(), PAGE)

    def _next_elsewhere(self) -> int:
        return ELSEWHERE + PAGE * len(self._elsewhere)

    def receive_many(self, frames: Sequence[bytes]) -> None:
        """Let frames arrive as a batch that was taken off the wire."""
        batch = getattr(self.engine.e.wire, "in")
        batch.count = len(frames)
        for n, frame in enumerate(frames):
            self.engine.ffi.memmove(batch.frames[n], frame, len(frame))
            batch.sizes[n] = len(frame)
        self.engine.lib.fp_wire_arrived_many(self.engine.e)
        self.nic.settle()

    def show_mode(self) -> None:
        """Let the engine know which interrupt scheme the messages use now."""
        self.engine.e.mode = MODES[self.messages.mode]
