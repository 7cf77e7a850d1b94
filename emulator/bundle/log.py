# SPDX-License-Identifier: BSD-3-Clause
"""What a card's parts ask of its log, whether it is written or followed; and the writer for cards that Python runs."""

from __future__ import annotations

import json
import mmap
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from device_model.ports import MemoryFault
from emulator.bundle.entries import (
    ADDRESS,
    END,
    FAILED_READ,
    HEAD,
    TIME,
    TIMER,
    Kind,
)
from emulator.errors import EnvironmentLacks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from emulator.clock import MonotonicClock

LIMIT = 256 << 20
"""Bytes of a log, unless another limit is asked for: its beginning is kept, for without it nothing can be replayed."""

HEADER_MOST = 1 << 20
AHEAD = 1 << 19
LARGEST_STEP = 64 << 20
"""Room behind the limit, so that the last step is whole."""

INPUTS = frozenset(
    {"read_register", "write_register", "link", "rate", "reset", "fault", "inject", "rule", "unrule", "step"}
)
"""Commands of the control socket that do something to the card."""


class Log(Protocol):
    """One card's log. What is done outside of a step is not part of it."""

    def write_header(self, header: bytes) -> None:
        """Write what comes before the entries."""

    def now_ns(self) -> int:
        """Return the card's time: that of the step, for as long as the step lasts."""

    def begin(self, kind: Kind, x: int = 0, y: int = 0, body: bytes = b"") -> None:
        """Something comes from outside; within a step it is a part of that."""

    def end(self) -> None:
        """It has been done."""

    def put(self, kind: Kind, x: int = 0, y: int = 0, body: bytes = b"") -> int:
        """The card does something; return x as it was when the log was written."""

    def dma_read(self, iova: int, size: int, read: Callable[[int, int], bytes]) -> bytes:
        """Return what the card reads from guest memory. Raises MemoryFault."""

    def dma_write(self, iova: int, data: bytes, at_once: int, write: Callable[[], None]) -> None:
        """Let the card store ``data`` with ``write``. Raises MemoryFault."""

    def interrupt(self, vector: int, trigger: Callable[[int], bool]) -> bool:
        """Signal ``vector``; tell whether somebody listens."""

    def aside(self) -> Any:  # noqa: ANN401 - a context manager
        """Within this context somebody looks at the card, which is no part of what it does."""

    def command(self, text: bytes) -> bool:
        """Begin a step that is a command; False if it comes within one, and counts as coming behind it."""

    def close(self) -> None:
        """Finish the log."""


