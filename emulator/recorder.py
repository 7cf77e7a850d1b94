# SPDX-License-Identifier: BSD-3-Clause
"""The newest events of a NIC, kept as objects in a ring and turned into JSON only when somebody asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from device_model import events
from device_model.events import Event, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    JsonEvent = dict[str, int | str | bool]

CAPACITY = 200_000

FIELD_BYTES = 24
"""About what one field takes as JSON text, besides the string in it."""

KINDS: dict[str, type[Event]] = {
    name: kind
    for name, kind in vars(events).items()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}
"""Every kind of event by its name."""

QUIET_KINDS = frozenset(KINDS) - {"DmaRead", "DmaWrite", "RegisterRead"}
"""What is kept unless somebody asks for more: everything except what comes several times a packet."""


class Observable(Protocol):
    """What the recorder needs of a NIC."""

    def observe(self, observer: Callable[[Event], None]) -> Callable[[], None]:
        """Tell ``observer`` every event from now on; the returned function ends that."""


class EventLog(Protocol):
    """The newest events of a card, as control connections want them."""

    @property
    def next(self) -> int:
        """The number of the event that will be kept next."""

    @property
    def selected(self) -> list[str]:
        """The names of the kinds that are kept, sorted."""

    def select(self, kinds: Iterable[str]) -> None:
        """Keep the events of ``kinds`` (names out of KINDS) from now on."""

    def counts(self) -> dict[str, int]:
        """Return how many events of each kind happened while somebody listened, kept or not."""

    def since(self, number: int, kinds: frozenset[str] | None, limit: int, limit_bytes: int) -> Excerpt:
        """Return events numbered ``number`` and above, of ``kinds`` (None: all), within the limits."""

    def close(self) -> None:
        """Keep nothing more."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """``events`` in order; ``next`` is the number to go on from; ``lost`` were asked for but overwritten."""

    events: list[JsonEvent]
    next: int
    lost: int


class Recorder:
    """Keeps the newest ``capacity`` events of the selected kinds; they are numbered from 0 as they are kept."""

    def __init__(self, nic: Observable, capacity: int = CAPACITY) -> None:
        self._nic = nic
        self._capacity = capacity
        self._ring: list[Event] = []
        self._next = 0
        self._counts: dict[type[Event], int] = dict.fromkeys(KINDS.values(), 0)
        self._kept: frozenset[type[Event]] = frozenset()
        self._stop: Callable[[], None] | None = None
        self.select(QUIET_KINDS)

    @property
    def next(self) -> int:
        """The number of the event that will be kept next."""
        return self._next

    @property
    def selected(self) -> list[str]:
        """The names of the kinds that are kept, sorted."""
        return sorted(kind.__name__ for kind in self._kept)

    def select(self, kinds: Iterable[str]) -> None:
        """Keep the events of ``kinds`` (names out of KINDS) from now on; none at all stops observing the NIC."""
        self._kept = frozenset(KINDS[name] for name in kinds)
        if self._kept and self._stop is None:
            self._stop = self._nic.observe(self._note)
        elif not self._kept and self._stop is not None:
            self._stop()
            self._stop = None

    def counts(self) -> dict[str, int]:
        """Return how many events of each kind happened while the NIC was observed, kept or not."""
        return {kind.__name__: count for kind, count in self._counts.items()}

    def since(self, number: int, kinds: frozenset[str] | None, limit: int, limit_bytes: int) -> Excerpt:
        """Return at most ``limit`` events numbered ``number`` and above, of ``kinds`` (None: all).

        Ends early when the JSON text would be longer than about ``limit_bytes``.
        """
        oldest = max(0, self._next - self._capacity)
        wanted = None if kinds is None else frozenset(KINDS[name] for name in kinds)
        found: list[JsonEvent] = []
        size = 0
        at = max(number, oldest)
        while at < self._next and len(found) < limit and size < limit_bytes:
            event = self._ring[at % self._capacity]
            if wanted is None or type(event) in wanted:
                as_json = to_json(event)
                size += FIELD_BYTES * len(as_json) + sum(len(v) for v in as_json.values() if isinstance(v, str))
                found.append({"number": at, **as_json})
            at += 1
        return Excerpt(found, at, max(0, oldest - number))

    def close(self) -> None:
        """Stop observing."""
        self.select(())

    def _note(self, event: Event) -> None:
        kind = type(event)
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if kind not in self._kept:
            return
        if self._next < self._capacity:
            self._ring.append(event)
        else:
            self._ring[self._next % self._capacity] = event
        self._next += 1
