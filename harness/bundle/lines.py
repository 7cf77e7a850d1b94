# SPDX-License-Identifier: BSD-3-Clause
"""What a typed line may ask of a card that is run on a bundle and stands at an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.debug.card_lines import EVENTS, CardLines, Finished, Verb
from harness.errors import LabBroken
from harness.words import number, split

if TYPE_CHECKING:
    from harness.card import Card

LOOKS = (
    "registers",
    "ring",
    "events",
    "memory",
    "break",
    "rules",
    "delete",
    "continue",
    "step",
    "card",
    "help",
    "quit",
)


class ReplayLines(CardLines):
    """Asks a card in a replay. It goes on by ``continue`` and ``step``; its end ends the session."""

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        self.verbs["where"] = Verb("", "the event at which the card stands", self._where)
        self.verbs["step"] = Verb("[EVENT …]", "go on to the next such event", self._step)
        self.verbs = {name: self.verbs[name] for name in ("where", *LOOKS)}

    def where(self) -> str:
        """Return where the card stands, once it does. Raises Finished when the replay has ended."""
        try:
            stopped = self.card.stopped()
            [newest] = self.card.last_events(1)
        except LabBroken:
            raise Finished from None
        assert stopped is not None
        told = (newest.kind, newest.fields) == (stopped.event.kind, stopped.event.fields)
        return f"{'at' if told else 'after'} event {newest.number}: {stopped}"

    def _where(self, _: str) -> list[str]:
        return [self.where()]

    def _events(self, rest: str) -> list[str]:
        words = split(rest)
        count, kinds = number(words, 0, "the number of events", EVENTS), frozenset(words[1:])
        found = self.card.last_events(count)
        return [f"{event.number:>6} {event}" for event in found if not kinds or event.kind in kinds]

    def _continue(self, _: str) -> list[str]:
        self.card.resume()
        return [self.where()]

    def _step(self, rest: str) -> list[str]:
        self.card.call("step", to=rest or "*")
        return [self.where()]