class Room:
    """The file of a log: mapped, with room for ``limit`` bytes and one step more; only what is written takes room."""

    def __init__(self, path: Path, limit: int) -> None:
        try:
            self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            os.ftruncate(self.fd, limit + LARGEST_STEP)
            self.map = mmap.mmap(self.fd, limit + LARGEST_STEP)
        except OSError as error:
            raise EnvironmentLacks(f"the log {path} must be writable, and is not: {error.strerror}") from error
        self._ready = 0
        if not self.has(HEADER_MOST):
            raise EnvironmentLacks(f"the log {path} must have place on its disk, and has none")

    def has(self, size: int) -> bool:
        """Tell whether the disk has place for the first ``size`` bytes: touching what has none would be a SIGBUS."""
        if size > self._ready:
            more = -(-(size - self._ready) // AHEAD) * AHEAD
            try:
                os.posix_fallocate(self.fd, self._ready, min(more, len(self.map) - self._ready))
            except OSError:
                return False
            self._ready += more
        return True

    def close(self, size: int) -> None:
        """Keep ``size`` bytes; a second call does nothing."""
        if self.map.closed:
            return
        self.map.close()
        os.ftruncate(self.fd, size)
        os.close(self.fd)


class Writer:
    """Writes the log of a card that Python runs. Implements `Log`."""

    def __init__(self, path: Path, limit: int, real_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """Begin with an empty file, which holds ``limit`` bytes at most."""
        self._room = Room(path, limit)
        self._data = self._room.map
        self._limit = limit
        self._real_ns = real_ns
        self._time = real_ns()
        self._at = self._begun = 0
        self._depth = 0
        self._full = self._muted = False
        self._steps = self._lost_steps = self._lost_bytes = 0
        self._later: list[bytes] = []

    def write_header(self, header: bytes) -> None:
        """Write what comes before the entries."""
        self._data[: len(header)] = header
        self._at = len(header)

    def now_ns(self) -> int:
        """Return the card's time."""
        return self._time

    def begin(self, kind: Kind, x: int = 0, y: int = 0, body: bytes = b"") -> None:
        """Something comes from outside."""
        self._depth += 1
        if self._depth > 1:
            return
        self._time = self._real_ns()
        self._full = self._full or self._at >= self._limit
        self._muted = self._full
        self._lost_steps += self._muted
        self._steps += not self._muted
        self._begun = self._at
        self._append(kind, x, y, TIME.pack(self._time) + body)

    def end(self) -> None:
        """It has been done."""
        self._depth -= 1
        if not self._depth and self._later:
            later, self._later = self._later, []
            for text in later:
                self.begin(Kind.CONTROL, 0, 0, text)
                self.end()

    def put(self, kind: Kind, x: int = 0, y: int = 0, body: bytes = b"") -> int:
        """The card does something."""
        if self._depth:
            self._append(kind, x, y, body)
        return x

    def dma_read(self, iova: int, size: int, read: Callable[[int, int], bytes]) -> bytes:
        """Read, and note what was there."""
        try:
            data = read(iova, size)
        except MemoryFault:
            self.put(Kind.DMA_READ, 0, 0, FAILED_READ.pack(iova, size))
            raise
        self.put(Kind.DMA_READ, 1, 0, ADDRESS.pack(iova) + data)
        return data

    def dma_write(self, iova: int, data: bytes, at_once: int, write: Callable[[], None]) -> None:
        """Store, and note what was stored and whether it could be."""
        try:
            write()
        except MemoryFault:
            self.put(Kind.DMA_WRITE, 0, at_once, ADDRESS.pack(iova) + data)
            raise
        self.put(Kind.DMA_WRITE, 1, at_once, ADDRESS.pack(iova) + data)

    def interrupt(self, vector: int, trigger: Callable[[int], bool]) -> bool:
        """Signal ``vector``, and note it."""
        heard = trigger(vector)
        self.put(Kind.INTERRUPT, heard, vector)
        return heard

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Note nothing meanwhile."""
        depth, self._depth = self._depth, 0
        try:
            yield
        finally:
            self._depth = depth

    def command(self, text: bytes) -> bool:
        """Begin a step that is a command, or note it behind the present one."""
        if self._depth:
            self._later.append(text)
            return False
        self.begin(Kind.CONTROL, 0, 0, text)
        return True

    def close(self) -> None:
        """Write the end, and give the file its size."""
        if self._data.closed:
            return
        body = END.pack(self._steps, self._lost_steps, self._lost_bytes)
        self._muted = False
        self._append(Kind.END, 0, 0, body)
        self._room.close(self._at)

    def _append(self, kind: Kind, x: int, y: int, body: bytes) -> None:
        size = HEAD.size + len(body)
        end = self._at + size + HEAD.size + END.size
        if not self._muted and (end > self._limit + LARGEST_STEP or not self._room.has(end)):
            self._give_up()
        if self._muted:
            self._lost_bytes += size
            return
        data, at = self._data, self._at
        HEAD.pack_into(data, at, kind, x, y, len(body))
        data[at + HEAD.size : at + size] = body
        self._at = at + size

    def _give_up(self) -> None:
        """Forget the step that does not fit."""
        self._lost_bytes += self._at - self._begun
        self._data[self._begun : self._at] = bytes(self._at - self._begun)
        self._at = self._begun
        self._full = self._muted = True
        self._steps -= 1
        self._lost_steps += 1


def timed_by(log: Log, clock: MonotonicClock) -> None:
    """Let ``clock`` show the time of ``log``, and each call that it makes be a step."""

    def step(when_ns: int, action: Callable[[], None]) -> None:
        log.begin(Kind.TIMER, 0, 0, TIMER.pack(0, when_ns)[TIME.size :])
        try:
            action()
        finally:
            log.end()

    clock.now_ns = log.now_ns
    clock.around = step


def command_text(name: str, given: dict[str, Any]) -> bytes:
    """Return a command of the control socket as a log has it."""
    return json.dumps({"command": name, **given}).encode()
