# SPDX-License-Identifier: BSD-3-Clause
"""A log that is followed: what the card asks is answered from it, and what the card does must be what stands there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from device_model.ports import MemoryFault
from emulator.bundle.entries import (
    ADDRESS,
    END,
    FAILED_READ,
    FIRST_OUTCOME,
    HEAD,
    BundleDamaged,
    Entry,
    Kind,
    entry_at,
    head_at,
    parse_header,
    whole,
)
from emulator.bundle.recall import Recall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Difference(Exception):
    """The card did something else than the log says: ``expected`` stands there, ``found`` is what it did."""

    def __init__(self, step: Entry | None, expected: Entry, found: Entry | None) -> None:
        super().__init__()
        self.step = step
        self.expected = expected
        self.found = found


class Reader:
    """Follows the log in ``data``. Implements `emulator.bundle.log.Log`."""

    def __init__(self, data: memoryview) -> None:
        self.header, self.start = parse_header(data)
        end, self.closed = whole(data, self.start)
        self.data = data[:end]
        """The log as far as its steps are whole."""

        self.lost_steps = self.lost_bytes = 0
        self.at = self.start
        self.time_ns = self.header.born_ns
        self.step: Entry | None = None
        self.depth = 0
        self._steps = 0
        self._recall = Recall(self.data, self.start)
        if self.closed:
            _, self.lost_steps, self.lost_bytes = END.unpack_from(data, end - END.size)

    def write_header(self, header: bytes) -> None:
        """Do nothing: it has been read."""

    def now_ns(self) -> int:
        """Return the card's time."""
        return self.time_ns

    # -- for whoever does the steps --------------------------------------------------------------------------

    def next_step(self) -> Entry | None:
        """Return the step that comes next and pass it; None at the end. Raises BundleDamaged."""
        head = head_at(self.data, self.at)
        if head is None or head[0] == Kind.END:
            return None
        entry = entry_at(self.data, self.at, self.at, head)
        if not entry.is_step:
            raise BundleDamaged(f"a card's log must have a step at byte {self.at}, not {entry.kind.name}")
        self.at += HEAD.size + head[3]
        assert entry.t_ns is not None
        self._steps += 1
        self.step, self.time_ns = entry, entry.t_ns
        return entry

    @property
    def steps(self) -> int:
        """How many steps were begun."""
        return self._steps

    def fire(self, when_ns: int) -> bool:  # noqa: ARG002 - a native card has some
        """Let a timer fire that Python does not know; False: there is none."""
        return False

    def check(self) -> None:
        """Raise Difference if the step that was done has left something out."""
        head = head_at(self.data, self.at)
        if head is not None and FIRST_OUTCOME <= head[0] < Kind.END:
            raise Difference(self.step, entry_at(self.data, self.at, self.at, head), None)

    def recall(self, iova: int, size: int) -> bytes:
        """Return guest memory as the card knows it by now; what it has never seen is zero."""
        return self._recall.read(self.at, iova, size)

    def number_of(self, at: int) -> int:
        """Return the number of the entry at byte ``at``."""
        number, place = 0, self.start
        while place < at and (head := head_at(self.data, place)) is not None:
            place += HEAD.size + head[3]
            number += 1
        return number

    # -- emulator.bundle.log.Log -----------------------------------------------------------------------------

    def begin(self, kind: Kind, x: int = 0, y: int = 0, body: bytes = b"") -> None:  # noqa: ARG002 - it has been read
        """Whoever does a step has read it."""
        self.depth += 1

    def end(self) -> None:
        """The step has been done."""
        self.depth -= 1

    def put(self, kind: Kind, x: int = 0, y: int = 0, body: bytes = b"") -> int:
        """Compare what the card does with what it did. Raises Difference."""
        if not self.depth:
            return x
        entry = self._expect()
        same_x = kind in (Kind.DMA_WRITE, Kind.INTERRUPT) or entry.x == x
        if not (entry.kind == kind and same_x and entry.y == y and entry.body == body):
            raise Difference(self.step, entry, Entry(self.at, entry.number, kind, x, y, None, body))
        self._pass(entry)
        return entry.x

    def dma_read(self, iova: int, size: int, read: Callable[[int, int], bytes]) -> bytes:  # noqa: ARG002 - nothing is there
        """Return what was there. Raises MemoryFault and Difference."""
        if not self.depth:
            return self.recall(iova, size)
        entry = self._expect()
        same = entry.kind == Kind.DMA_READ and ADDRESS.unpack_from(entry.body)[0] == iova
        failed = same and not entry.x
        if same and failed:
            same = len(entry.body) == FAILED_READ.size and FAILED_READ.unpack(entry.body) == (iova, size)
        elif same:
            same = len(entry.body) == ADDRESS.size + size
        if not same:
            wanted = FAILED_READ.pack(iova, size)
            raise Difference(self.step, entry, Entry(self.at, entry.number, Kind.DMA_READ, 0, 0, None, wanted))
        self._pass(entry)
        if failed:
            raise MemoryFault(iova, size)
        return entry.body[ADDRESS.size :]

    def dma_write(self, iova: int, data: bytes, at_once: int, write: Callable[[], None]) -> None:  # noqa: ARG002 - nobody is there
        """Compare what is stored with what was. Raises MemoryFault and Difference."""
        if not self.put(Kind.DMA_WRITE, 1, at_once, ADDRESS.pack(iova) + data):
            raise MemoryFault(iova, len(data))

    def interrupt(self, vector: int, trigger: Callable[[int], bool]) -> bool:  # noqa: ARG002 - nobody is there
        """Compare which vector is signalled. Raises Difference."""
        return bool(self.put(Kind.INTERRUPT, 1, vector))

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Compare nothing meanwhile."""
        depth, self.depth = self.depth, 0
        try:
            yield
        finally:
            self.depth = depth

    def command(self, text: bytes) -> bool:  # noqa: ARG002 - it has been read
        """Whoever does a step has read it."""
        self.depth += 1
        return True

    def close(self) -> None:
        """Do nothing: the file is not ours."""

    def _expect(self) -> Entry:
        head = head_at(self.data, self.at)
        if head is None:
            raise BundleDamaged(f"a card's log must go on at byte {self.at}, and ends")
        return entry_at(self.data, self.at, self.at, head)

    def _pass(self, entry: Entry) -> None:
        self.at = entry.at + HEAD.size + (len(entry.body) if entry.kind >= FIRST_OUTCOME else 0)
