# SPDX-License-Identifier: BSD-3-Clause
"""Where a card stands still, and what the rules of one that does not are waiting for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.seen import Seen

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Stopped:
    """The card stands ``side`` (before or after) ``event``, because of rule number ``rule`` with its ``text``."""

    rule: int
    text: str
    side: str
    event: Seen

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Stopped:
        """Return what the control socket says."""
        return cls(answer["rule"], answer["text"], answer["side"], Seen.of({"number": -1, **answer["event"]}))

    def __str__(self) -> str:
        return f"the card stands {self.side} {self.event} (rule {self.rule}: {self.text})"


def waiting_for(rules: Sequence[dict[str, Any]]) -> str:
    """Return a sentence about what ``rules``, as Card.rules returns them, have seen."""
    told = [
        f"rule {rule['rule']} waits for {rule['waits_for']}, has met {rule['told']} of that kind "
        f"and {rule['matched']} of them match"
        for rule in rules
        if rule["waits_for"]
    ]
    return "; ".join(told) or "no rule waits for anything"
