# SPDX-License-Identifier: BSD-3-Clause
"""What an event must be like: its kind, which side of the act, what its fields hold, and what Python says of it."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from device_model.events import TOLD_BEFORE, TWO_SIDED, Event
from emulator.errors import UsageError
from emulator.recorder import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import CodeType

ANY = "*"
"""Stands for every kind."""

SIDES = ("before", "after")
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
CONDITION = re.compile(r"(\w+)(<=|>=|!=|=|<|>)(.*)", re.DOTALL)
BUILTINS = {f.__name__: f for f in (abs, all, any, bool, bytes, divmod, hex, int, len, max, min, range, sum)}
"""What a predicate may call, besides ``reg("RDT[0]")``, a register without side effects."""


class PredicateError(Exception):
    """A predicate raised; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One field against one value; text that ends in ``*`` stands for all that begins so."""

    name: str
    sign: str
    value: int | str | bool | bytes

    def holds(self, event: Event) -> bool:
        """Tell whether the event's field is so."""
        found = getattr(event, self.name)
        if isinstance(self.value, str) and self.value.endswith("*"):
            return found.startswith(self.value[:-1]) == (self.sign == "=")  # type: ignore[no-any-return]
        return OPERATORS[self.sign](found, self.value)


@dataclass(slots=True)
class Pattern:
    """Matches the ``nth`` event (from there on each) that is as it says, and counts."""

    kind: type[Event] | None
    other_side: bool
    conditions: tuple[Condition, ...]
    where: CodeType | None
    nth: int
    text: str
    told: int = field(default=0)
    """Events of its kind and side so far."""

    matched: int = field(default=0)

    @property
    def kinds(self) -> frozenset[type[Event]]:
        """The kinds of events to look at."""
        return frozenset(KINDS.values()) if self.kind is None else frozenset({self.kind})

    def take(self, event: Event, *, other_side: bool, register: Callable[[str], int]) -> bool:
        """Count ``event`` and tell whether it is the one that is meant. Raises PredicateError."""
        if other_side != self.other_side or not (self.kind is None or type(event) is self.kind):
            return False
        self.told += 1
        if not (all(condition.holds(event) for condition in self.conditions) and self._says_yes(event, register)):
            return False
        self.matched += 1
        return self.matched >= self.nth

    def forget(self) -> None:
        """Count from the beginning again."""
        self.told = self.matched = 0

    def _says_yes(self, event: Event, register: Callable[[str], int]) -> bool:
        if self.where is None:
            return True
        names = {each.name: getattr(event, each.name) for each in fields(event)}
        scope = {"__builtins__": BUILTINS, "kind": type(event).__name__, "reg": register, **names}
        try:
            return bool(eval(self.where, scope))  # noqa: S307 - whoever has the control socket may load patches, too
        except Exception as error:  # noqa: BLE001 - whatever it raises
            raise PredicateError(
                f"the predicate must answer for {type(event).__name__}, and raises {type(error).__name__}: {error}"
            ) from None


def parse_pattern(words: Sequence[str]) -> Pattern:
    """Return what ``[before|after] KIND [FIELD=VALUE …] [where=PYTHON] [nth=N]`` describes. Raises UsageError."""
    text = " ".join(words)
    side = words[0] if words and words[0] in SIDES else ""
    rest = list(words[1:] if side else words)
    if not rest:
        raise UsageError("an event must be named, as InterruptSent")
    kind = _kind(rest.pop(0))
    conditions: list[Condition] = []
    where, nth = None, 1
    for word in rest:
        match = CONDITION.fullmatch(word)
        if match is None:
            raise UsageError(f"a condition must have the form field=value (or !=, <, <=, >, >=), not {word!r}")
        name, sign, value = match.groups()
        if name == "nth" and sign == "=":
            nth = _nth(value)
        elif name == "where" and sign == "=":
            where = _predicate(value)
        else:
            conditions.append(_condition(kind, name, sign, value))
    return Pattern(kind, _other_side(kind, side), tuple(conditions), where, nth, text)


def _kind(name: str) -> type[Event] | None:
    if name == ANY:
        return None
    if name not in KINDS:
        raise UsageError(f"an event must be {ANY} or one of {', '.join(sorted(KINDS))}, not {name!r}")
    return KINDS[name]


def _other_side(kind: type[Event] | None, side: str) -> bool:
    if not side:
        return False
    natural = "before" if kind in TOLD_BEFORE else "after"
    if side == natural:
        return False
    if kind not in TWO_SIDED:
        names = ", ".join(sorted(each.__name__ for each in TWO_SIDED))
        name = ANY if kind is None else kind.__name__
        raise UsageError(f"{name} can be met only {natural} it has happened; {names} can be met on both sides")
    return True


def _nth(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not int(value):
        raise UsageError(f"nth must be a number from 1 on, not {value!r}")
    return int(value)


def _predicate(value: str) -> CodeType:
    try:
        return compile(value, "<where>", "eval")
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"where must be an expression of Python, not {value!r} ({error})") from None


def _condition(kind: type[Event] | None, name: str, sign: str, value: str) -> Condition:
    types = {each.name: str(each.type) for each in fields(kind or Event)}
    if name not in types:
        raise UsageError(
            f"a field of {ANY if kind is None else kind.__name__} must be one of {', '.join(types)}, not {name!r}"
        )
    found = _value(types[name], value)
    if found is None:
        wanted = {"int": "a number", "bool": "true or false", "bytes": "hexadecimal"}[types[name]]
        raise UsageError(f"{name} must be {wanted}, not {value!r}")
    if sign not in ("=", "!=") and not isinstance(found, int):
        raise UsageError(f"{name} can be = or != to something, and not {sign}")
    return Condition(name, sign, found)


def _value(kind: str, value: str) -> int | str | bool | bytes | None:
    if kind == "str":
        return value
    if kind == "bool":
        return {"true": True, "false": False}.get(value)
    try:
        return bytes.fromhex(value) if kind == "bytes" else int(value, 0)
    except ValueError:
        return None
