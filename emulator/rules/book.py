# SPDX-License-Identifier: BSD-3-Clause
"""The rules in force on one card, and what happens when one of them is met."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from device_model.nic import FaultError
from emulator.control.arguments import Arguments, CommandError
from emulator.control.levers import LEVERS
from emulator.errors import UsageError
from emulator.rules.halt import Halt, Halted
from emulator.rules.rule import STAND_MOST_US, STANDS_US, STOP, Action, parse_action, parse_rule, words_of

if TYPE_CHECKING:
    from device_model.events import Event
    from device_model.ports import Clock
    from emulator.control.card import ControlledNic
    from emulator.rules.rule import Rule

log = logging.getLogger(__name__)

MOST = 64
"""Rules at a time: each looks at every event of its kinds."""


class Rules:
    """The rules of a card. A fault takes force at the event itself; one that makes the card act does so right after.

    ``add`` and ``act`` raise UsageError with the reason if what they are asked for is impossible.
    """

    def __init__(self, nic: ControlledNic, clock: Clock) -> None:
        self.halt = Halt()
        self._nic = nic
        self._clock = clock
        self._rules: dict[int, Rule] = {}
        self._next = 1
        self.visitors_from: int | None = None
        """From where rules that have an owner are numbered, so that those without keep the numbers that they had."""

    def add(self, text: str, owner: object = None) -> Rule:
        """Put the rule that ``text`` describes in force (rule.FORM), for ``owner``."""
        apart = owner is not None and self.visitors_from is not None
        rule = parse_rule(text, (apart and self.visitors_from) or self._next)
        rule.owner = owner
        if len(self._rules) >= MOST:
            raise UsageError(f"there must be at most {MOST} rules at a time")
        self._try_out(rule.action)
        if apart:
            self.visitors_from = rule.number + 1
        else:
            self._next += 1
        self._rules[rule.number] = rule
        self._watch()
        return rule

    def act(self, text: str) -> dict[str, Any]:
        """Do at once what the action ``text`` asks for."""
        try:
            return self._carry_out(parse_action(words_of(text))) or {}
        except (FaultError, CommandError) as error:
            raise UsageError(str(error)) from None

    def remove(self, number: int) -> None:
        """Take a rule back."""
        if self._rules.pop(number, None) is None:
            known = ", ".join(map(str, self._rules)) or "there are none"
            raise UsageError(f"a rule must be one of those in force ({known}), not {number}")
        self._watch()

    def clear(self) -> None:
        """Take all rules back."""
        self._rules.clear()
        self._watch()

    def forget_faults(self) -> None:
        """Take back the rules that make the card misbehave; it still stands where it was to stand."""
        self._rules = {number: rule for number, rule in self._rules.items() if rule.action.name == STOP}
        self._watch()

    def all(self) -> list[Rule]:
        """Return the rules, the oldest first."""
        return list(self._rules.values())

    def left_by(self, owner: object) -> list[int]:
        """Take back where ``owner`` wanted the card to stand; if it stands there, it goes on. Return which rules."""
        theirs = {rule.number for rule in self.all() if rule.owner is owner and rule.action.name == STOP}
        self._rules = {number: rule for number, rule in self._rules.items() if number not in theirs}
        where = self.halt.at
        if where is not None and where.rule.owner is owner:
            self.halt.go()
        if theirs:
            self._watch()
        return sorted(theirs)

    def step(self, text: str, owner: object = None) -> Rule:
        """Go on from where the card stands to the next event that ``text`` describes."""
        rule = self.add(f"{STOP} times=1 when {text}", owner)
        self.halt.go()
        return rule

    def _watch(self) -> None:
        kinds: set[type[Event]] = set()
        others: set[type[Event]] = set()
        for rule in self._rules.values():
            if rule.pattern is not None:
                (others if rule.pattern.other_side else kinds).update(rule.pattern.kinds)
        self._nic.watch(self._met, frozenset(kinds), frozenset(others))

    def _met(self, event: Event, other_side: bool) -> None:  # noqa: FBT001 - a Watcher
        if self.halt.at is not None:
            return
        changed = stood = False
        for rule in self.all():
            before = rule.pattern
            if rule.take(event, other_side=other_side, register=self._register):
                stood = self._do(rule, event, other_side=other_side, stood=stood) or stood
            elif rule.failure and before is not None:
                log.warning("rule %d, %s, is given up: %s", rule.number, rule.text, rule.failure)
            changed = changed or rule.pattern is not before
        if changed:
            self._forget_steps()
            self._watch()

    def _do(self, rule: Rule, event: Event, *, other_side: bool, stood: bool) -> bool:
        """Act by ``rule``; return whether the card has stood. It stands once at an event, whoever asked for it."""
        if rule.action.name == STOP:
            if not stood and rule.number in self._rules:
                self.halt.stand(Halted(event, other_side, rule))
            return True
        if rule.delay_us or self._acts(rule.action):
            self._clock.call_at(self._clock.now_ns() + rule.delay_us * 1000, lambda: self._obey(rule))
        else:
            self._obey(rule)
        return False

    def _obey(self, rule: Rule) -> None:
        if self._rules.get(rule.number) is not rule:
            return  # taken back meanwhile
        try:
            self._carry_out(rule.action)
        except (FaultError, CommandError, UsageError) as error:
            rule.failure = str(error)
            log.warning("rule %d, %s, is given up: %s", rule.number, rule.text, error)

    def _forget_steps(self) -> None:
        """A step is over when it has been taken."""
        for number, rule in list(self._rules.items()):
            if rule.left == 0 and rule.action.name == STOP:
                del self._rules[number]

    # -- actions ------------------------------------------------------------------------------------------

    def _acts(self, action: Action) -> bool:
        return action.name in LEVERS or self._nic.faults.acts(action.name)

    def _carry_out(self, action: Action) -> dict[str, Any] | None:
        lever = LEVERS.get(action.name)
        if lever is None:
            return self._nic.faults.apply(action.name, **action.arguments)
        lever(self._nic, Arguments(action.arguments))()
        return None

    def _try_out(self, action: Action) -> None:
        """Refuse an action that is impossible, before anything depends on it."""
        if action.name == STOP:
            for name, value in action.arguments.items():
                if name != STANDS_US:
                    raise UsageError(f"stop must have no argument but times and {STANDS_US}, not {name}")
                if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= STAND_MOST_US:
                    raise UsageError(f"{STANDS_US} must be a number from 1 to {STAND_MOST_US}, not {value!r}")
            return
        try:
            lever = LEVERS.get(action.name)
            if lever is None:
                self._nic.faults.try_out(action.name, **action.arguments)
            else:
                lever(self._nic, Arguments(action.arguments))
        except (FaultError, CommandError) as error:
            raise UsageError(str(error)) from None

    def _register(self, name: str) -> int:
        return self._nic.registers_snapshot()[name]
