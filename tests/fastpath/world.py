# SPDX-License-Identifier: BSD-3-Clause
"""The world of tests/model/igb with a native card in it: the same memory, clock, cable and messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from device_model.igb.config import Config
from device_model.ports import InterruptMode
from emulator.fastpath.engine import Engine
from emulator.fastpath.nic import NativeIgb
from emulator.fastpath.ports import MODES
from tests.model.igb.world import BASE, Cable, Clock, Memory, Messages, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.model.igb.world import Call

FOR_EVER = (1 << 63) - 1


class EngineClock:
    """The world's clock, which keeps the engine's hand and runs its timers."""

    def __init__(self, clock: Clock, engine: Engine) -> None:
        self._clock = clock
        self._engine = engine
        self._alarm: Call | None = None
        self._due = FOR_EVER
        self.before()

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def call_at(self, when_ns: int, action: Callable[[], None]) -> Call:
        return self._clock.call_at(when_ns, lambda: self.around(action))

    def around(self, action: Callable[[], Any]) -> Any:
        """Do ``action`` with the engine's clock right, and see to the timers that it armed."""
        self.before()
        answer = action()
        self.after()
        return answer

    def before(self) -> None:
        self._engine.lib.fp_set_clock(self._engine.e, self._clock.now_ns())

    def after(self) -> None:
        due = self._engine.lib.fp_next_timer(self._engine.e)
        if due == self._due:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._due = due
        self._alarm = None
        if due != FOR_EVER:
            self._alarm = self._clock.call_at(due, self._run)

    def _run(self) -> None:
        self._alarm, self._due = None, FOR_EVER
        self.around(lambda: self._engine.lib.fp_run_due(self._engine.e))


class TestedNic(NativeIgb):
    """A native card whose every entrance keeps the clocks together."""

    __test__ = False
    hands: EngineClock


def _entrance(name: str) -> None:
    def enter(self: TestedNic, *arguments: Any, **named: Any) -> Any:
        inner = getattr(NativeIgb, name)
        answer = self.hands.around(lambda: inner(self, *arguments, **named))
        self.settle()
        failures = self.failures  # type: ignore[attr-defined]
        if failures:
            raise failures.pop()
        return answer

    setattr(TestedNic, name, enter)


for _name in ("region_read", "region_write", "receive", "reset", "connect", "set_rate", "interrupts_changed"):
    _entrance(_name)


class NativeWorld(World):
    """A powered-on native card with its link up, and everything that it saw and did."""

    def __init__(
        self, mode: InterruptMode = InterruptMode.MSIX, config: Config | None = None, memory: Memory | None = None
    ) -> None:
        self.memory = memory or Memory()
        self.clock = Clock()
        self.cable = Cable()
        self.messages = Messages(mode)
        engine = self.engine = Engine()
        ffi, lib = engine.ffi, engine.lib
        self._region = ffi.new("struct fp_region *")
        self._keep_alive = ffi.from_buffer(self.memory.bytes)
        self._region.iova, self._region.size = BASE, len(self.memory.bytes)
        self._region.mapped = len(self.memory.bytes)
        self._region.address = int(ffi.cast("uintptr_t", self._keep_alive))
        self._region.readable = self._region.writable = True
        memory_of_engine = ffi.addressof(engine.e.memory)
        lib.fp_map(memory_of_engine, self._region)
        engine.e.memory.enabled = True
        engine.e.mode = MODES[mode]
        hands = EngineClock(self.clock, engine)
        TestedNic.hands = hands
        failures: list[BaseException] = []
        TestedNic.failures = failures  # type: ignore[attr-defined]
        self.nic = TestedNic(
            engine,
            memory=self.memory,
            wire=self.cable,
            interrupts=self.messages,
            clock=hands,
            config=config or Config(),
            keep=failures.append,
        )
        self.nic.hands = hands
        hands.after()
        apply = self.nic.faults.apply
        self.events = []
        self.nic.observe(self.events.append)
        self.clock.advance(1_000_000_000)
        self.nic.settle()
        del apply
