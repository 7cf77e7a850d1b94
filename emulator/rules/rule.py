# SPDX-License-Identifier: BSD-3-Clause
"""One rule: what is done, at which event, since which others, and how often."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from emulator.control.words import value_of
from emulator.errors import UsageError
from emulator.rules.pattern import PredicateError, parse_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from device_model.events import Event
    from emulator.rules.pattern import Pattern

STOP = "stop"
STANDS_US = "for_us"
"""How long a stop lasts that nobody needs to end."""

STAND_MOST_US = 10_000_000
WHEN, SINCE = "when", "since"
FOR_EVER = "always"
DELAY_MOST_US = 3_600_000_000
FORM = "ACTION [name=value …] when [before|after] EVENT [field=value …] [where=PYTHON] [nth=N] [since EVENT …] …"


@dataclass(frozen=True, slots=True)
class Action:
    """What a rule does: ``stop``, or a fault or another lever of the card, with its arguments."""

    name: str
    arguments: dict[str, Any]


@dataclass(slots=True)
class Rule:
    """A rule in force. ``stages`` are the events that must come first, in their order, and last the one that counts.

    ``left`` is how often it may still act (None: as often as it likes), ``failure`` why it never will.
    """

    number: int
    text: str
    action: Action
    stages: tuple[Pattern, ...]
    left: int | None
    delay_us: int = 0
    """How long after its event it acts."""

    owner: object = None
    """Whoever set it, if it goes when they go."""

    reached: int = field(default=0)
    acted: int = field(default=0)
    failure: str = field(default="")

    @property
    def pattern(self) -> Pattern | None:
        """What the rule waits for now; None: it waits no more."""
        return None if self.left == 0 or self.failure else self.stages[self.reached]

    def take(self, event: Event, *, other_side: bool, register: Callable[[str], int]) -> bool:
        """Look at ``event``; tell whether to act now."""
        pattern = self.pattern
        if pattern is None:
            return False
        try:
            met = pattern.take(event, other_side=other_side, register=register)
        except PredicateError as error:
            self.failure = str(error)
            return False
        if not met:
            return False
        if self.reached < len(self.stages) - 1:
            self.reached += 1
            return False
        self.acted += 1
        if self.left is not None:
            self.left -= 1
        return True

    def as_json(self) -> dict[str, Any]:
        """Return the rule as JSON values: with what it waits for, and how much of that it has seen."""
        waits = self.pattern
        return {
            "rule": self.number,
            "text": self.text,
            "acted": self.acted,
            "left": self.left,
            "waits_for": None if waits is None else waits.text,
            "told": 0 if waits is None else waits.told,
            "matched": 0 if waits is None else waits.matched,
            "failure": self.failure or None,
        }


def is_rule(text: str) -> bool:
    """Tell whether ``text`` says when, and not just what."""
    return WHEN in words_of(text)


def parse_action(words: Sequence[str]) -> Action:
    """Return what ``NAME [name=value …]`` asks for. Raises UsageError."""
    name, *pairs = words or [""]
    arguments = {}
    for word in pairs:
        key, sign, value = word.partition("=")
        if not sign or not key:
            raise UsageError(f"an argument must have the form name=value, not {word!r}")
        arguments[key] = value_of(value)
    return Action(name, arguments)


def parse_rule(text: str, number: int) -> Rule:
    """Return the rule that ``text`` describes, see FORM. Raises UsageError."""
    words = words_of(text)
    if WHEN not in words:
        raise UsageError(f"a rule must have the form {FORM}, not {text!r}")
    at = words.index(WHEN)
    action = parse_action(words[:at])
    times = action.arguments.pop("times", FOR_EVER if action.name == STOP else 1)
    if times == FOR_EVER:
        left = None
    elif isinstance(times, int) and not isinstance(times, bool) and times > 0:
        left = times
    else:
        raise UsageError(f"times must be a number from 1 on or {FOR_EVER}, not {times!r}")
    delay_us = action.arguments.pop("delay_us", 0)
    if not isinstance(delay_us, int) or isinstance(delay_us, bool) or not 0 <= delay_us <= DELAY_MOST_US:
        raise UsageError(f"delay_us must be a number from 0 to {DELAY_MOST_US}, not {delay_us!r}")
    if delay_us and action.name == STOP:
        raise UsageError("a stop must come at its event, without delay_us")
    parts: list[list[str]] = [[]]
    for word in words[at + 1 :]:
        if word == SINCE:
            parts.append([])
        else:
            parts[-1].append(word)
    return Rule(number, text, action, tuple(parse_pattern(part) for part in reversed(parts)), left, delay_us)


def words_of(text: str) -> list[str]:
    """Split a line as a shell does. Raises UsageError for a quote that does not end."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"a line must have closed quotes, not {text!r} ({error})") from None
