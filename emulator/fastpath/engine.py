# SPDX-License-Identifier: BSD-3-Clause
"""The compiled engine, loaded, and what it asks of Python while it runs."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any, Protocol

from device_model.igb.spec import REGISTERS
from device_model.regfile import RegisterFile
from emulator.errors import EnvironmentLacks, WorldError

if TYPE_CHECKING:
    from device_model.declare import Register


MODULE = "emulator.fastpath._engine"
OTHER_BUILD = "HILNIC_ENGINE"
"""Environment variable with the file of another build of the engine than the usual one, for tests that need one."""


class World(Protocol):
    """What the engine asks of Python: what is rare on the data path (struct fp_upcalls)."""

    def send(self, vector: int) -> None:
        """Send a message by way of the PCI side, which masks it or is not in MSI-X mode."""

    def set_intx(self, asserted: bool) -> None:  # noqa: FBT001 - the level of a wire is a Boolean
        """Drive the INTx line."""

    def emit(self, frame: bytes) -> None:
        """Send a frame on a wire of Python's."""

    def pause(self, frame: bytes) -> None:
        """Obey a pause frame."""

    def filled(self, level: int) -> bool:
        """The packet buffer holds ``level`` bytes: tell whether the partner is to pause."""

    def stamp_rx(self, frame: bytes) -> bool:
        """Stamp a PTP frame if it is one that the driver wants stamped; tell whether it was."""

    def stamp_tx(self) -> None:
        """A frame whose descriptor asked for a time stamp leaves now."""

    def awaken(self, frame: bytes) -> None:
        """A frame came while the host may be asleep."""

    def watched(self, kind: int, words: tuple[int, int, int, int], data: bytes, *, other_side: bool) -> None:
        """An event of a kind that is watched happens, or the other side of its act."""

    def keep(self, failure: BaseException) -> None:
        """Remember what one of these calls raised."""


def native() -> Any:  # noqa: ANN401 - cffi's objects have no types
    """Return the compiled module, or say how to get it."""
    if other := os.environ.get(OTHER_BUILD):
        return _load(other)
    try:
        from emulator.fastpath import _engine  # type: ignore[attr-defined] # noqa: PLC0415 - may be missing, and that is a sentence
    except ImportError as error:
        raise EnvironmentLacks(
            f"the native engine must be built, and is not ({error}): make setup, or python -m emulator.fastpath.build"
        ) from error
    return _engine


def _load(path: str) -> Any:  # noqa: ANN401 - cffi's objects have no types
    """Return the module in the file at ``path``, which takes the usual one's place in this process."""
    if (loaded := sys.modules.get(MODULE)) is not None and loaded.__file__ == path:
        return loaded
    spec = importlib.util.spec_from_file_location(MODULE, path)
    if spec is None or spec.loader is None:
        raise EnvironmentLacks(f"{OTHER_BUILD} must name a build of the native engine, not {path!r}")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise EnvironmentLacks(f"{OTHER_BUILD} must name a build of the native engine: {error}") from error
    sys.modules[MODULE] = module
    return module


