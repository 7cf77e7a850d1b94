# SPDX-License-Identifier: BSD-3-Clause
"""The log of a native card: written and followed by its engine (emulator/fastpath/log.c), the rest by Python."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from device_model.ports import MemoryFault
from emulator.bundle.entries import END, HEAD, Entry, Kind, entry_at, head_at
from emulator.bundle.log import Room
from emulator.bundle.reader import Difference, Reader
from emulator.errors import WorldError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from mmap import mmap
    from pathlib import Path

    from emulator.fastpath.engine import Engine


class NativeLog:
    """What writing and following have in common. Implements `emulator.bundle.log.Log` once it has an engine."""

    _engine: Engine
    _log: Any

    def _use(self, engine: Engine, data: mmap | memoryview) -> Any:  # noqa: ANN401 - cffi's objects have no types
        """Return ``data`` as C takes it; it stays where it is until ``_let_go``."""
        self._engine = engine
        self._hold = engine.ffi.from_buffer("uint8_t[]", data, require_writable=False)
        return self._hold

    def _opened(self, opened: bool) -> None:  # noqa: FBT001 - what C returns
        if not opened:
            raise WorldError("the log must have memory, and gets none")
        self._log = self._engine.e.log

    def now_ns(self) -> int:
        """Return the card's time."""
        return int(self._engine.e.now)

    def begin(self, kind: Kind, x: int = 0, y: int = 0, body: bytes = b"") -> None:
        """Something comes from outside."""
        self._engine.lib.fp_log_begin(self._engine.e, kind, x, y, body, len(body))

    def end(self) -> None:
        """It has been done."""
        self._engine.lib.fp_log_end(self._engine.e)

    def put(self, kind: Kind, x: int = 0, y: int = 0, body: bytes = b"") -> int:
        """The card does something."""
        null = self._engine.ffi.NULL
        return int(self._engine.lib.fp_log_put(self._log, kind, x, y, body, len(body), null, 0))

    def dma_read(self, iova: int, size: int, read: Callable[[int, int], bytes]) -> bytes:
        """Read: the engine takes it down."""
        return read(iova, size)

    def dma_write(self, iova: int, data: bytes, at_once: int, write: Callable[[], None]) -> None:  # noqa: ARG002 - the engine knows
        """Write: the engine takes it down."""
        write()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take down nothing meanwhile."""
        depth, self._log.depth = self._log.depth, 0
        try:
            yield
        finally:
            self._log.depth = depth

    def _let_go(self) -> None:
        self._engine.lib.fp_log_close(self._engine.e)
        self._engine.ffi.release(self._hold)


class NativeWriter(NativeLog):
    """Writes the log of a native card."""

    def __init__(self, path: Path, limit: int) -> None:
        """Begin with an empty file, which holds ``limit`` bytes at most."""
        self._room = Room(path, limit)
        self._limit = limit
        self._later: list[bytes] = []
        self._attached = False

    def attach(self, engine: Engine) -> None:
        """Take down what ``engine`` does from now on."""
        room = self._room
        data = self._use(engine, room.map)
        self._opened(engine.lib.fp_log_write(engine.e, room.fd, data, 0, self._limit, len(room.map)))
        self._attached = True

    def write_header(self, header: bytes) -> None:
        """Write what comes before the entries."""
        self._room.map[: len(header)] = header
        self._log.at = len(header)

    def interrupt(self, vector: int, trigger: Callable[[int], bool]) -> bool:
        """Signal ``vector``, and note it."""
        heard = trigger(vector)
        self.put(Kind.INTERRUPT, heard, vector)
        return heard

    def command(self, text: bytes) -> bool:
        """Begin a step that is a command, or note it behind the present one."""
        if self._log.depth:
            self._later.append(text)
            return False
        self._note_later()
        self.begin(Kind.CONTROL, 0, 0, text)
        return True

    def begin(self, kind: Kind, x: int = 0, y: int = 0, body: bytes = b"") -> None:
        """Something comes from outside."""
        if self._later and not self._log.depth:
            self._note_later()
        super().begin(kind, x, y, body)

    def close(self) -> None:
        """Write the end, and give the file its size."""
        if not self._attached:
            self._room.close(0)
            return
        log = self._log
        self._note_later()
        body = END.pack(log.steps, log.lost_steps, log.lost_bytes)
        at = int(log.at)
        self._let_go()
        self._attached = False
        size = HEAD.size + len(body)
        self._room.map[at : at + size] = HEAD.pack(Kind.END, 0, 0, len(body)) + body
        self._room.close(at + size)

    def _note_later(self) -> None:
        later, self._later = self._later, []
        for text in later:
            super().begin(Kind.CONTROL, 0, 0, text)
            self.end()


class NativeReader(NativeLog, Reader):
    """Follows the log with a native card."""

    def __init__(self, data: memoryview) -> None:
        self._attached = False
        super().__init__(data)
        self.settle: Callable[[], None] = lambda: None
        """Lets the card's halves look at what the other has done."""

    def attach(self, engine: Engine) -> None:
        """Let ``engine`` follow from now on."""
        data = self._use(engine, self.data)
        self._opened(engine.lib.fp_log_read(engine.e, data, self.start, len(self.data)))
        self._attached = True
        engine.lib.fp_set_clock(engine.e, self.header.born_ns)

    def next_step(self) -> Entry | None:
        """Let the engine follow as far as it can, and return the step that comes next; None at the end."""
        e, log = self._engine.e, self._log
        again = True
        while again:
            self._engine.lib.fp_log_follow(e)
            again = bool(e.attention)
            self.settle()
            if log.differs:
                raise self._difference()
        self.check()
        entry = super().next_step()
        log.begun, log.at = log.at, self.at
        if entry is not None:
            e.now = self.time_ns
            log.steps += 1
        return entry

    @property
    def steps(self) -> int:
        """How many steps were begun."""
        return int(self._log.steps) if self._attached else 0

    def fire(self, when_ns: int) -> bool:
        """Let the engine's timer for ``when_ns`` fire; False if it has none."""
        return bool(self._engine.lib.fp_fire(self._engine.e, when_ns))

    def check(self) -> None:
        """Raise Difference if the step that was done has done something else, or left something out."""
        self.settle()
        if self._log.differs:
            raise self._difference()
        self.at, data = int(self._log.at), self.data
        if self._log.steps:
            begun = int(self._log.begun)
            head = head_at(data, begun)
            self.step = None if head is None else entry_at(data, begun, begun, head)
        super().check()

    def _difference(self) -> Difference:
        log, data = self._log, self.data
        at, begun = int(log.at), int(log.begun)
        found = bytes(self._engine.ffi.buffer(log.found_body, log.found.size)) if log.found.size else b""
        step, there = head_at(data, begun), head_at(data, at)
        return Difference(
            None if step is None else entry_at(data, begun, begun, step),
            Entry(at, at, Kind.END, 0, 0, None, b"") if there is None else entry_at(data, at, at, there),
            Entry(at, at, Kind(log.found.kind), log.found.x, log.found.y, None, found),
        )

    def interrupt(self, vector: int, trigger: Callable[[int], bool]) -> bool:  # noqa: ARG002 - nobody is there
        """Compare which vector is signalled."""
        return bool(self.put(Kind.INTERRUPT, 1, vector))

    def command(self, text: bytes) -> bool:  # noqa: ARG002 - it has been read
        """Whoever does a step has read it."""
        self.begin(Kind.CONTROL)
        return True

    def missing(self, iova: int, size: int) -> bytes:
        """Return what somebody who looks at the card reads. Raises MemoryFault if the card itself asks."""
        if self._log.depth:
            raise MemoryFault(iova, size)
        self.at = int(self._log.at)
        return self.recall(iova, size)

    def close(self) -> None:
        """Let go of the engine."""
        if self._attached:
            self._let_go()
            self._attached = False
