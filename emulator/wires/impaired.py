# SPDX-License-Identifier: BSD-3-Clause
"""A bad cable around any other wire: seeded loss, duplication, bit errors, delay and reordering, in both directions."""

from __future__ import annotations

import heapq
import random
import select
import time
from dataclasses import dataclass, fields
from itertools import count
from typing import TYPE_CHECKING, Any

from emulator.errors import UsageError
from emulator.wires.alarm import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.wires.end import WireCounts, WireEnd

REORDER_NS = 2_000_000
"""How much later than its successors a frame leaves that is to be overtaken."""

DELAY_MAX_US = 10_000_000


@dataclass(frozen=True, slots=True)
class Impairment:
    """How bad the cable is: probabilities per frame (0 to 1), a delay for every frame, and the seed of the choices."""

    loss: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    reorder: float = 0.0
    delay_us: int = 0
    seed: int = 1


def parse_impairment(text: str) -> Impairment:
    """Return what ``loss=0.01,delay_us=500,seed=7`` says. Raises UsageError naming the part that does not fit."""
    names = [field.name for field in fields(Impairment)]
    said: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name not in names:
            raise UsageError(f"an impairment must be one of {', '.join(names)} with =VALUE, not {part!r}")
        try:
            number = int(value) if name in ("delay_us", "seed") else float(value)
        except ValueError:
            raise UsageError(f"{name} must be a number, not {value!r}") from None
        most = {"delay_us": DELAY_MAX_US, "seed": 1 << 64}.get(name, 1)
        if not 0 <= number <= most:
            raise UsageError(f"{name} must be from 0 to {most}, not {value}")
        said[name] = number
    return Impairment(**said)


class _Lane:
    """One direction: decides what happens to each frame and keeps those that are under way."""

    def __init__(self, bad: Impairment, seed: str, now_ns: Callable[[], int]) -> None:
        self._bad = bad
        self._choose = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self._now_ns = now_ns
        self._under_way: list[tuple[int, int, bytes]] = []
        self._order = count()

    def put(self, frame: bytes) -> None:
        """Let ``frame`` start."""
        chance = self._choose.random
        lost, twice, spoilt, late = (
            chance() < limit for limit in (self._bad.loss, self._bad.duplicate, self._bad.corrupt, self._bad.reorder)
        )
        position = self._choose.randrange(len(frame) * 8)
        if lost:
            return
        if spoilt:
            at, bit = divmod(position, 8)
            frame = frame[:at] + bytes([frame[at] ^ 1 << bit]) + frame[at + 1 :]
        due = self._now_ns() + self._bad.delay_us * 1000 + late * REORDER_NS
        for _ in range(1 + twice):
            heapq.heappush(self._under_way, (due, next(self._order), frame))

    def arrived(self) -> list[bytes]:
        """Return the frames whose time has come, in order."""
        now = self._now_ns()
        frames = []
        while self._under_way and self._under_way[0][0] <= now:
            frames.append(heapq.heappop(self._under_way)[2])
        return frames

    @property
    def next_ns(self) -> int | None:
        """When the next frame arrives; None: nothing is under way."""
        return self._under_way[0][0] if self._under_way else None


class ImpairedWire:
    """``wire`` as it would be over a cable that is as ``bad`` as said. The same seed makes the same choices."""

    def __init__(self, wire: WireEnd, bad: Impairment, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._wire = wire
        self._now_ns = now_ns
        self._out = _Lane(bad, f"{bad.seed} out", now_ns)
        self._in = _Lane(bad, f"{bad.seed} in", now_ns)
        self._alarm = Alarm()
        self._epoll = select.epoll()
        self._epoll.register(self._alarm, select.EPOLLIN)
        inner = wire.fileno()
        if inner is not None:
            self._epoll.register(inner, select.EPOLLIN)

    @property
    def counts(self) -> WireCounts:
        """The counters of the wire itself: what the bad cable lost was never emitted there."""
        return self._wire.counts

    @property
    def connected(self) -> bool:
        """Whether somebody is at the other end."""
        return self._wire.connected

    def fileno(self) -> int | None:
        """Return a descriptor that is readable when frames come or those under way arrive; None after ``close``."""
        return None if self._epoll.closed else self._epoll.fileno()

    def emit(self, frame: bytes) -> None:
        """Let one frame start towards the peer."""
        if frame and not self._epoll.closed:
            self._out.put(frame)
            self._move()

    def poll(self) -> list[bytes]:
        """Return the frames that have arrived."""
        if self._epoll.closed:
            return []
        self._alarm.silence()
        for frame in self._wire.poll():
            self._in.put(frame)
        frames = self._in.arrived()
        self._move()
        return frames

    def close(self) -> None:
        """Forget what is under way and close the wire."""
        if not self._epoll.closed:
            self._epoll.close()
            self._alarm.close()
            self._wire.close()

    def _move(self) -> None:
        """Emit what has reached the far end and set the alarm for what comes next."""
        for frame in self._out.arrived():
            self._wire.emit(frame)
        times = [lane.next_ns for lane in (self._in, self._out) if lane.next_ns is not None]
        if times:
            self._alarm.ring_after(min(times) - self._now_ns())