class Engine:
    """One engine. ``e`` is the C struct, ``lib`` and ``ffi`` are cffi's; ``close`` frees it."""

    def __init__(self) -> None:
        """Make an engine with all registers zero, that asks nobody yet."""
        module = native()
        self.ffi, self.lib = module.ffi, module.lib
        _define_upcalls(module)
        self.world: World | None = None
        self._handle = self.ffi.new_handle(self)
        up = self.ffi.new("struct fp_upcalls *")
        for name in ("send", "set_intx", "emit", "pause", "filled", "stamp_rx", "stamp_tx", "wake", "watched"):
            setattr(up, name, getattr(self.lib, f"fp_on_{name}"))
        self.e = self.lib.fp_new(self._handle, up)
        if self.e == self.ffi.NULL:
            raise WorldError("the native engine must have memory, and gets none")
        self.slots = _slots(REGISTERS)
        self._lay_out()

    def registers(self) -> RegisterFile:
        """Return the register file over the engine's own storage."""
        words = memoryview(self.ffi.buffer(self.e.regs)).cast("B").cast("I")
        return RegisterFile(REGISTERS, words)

    def take_over(self, regs: RegisterFile) -> None:
        """Leave to Python what has behaviour there; let Python find the engine's behaviour behind the others."""
        for reg in REGISTERS:
            first = self.slots[reg]
            if self.e.hooks[first] != self.lib.FP_PLAIN:
                self._attach(regs, reg, first)
            elif regs.has_behaviour(reg):
                for n in range(reg.count):
                    self.e.hooks[first + n] = self.lib.FP_COLD

    def bytes_at(self, data: Any, size: int) -> bytes:  # noqa: ANN401 - cffi's objects have no types
        """Return ``size`` bytes at a C pointer."""
        return bytes(self.ffi.buffer(data, size))

    def call_attention(self) -> None:
        """Let the loop come back to Python soon."""
        self.e.attention = True

    def close(self) -> None:
        """Free the engine; it must not be used again."""
        if self.e != self.ffi.NULL:
            self.lib.fp_free(self.e)
            self.e = self.ffi.NULL

    def _lay_out(self) -> None:
        e = self.e
        for reg, first in self.slots.items():
            rules = reg.rules
            for n in range(reg.count):
                rule = e.rules[first + n]
                rule.rw, rule.w1c, rule.w1s, rule.rc, rule.sc = (
                    rules[name] for name in ("RW", "W1C", "W1S", "RC", "SC")
                )
            for offset, n in reg.addresses():
                e.place[offset // 4] = first + n + 1

    def _attach(self, regs: RegisterFile, reg: type[Register], first: int) -> None:
        e, lib = self.e, self.lib
        regs.on_read(reg, lambda n: lib.fp_hook_read(e, first + n))
        regs.on_write(reg, lambda n, old, new: lib.fp_hook_write(e, first + n, old, new))


def _slots(registers: tuple[type[Register], ...]) -> dict[type[Register], int]:
    """Return the slot of each register's element 0; the generated header numbers them alike."""
    slots, at = {}, 0
    for reg in registers:
        slots[reg] = at
        at += reg.count
    return slots


def _define_upcalls(module: Any) -> None:  # noqa: ANN401 - cffi's objects have no types
    """Bind the upcalls of the extension to the World of the engine behind the handle."""
    ffi = module.ffi

    def asks(name: str, call: Any, answer: object) -> None:  # noqa: ANN401 - cffi's objects have no types
        def asked(handle: object, *arguments: Any) -> object:  # noqa: ANN401 - cffi's objects have no types
            engine: Engine = ffi.from_handle(handle)
            world = engine.world
            if world is None:
                return answer
            try:
                given = call(engine, world, *arguments)
            except BaseException as error:  # noqa: BLE001 - C cannot carry it
                world.keep(error)
                return answer
            return answer if answer is None else int(given)

        ffi.def_extern(name=f"fp_on_{name}", error=answer)(asked)

    asks("send", lambda _engine, world, vector: world.send(vector), None)
    asks("set_intx", lambda _engine, world, asserted: world.set_intx(bool(asserted)), None)
    asks("emit", lambda engine, world, data, size: world.emit(engine.bytes_at(data, size)), None)
    asks("pause", lambda engine, world, data, size: world.pause(engine.bytes_at(data, size)), None)
    asks("filled", lambda _engine, world, level: world.filled(level), 0)
    asks("stamp_rx", lambda engine, world, data, size: world.stamp_rx(engine.bytes_at(data, size)), 0)
    asks("stamp_tx", lambda _engine, world: world.stamp_tx(), None)
    asks("wake", lambda engine, world, data, size: world.awaken(engine.bytes_at(data, size)), None)

    def watched(engine: Engine, world: World, kind: int, other_side: int, words: Any, data: Any, size: int) -> None:  # noqa: ANN401 - cffi's objects have no types
        raw = engine.bytes_at(data, size) if size else b""
        world.watched(kind, (words[0], words[1], words[2], words[3]), raw, other_side=bool(other_side))

    asks("watched", watched, None)
