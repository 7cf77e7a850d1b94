# SPDX-License-Identifier: BSD-3-Clause
"""What a typed line may ask of a card, its answer as lines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from device_model.igb.spec import REGISTERS
from harness.deadline import Deadline
from harness.errors import UsageError
from harness.words import number, pairs, split

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.card import Card

EVENTS = 20
RING_SLOTS = 8
STOP_S = 10
MEMORY_BYTES = 64
BY_NAME = {register.__name__: register for register in REGISTERS}


class Finished(Exception):
    """Whoever types has had enough."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: what follows it, what it does, and the function that takes the rest of the line."""

    takes: str
    does: str
    run: Callable[[str], list[str]]


class CardLines:
    """Asks ``card``. ``run`` raises UsageError for a line that asks for nothing, WorldError when something is dead."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self.verbs = {
            "card": Verb("COMMAND [name=value …]", "run a command of the card (docs/control.md)", self._card),
            "registers": Verb("NAME …", "registers of the card, decoded", self._registers),
            "ring": Verb("rx|tx QUEUE", "a ring and the descriptors around its head", self._ring),
            "events": Verb("[COUNT] [KIND …]", "the newest events that the card kept", self._events),
            "fault": Verb("NAME [name=value …]", "make the card misbehave", self._fault),
            "faults": Verb("", "the faults in force", self._faults),
            "break": Verb("[before|after] EVENT …", "let the card stand there (docs/control.md)", self._break),
            "rule": Verb("ACTION … when EVENT …", "do that at an event", self._rule),
            "rules": Verb("", "breakpoints and rules, and what they have met", self._rules),
            "delete": Verb("[NUMBER …]", "take these rules back, or all", self._delete),
            "wait": Verb("[SECONDS]", "wait until the card stands", self._wait),
            "continue": Verb("", "let the card go on", self._continue),
            "step": Verb("[EVENT …]", "go on to the next such event", self._step),
            "memory": Verb("IOVA [SIZE]", "bytes of guest memory, as the card reads them", self._memory),
            "heal": Verb("", "end every fault", self._heal),
            "link": Verb("up|down", "plug the cable in, or pull it out", self._link),
            "help": Verb("", "this list", self._help),
            "quit": Verb("", "end the session", self._quit),
        }

    def run(self, line: str) -> list[str]:
        """Carry out one line and return what there is to say. Raises Finished for ``quit``."""
        name, _, rest = line.strip().partition(" ")
        if not name:
            return []
        verb = self.verbs.get(name)
        if verb is None:
            raise UsageError(f"a line must begin with one of {', '.join(self.verbs)}, not {name!r}")
        if not verb.takes and rest.strip():
            raise UsageError(f"nothing must follow {name}, not {rest.strip()!r}")
        return verb.run(rest.strip())

    def _help(self, _: str) -> list[str]:
        heads = {name: f"{name} {verb.takes}".rstrip() for name, verb in self.verbs.items()}
        width = max(map(len, heads.values()))
        return [f"{heads[name]:{width}}  {verb.does}" for name, verb in self.verbs.items()]

    def _quit(self, _: str) -> list[str]:
        raise Finished

    # -- the card -------------------------------------------------------------------------------------

    def _card(self, rest: str) -> list[str]:
        command, *words = split(given(rest, "a command"))
        return json_lines(self.card.call(command, **pairs(words)))

    def _registers(self, rest: str) -> list[str]:
        names = [name.upper() for name in split(given(rest, "a register, as CTRL or RDT[3],"))]
        return [decoded(name, word) for name, word in self.card.registers(*names).items()]

    def _ring(self, rest: str) -> list[str]:
        direction, *more = split(given(rest, "rx or tx and a queue"))
        return ring_lines(self.card.ring(direction, number(more, 0, "the queue")))

    def _events(self, rest: str) -> list[str]:
        words = split(rest)
        count = number(words, 0, "the number of events", EVENTS)
        kinds = frozenset(words[1:])
        return [str(e) for e in self.card.last_events(count) if not kinds or e.kind in kinds]

    def _fault(self, rest: str) -> list[str]:
        answer = self.card.fault_as(given(rest, "a fault"))
        return json_lines(answer) if answer else []

    def _faults(self, _: str) -> list[str]:
        return json_lines(self.card.faults())

    # -- standing still -------------------------------------------------------------------------------

    def _break(self, rest: str) -> list[str]:
        number = self.card.stop_when(given(rest, "an event, as TxDescriptor queue=0,"))
        return [f"rule {number}: stop when {rest}"]

    def _rule(self, rest: str) -> list[str]:
        return [rule_line(self.card.rule(given(rest, "an action and when")))]

    def _rules(self, _: str) -> list[str]:
        where = self.card.stopped()
        told = [str(where)] if where else []
        return told + [rule_line(rule) for rule in self.card.rules()]

    def _delete(self, rest: str) -> list[str]:
        words = split(rest)
        self.card.unrule(*(number(words, at, "a rule") for at in range(len(words))))
        return []

    def _wait(self, rest: str) -> list[str]:
        seconds = number(split(rest), 0, "seconds", STOP_S)
        return [str(self.card.wait_stopped(Deadline.after(seconds)))]

    def _continue(self, _: str) -> list[str]:
        self.card.resume()
        return []

    def _step(self, rest: str) -> list[str]:
        return [str(self.card.step(rest or "*", Deadline.after(STOP_S)))]

    def _memory(self, rest: str) -> list[str]:
        words = split(given(rest, "an address"))
        iova, size = number(words, 0, "the address"), number(words, 1, "the size", MEMORY_BYTES)
        return dump(iova, self.card.memory(iova, size))

    def _heal(self, _: str) -> list[str]:
        self.card.heal()
        return []

    def _link(self, rest: str) -> list[str]:
        turn = {"up": self.card.link_up, "down": self.card.link_down}.get(rest)
        if turn is None:
            raise UsageError(f"link must be up or down, not {rest!r}")
        turn()
        return []


def decoded(name: str, word: int) -> str:
    """Return a register's value and those of its fields that are not 0."""
    register = BY_NAME.get(name.partition("[")[0])
    fields = {} if register is None else register.decode(word)
    told = " ".join(
        f"{field}={value:#x}" if value > 9 else f"{field}={value}" for field, value in fields.items() if value
    )
    return f"{name:12} {word:08x}  {told}".rstrip()


