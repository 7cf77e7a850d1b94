# SPDX-License-Identifier: BSD-3-Clause
"""Standing still at an event: nothing of the card goes on but the answers to those who look at it."""

from __future__ import annotations

import logging
import select
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from device_model.events import TOLD_BEFORE, Event, to_json
from emulator.rules.rule import STANDS_US

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.rules.rule import Rule
    from emulator.server import Controls, StopSignal

log = logging.getLogger(__name__)

PATIENCE_S = 3600.0
"""Nobody looks longer at one event."""


@dataclass(frozen=True, slots=True)
class Halted:
    """Where the card stands."""

    event: Event
    other_side: bool
    rule: Rule

    @property
    def side(self) -> str:
        """``before`` the act or ``after`` it."""
        return "before" if (type(self.event) in TOLD_BEFORE) != self.other_side else "after"

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"rule": self.rule.number, "text": self.rule.text, "side": self.side, "event": to_json(self.event)}


class Halt:
    """Holds the card. ``at`` is where it stands now."""

    def __init__(self) -> None:
        self.at: Halted | None = None
        self.ignores: Callable[[Rule], bool] = lambda _rule: False
        """Which rules it does not stand for."""

        self._controls: Controls | None = None
        self._stop: StopSignal | None = None

    @property
    def possible(self) -> bool:
        """Whether there is anybody who could let the card go on."""
        return self._controls is not None

    def served_by(self, controls: Controls | None, stop: StopSignal | None) -> None:
        """Answer ``controls`` while the card stands, and end when ``stop`` asks for it."""
        self._controls, self._stop = controls, stop

    def stand(self, where: Halted) -> None:
        """Stand until somebody says go, or nobody is connected, or the process is to end, or the time is over.

        That is PATIENCE_S, or as long as the rule says (``for_us``), with or without anybody connected.
        """
        controls, stop = self._controls, self._stop
        for_us = where.rule.action.arguments.get(STANDS_US)
        watched = controls is not None and controls.connected
        if self.at is not None or self.ignores(where.rule) or not (watched or for_us):
            return
        self.at = where
        until = time.monotonic() + (for_us / 1e6 if for_us else PATIENCE_S)
        stops = [] if stop is None else [stop.fileno()]
        try:
            while self.at is not None and (for_us or (controls is not None and controls.connected)):
                fds = [] if controls is None else controls.filenos()
                ready, _, _ = select.select([*stops, *fds], (), (), max(0.0, until - time.monotonic()))
                if not ready and not for_us:
                    log.warning("the card has stood for %g s and goes on by itself", PATIENCE_S)
                if not ready or (stops and stops[0] in ready):
                    break
                for fd in ready:
                    if controls is not None:
                        controls.ready(fd)
        finally:
            self.at = None

    def go(self) -> None:
        """Let the card go on, once whoever says so has been answered."""
        self.at = None
