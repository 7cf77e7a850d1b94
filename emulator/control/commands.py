# SPDX-License-Identifier: BSD-3-Clause
"""The commands of the control socket: what a tester can see of a running card, and what they can do to it.

docs/control.md is the manual; a test holds the two together.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from device_model.ports import MemoryFault
from emulator.bundle.log import INPUTS, command_text
from emulator.control.arguments import Arguments, CommandError
from emulator.control.levers import LEVERS
from emulator.recorder import KINDS, QUIET_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.control.card import ControlledCard, ControlledNic
    from emulator.recorder import EventLog

EVENTS_DEFAULT = 1000
EVENTS_MAX = 200_000
EVENTS_BYTES = 1 << 20
"""How many events one answer holds, and about how long it may be."""

BAR_SIZE = 128 * 1024
"""BAR 0 of the 82576 (data sheet 9.4.11)."""

FRAME_BYTES_MAX = 16384
MEMORY_BYTES_MAX = 65536
WHILE_STANDING = frozenset(
    {
        "describe", "events", "record", "counts", "registers", "ring", "statistics", "totals", "memory",
        "faults",        "rule", "rules", "unrule", "stopped", "resume", "step",
    }
)  # fmt: skip
"""Commands that a card answers while it stands at an event: those that look, and those that let it go on."""


class Commands:
    """The commands on one card. ``run`` takes a request and returns the ``result`` of its answer."""

    def __init__(self, card: ControlledCard, recorder: EventLog) -> None:
        self._card = card
        self._recorder = recorder
        self._table: dict[str, Callable[[Arguments], Any]] = {
            "describe": self._describe,
            "events": self._events,
            "record": self._record,
            "counts": self._counts,
            "registers": self._registers,
            "read_register": self._read_register,
            "write_register": self._write_register,
            "ring": self._ring,
            "statistics": self._statistics,
            "totals": self._totals,
            "memory": self._memory,
            **{name: partial(self._pull, lever) for name, lever in LEVERS.items()},
            "fault": self._fault,
            "faults": self._faults,
            "inject": self._inject,
            "rule": self._rule,
            "rules": self._rules,
            "unrule": self._unrule,
            "stopped": self._stopped,
            "resume": self._resume,
            "step": self._step,
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all commands."""
        return tuple(self._table)

    def run(self, name: object, given: dict[str, Any], asker: object = None) -> Any:  # noqa: ANN401 - JSON values
        """Carry out command ``name`` of ``asker`` with the arguments ``given``. Raises CommandError."""
        command = self._table.get(name) if isinstance(name, str) else None
        if command is None:
            raise CommandError(f"command must be one of {', '.join(self._table)}, not {name!r}")
        where = self._card.rules.halt.at
        if where is not None and name not in WHILE_STANDING:
            raise CommandError(f"the card stands {where.side} {type(where.event).__name__}: resume must come first")
        log = self._card.log
        if log is None:
            return command(Arguments(given, asker))
        if name not in INPUTS or not log.command(command_text(str(name), given)):
            with log.aside():
                return command(Arguments(given, asker))
        try:
            return command(Arguments(given, asker))
        finally:
            log.end()

    def left(self, asker: object) -> None:
        """Take back where ``asker``, who has gone, wanted the card to stand."""
        log, rules = self._card.log, self._card.rules.left_by(asker)
        if log is not None and rules and log.command(command_text("unrule", {"rules": rules})):
            log.end()

    def _describe(self, arguments: Arguments) -> dict[str, Any]:
        arguments.finish()
        card = self._card
        return {
            "process": os.getpid(),
            "nic": type(card.nic).__name__,
            "wire": {"kind": type(card.wire).__name__, "connected": card.wire.connected, **card.wire.counts.as_json()},
            "interrupts": card.interrupts.mode.value,
            "now_ns": card.clock.now_ns(),
            "commands": list(self._table),
            "kinds": sorted(KINDS),
        }

    def _events(self, arguments: Arguments) -> dict[str, Any]:
        since = arguments.number("since", 0, 1 << 62, self._recorder.next)
        kinds = arguments.texts("kinds")
        limit = arguments.number("limit", 0, EVENTS_MAX, EVENTS_DEFAULT)
        arguments.finish()
        wanted = None if kinds is None else frozenset(_known(kinds))
        excerpt = self._recorder.since(since, wanted, limit, EVENTS_BYTES)
        return {"events": excerpt.events, "next": excerpt.next, "lost": excerpt.lost}

    def _record(self, arguments: Arguments) -> dict[str, Any]:
        kinds = arguments.anything("kinds")
        arguments.finish()
        before = self._recorder.selected
        if kinds is None:
            self._recorder.select(KINDS)
        elif kinds == "default":
            self._recorder.select(QUIET_KINDS)
        elif isinstance(kinds, list):
            self._recorder.select(_known(kinds))
        else:
            raise CommandError(f'kinds must be a list of kinds, null or "default", not {kinds!r}')
        return {"before": before, "kinds": self._recorder.selected}

    def _counts(self, arguments: Arguments) -> dict[str, int]:
        arguments.finish()
        return self._recorder.counts()

    def _registers(self, arguments: Arguments) -> dict[str, int]:
        names = arguments.texts("names")
        arguments.finish()
        registers = self._card.nic.registers_snapshot()
        if names is None:
            return registers
        unknown = [name for name in names if name not in registers]
        if unknown:
            raise CommandError(f"register must be one of this card's, as CTRL or RDT[3], not {unknown[0]!r}")
        return {name: registers[name] for name in names}

    def _read_register(self, arguments: Arguments) -> int:
        offset = _offset(arguments)
        arguments.finish()
        return self._card.nic.region_read(0, offset, 4)

    def _write_register(self, arguments: Arguments) -> None:
        offset = _offset(arguments)
        value = arguments.number("value", 0, 0xFFFF_FFFF)
        arguments.finish()
        self._card.nic.region_write(0, offset, 4, value)

    def _ring(self, arguments: Arguments) -> dict[str, Any]:
        direction = arguments.word("direction", ("rx", "tx"))
        queue = arguments.number("queue", 0, 15)
        arguments.finish()
        return self._card.nic.ring_snapshot(direction, queue)

    def _statistics(self, arguments: Arguments) -> dict[str, int]:
        arguments.finish()
        return self._card.nic.statistics_snapshot()

    def _totals(self, arguments: Arguments) -> dict[str, Any]:
        arguments.finish()
        card = self._card
        return {
            "now_ns": card.clock.now_ns(),
            "interrupts": card.interrupts.mode.value,
            "wire": card.wire.counts.as_json(),
            **card.nic.totals_snapshot(),
        }

    def _pull(self, lever: Callable[[ControlledNic, Arguments], Callable[[], None]], arguments: Arguments) -> None:
        lever(self._card.nic, arguments)()

    def _memory(self, arguments: Arguments) -> str:
        iova = arguments.number("iova", 0, (1 << 64) - 1)
        size = arguments.number("size", 1, MEMORY_BYTES_MAX)
        arguments.finish()
        try:
            return self._card.memory.read(iova, size).hex()
        except MemoryFault as fault:
            raise CommandError(str(fault)) from None

    def _fault(self, arguments: Arguments) -> dict[str, Any]:
        name = arguments.text("name")
        details = arguments.rest()
        for detail, value in details.items():
            if value is not None and not isinstance(value, int | str):
                raise CommandError(f"{detail} of a fault must be a number, string, Boolean or null, not {value!r}")
        if name == "clear":
            self._card.rules.forget_faults()
        return self._card.nic.faults.apply(name, **details)

    def _faults(self, arguments: Arguments) -> dict[str, Any]:
        arguments.finish()
        return self._card.nic.faults.in_force()

    def _inject(self, arguments: Arguments) -> int:
        texts = arguments.texts("frames") or []
        arguments.finish()
        frames = [_frame(text) for text in texts]
        for frame in frames:
            self._card.nic.receive(frame)
        return len(frames)

    def _rule(self, arguments: Arguments) -> dict[str, Any]:
        text = arguments.text("text")
        arguments.finish()
        return self._card.rules.add(text, arguments.asker).as_json()

    def _rules(self, arguments: Arguments) -> list[dict[str, Any]]:
        arguments.finish()
        return [rule.as_json() for rule in self._card.rules.all()]

    def _unrule(self, arguments: Arguments) -> None:
        number = arguments.numbers("rules")
        arguments.finish()
        if number is None:
            self._card.rules.clear()
        for each in number or ():
            self._card.rules.remove(each)

    def _stopped(self, arguments: Arguments) -> dict[str, Any] | None:
        arguments.finish()
        where = self._card.rules.halt.at
        return None if where is None else where.as_json()

    def _resume(self, arguments: Arguments) -> None:
        arguments.finish()
        self._must_stand()
        self._card.rules.halt.go()

    def _step(self, arguments: Arguments) -> dict[str, Any]:
        text = arguments.text("to", "*")
        arguments.finish()
        self._must_stand()
        return self._card.rules.step(text, arguments.asker).as_json()

    def _must_stand(self) -> None:
        if self._card.rules.halt.at is None:
            raise CommandError("the card must stand at an event, and it runs")


def _known(kinds: list[Any]) -> list[str]:
    for kind in kinds:
        if not isinstance(kind, str) or kind not in KINDS:
            raise CommandError(f"kind must be one of {', '.join(sorted(KINDS))}, not {kind!r}")
    return kinds


def _offset(arguments: Arguments) -> int:
    offset = arguments.number("offset", 0, BAR_SIZE - 4)
    if offset % 4:
        raise CommandError(f"offset must be a multiple of 4, not {offset:#x}")
    return offset


def _frame(text: str) -> bytes:
    try:
        frame = bytes.fromhex(text)
    except ValueError:
        raise CommandError(f"frame must be hexadecimal, not {text[:40]!r}") from None
    if not 14 <= len(frame) <= FRAME_BYTES_MAX:
        raise CommandError(f"frame must have 14 to {FRAME_BYTES_MAX} bytes, not {len(frame)}")
    return frame