def rule_line(rule: dict[str, Any]) -> str:
    """Return a rule and how it stands as one line."""
    state = rule["failure"] or (
        f"met {rule['told']}, {rule['matched']} match" if rule["waits_for"] else "has done its work"
    )
    return f"rule {rule['rule']}: {rule['text']}  ({state}; acted {rule['acted']})"


def dump(iova: int, data: bytes) -> list[str]:
    """Return bytes as lines of sixteen, each with its address."""
    return [f"{iova + at:#012x}  {data[at : at + 16].hex(' ')}" for at in range(0, len(data), 16)]


def ring_lines(state: dict[str, Any]) -> list[str]:
    """Return a ring's pointers, and the descriptors around its head, as lines."""
    slots: Sequence[dict[str, Any]] = state.get("descriptors", ())
    head = state.get("head", 0)
    told = [f"{key} {value:#x}" if key == "base" else f"{key} {value}" for key, value in state.items() if _plain(value)]
    near = [slots[(head + step) % len(slots)] for step in range(-RING_SLOTS // 2, RING_SLOTS // 2)] if slots else []
    seen = {slot["index"]: slot for slot in near}
    return [", ".join(told), *(_slot(slot, head) for slot in seen.values())]


def _slot(slot: dict[str, Any], head: int) -> str:
    fields = " ".join(f"{name}={_shown(value)}" for name, value in slot.items() if name != "index" and value)
    return f"{'>' if slot['index'] == head else ' '} {slot['index']:5}  {fields}"


def _shown(value: object) -> str:
    return f"{value:#x}" if isinstance(value, int) and value > 9 else str(int(value) if value is True else value)


def _plain(value: object) -> bool:
    return isinstance(value, int | str)


def given(rest: str, what: str) -> str:
    """Return ``rest``; UsageError if it is empty where ``what`` must be."""
    if not rest:
        raise UsageError(f"{what} must follow")
    return rest


def json_lines(value: object) -> list[str]:
    """Return a value as lines of JSON."""
    return json.dumps(value, indent=1, ensure_ascii=False).splitlines()
