# SPDX-License-Identifier: BSD-3-Clause
"""What the card is doing, looked at twice a second over a connection of its own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from harness.card import Card
from harness.errors import UsageError, WorldError

if TYPE_CHECKING:
    from types import TracebackType

PERIOD_S = 0.5
PATIENCE_S = 5.0
EVENTS = 60


class Watcher:
    """Keeps ``status`` (one line) and ``events`` (the newest, as text) fresh; a dead card is a status, too."""

    def __init__(self, card: Card) -> None:
        self.status = ""
        self.events: list[str] = []
        self._path = card.path
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(PATIENCE_S)

    def _watch(self) -> None:
        try:
            with Card(self._path, PATIENCE_S) as card:
                while not self._ended.is_set():
                    self._look(card)
                    self._ended.wait(PERIOD_S)
        except (WorldError, UsageError) as error:
            self.status = f"the card is gone: {error}"

    def _look(self, card: Card) -> None:
        about = card.describe()
        wire = about["wire"]
        status = card.register("STATUS")
        self.events = [str(event) for event in card.last_events(EVENTS)]
        faults = card.faults()
        where = card.stopped()
        self.status = (f"STANDS {where.side} {where.event}  " if where else "") + (
            f"{about['nic']}  link {'up' if status & 2 else 'down'}  {about['interrupts']}  "
            f"out {wire['emitted']:,}  in {wire['arrived']:,}  dropped {wire['dropped']:,}"
            f"{'  FAULTS: ' + ', '.join(faults) if faults else ''}"
        )
