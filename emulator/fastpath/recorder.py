# SPDX-License-Identifier: BSD-3-Clause
"""The newest events of a native card: kept by the engine (tell.c), turned into JSON only when somebody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.events import to_json
from emulator.fastpath.events import KINDS as NATIVE_KINDS
from emulator.fastpath.events import NUMBER
from emulator.recorder import FIELD_BYTES, KINDS, QUIET_KINDS, Excerpt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.fastpath.nic import NativeIgb
    from emulator.recorder import JsonEvent


class NativeRecorder:
    """As emulator.recorder.Recorder. What is lost first is what is oldest: by number of events, or of their bytes."""

    def __init__(self, nic: NativeIgb) -> None:
        self._tell = nic.native_tell
        self._record = nic.engine.e.tell
        self._kept: frozenset[int] = frozenset()
        self.select(QUIET_KINDS)

    @property
    def next(self) -> int:
        """The number of the event that will be kept next."""
        return int(self._record.next)

    @property
    def selected(self) -> list[str]:
        """The names of the kinds that are kept, sorted."""
        return sorted(NATIVE_KINDS[number].__name__ for number in self._kept)

    def select(self, kinds: Iterable[str]) -> None:
        """Keep the events of ``kinds`` (names out of KINDS) from now on; none at all costs nothing."""
        self._kept = frozenset(NUMBER[KINDS[name]] for name in kinds)
        self._tell.recorded = sum(1 << number for number in self._kept)
        self._tell.listen()

    def counts(self) -> dict[str, int]:
        """Return how many events of each kind happened while somebody listened, kept or not."""
        return {kind.__name__: int(self._record.counts[number]) for number, kind in enumerate(NATIVE_KINDS)}

    def since(self, number: int, kinds: frozenset[str] | None, limit: int, limit_bytes: int) -> Excerpt:
        """Return at most ``limit`` events numbered ``number`` and above, of ``kinds`` (None: all).

        Ends early when the JSON text would be longer than about ``limit_bytes``.
        """
        oldest = int(self._record.oldest)
        wanted = None if kinds is None else frozenset(KINDS[name] for name in kinds)
        found: list[JsonEvent] = []
        size = 0
        at = max(number, oldest)
        while at < self.next and len(found) < limit and size < limit_bytes:
            kind = self._tell.kind(at)
            event = self._tell.event(at) if wanted is None or kind in wanted else None
            if event is not None:
                as_json = to_json(event)
                size += FIELD_BYTES * len(as_json) + sum(len(v) for v in as_json.values() if isinstance(v, str))
                found.append({"number": at, **as_json})
            at += 1
        return Excerpt(found, at, max(0, oldest - number))

    def close(self) -> None:
        """Keep nothing more."""
        self.select(())
