# SPDX-License-Identifier: BSD-3-Clause
"""A session that stays: one line typed, one thing asked of guest, QEMU or card, its answer as lines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from device_model.igb.spec import REGISTERS
from harness.deadline import Deadline
from harness.debug import gdb
from harness.errors import UsageError
from harness.words import number, pairs, split

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from harness.lab import Bound, Lab

GUEST_S = 120.0
MONITOR_S = 10.0
CONSOLE_LINES = 30
EVENTS = 20
RING_SLOTS = 8
STOP_S = 10
MEMORY_BYTES = 64
DRIVER_TEXT = "/sys/module/igb/sections/.text"
BY_NAME = {register.__name__: register for register in REGISTERS}


class Finished(Exception):
    """Whoever types has had enough."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: what follows it, what it does, and the function that takes the rest of the line."""

    takes: str
    does: str
    run: Callable[[str], list[str]]


class Session:
    """Asks the guest, QEMU and the card of ``bound``; ``folder`` gets the gdb stub's socket.

    ``run`` raises UsageError for a line that asks for nothing, and a WorldError when something is dead.
    """

    def __init__(self, lab: Lab, bound: Bound, folder: Path, vmlinux: Path | None = None) -> None:
        self.lab = lab
        self.bound = bound
        self._folder = folder
        self._vmlinux = gdb.find_vmlinux(bound.guest.kernel, vmlinux)
        self._stub: Path | None = None
        self.verbs = {
            "guest": Verb("COMMAND", "run a shell command in the guest, over ssh", self._guest),
            "type": Verb("TEXT", "type a line on the guest's serial console", self._type),
            "console": Verb("[LINES]", "the last lines of the console", self._console),
            "qmp": Verb("COMMAND [name=value …]", "run a QMP command of QEMU", self._qmp),
            "hmp": Verb("LINE", "run a line of QEMU's human monitor", self._hmp),
            "gdb": Verb("", "open QEMU's gdb stub, and say how gdb meets it", self._gdb),
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
            "quit": Verb("", "end the guest and the card", self._quit),
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

    # -- the guest ------------------------------------------------------------------------------------

    def _guest(self, rest: str) -> list[str]:
        done = self.bound.guest.run(_given(rest, "a command"), check=False, deadline=Deadline.after(GUEST_S))
        said = [*done.stdout.splitlines(), *done.stderr.splitlines()]
        return said if done.rc == 0 else [*said, f"exit status {done.rc}"]

    def _type(self, rest: str) -> list[str]:
        self.bound.console.send(f"{rest}\n")
        return []

    def _console(self, rest: str) -> list[str]:
        return self.bound.console.last(number(split(rest), 0, "the number of lines", CONSOLE_LINES)).splitlines()

    # -- QEMU -----------------------------------------------------------------------------------------

    def _qmp(self, rest: str) -> list[str]:
        command, *words = split(_given(rest, "a command"))
        return _json(self.lab.vm.execute(command, MONITOR_S, **pairs(words)))

    def _hmp(self, rest: str) -> list[str]:
        return self.lab.vm.monitor.human(_given(rest, "a line"), Deadline.after(MONITOR_S)).splitlines()

    def _gdb(self, _: str) -> list[str]:
        if self._stub is None:
            self._stub = gdb.open_stub(self.lab.vm, self._folder / "gdb")
        guest = self.bound.guest
        text = guest.symbols.addresses(["_text"])["_text"]
        driver = guest.agent.read_many([DRIVER_TEXT])[0]
        lines = [gdb.gdb_command(self._stub, self._vmlinux, text), "the guest stands still while gdb is there"]
        if self._vmlinux is None:
            lines.append(f"no symbols: apt-get install linux-image-{guest.kernel}-dbg, or --vmlinux FILE")
        if driver is not None:
            lines.append(f"for the driver's symbols, in gdb: add-symbol-file igb.ko {driver.strip()}")
        return lines

    # -- the card -------------------------------------------------------------------------------------

    def _card(self, rest: str) -> list[str]:
        command, *words = split(_given(rest, "a command"))
        return _json(self.bound.card.call(command, **pairs(words)))

    def _registers(self, rest: str) -> list[str]:
        names = [name.upper() for name in split(_given(rest, "a register, as CTRL or RDT[3],"))]
        return [decoded(name, word) for name, word in self.bound.card.registers(*names).items()]

    def _ring(self, rest: str) -> list[str]:
        direction, *more = split(_given(rest, "rx or tx and a queue"))
        return ring_lines(self.bound.card.ring(direction, number(more, 0, "the queue")))

    def _events(self, rest: str) -> list[str]:
        words = split(rest)
        count = number(words, 0, "the number of events", EVENTS)
        kinds = frozenset(words[1:])
        return [str(e) for e in self.bound.card.last_events(count) if not kinds or e.kind in kinds]

    def _fault(self, rest: str) -> list[str]:
        answer = self.bound.card.fault_as(_given(rest, "a fault"))
        return _json(answer) if answer else []

    def _faults(self, _: str) -> list[str]:
        return _json(self.bound.card.faults())

    # -- standing still -------------------------------------------------------------------------------

    def _break(self, rest: str) -> list[str]:
        number = self.bound.card.stop_when(_given(rest, "an event, as TxDescriptor queue=0,"))
        return [f"rule {number}: stop when {rest}"]

    def _rule(self, rest: str) -> list[str]:
        return [rule_line(self.bound.card.rule(_given(rest, "an action and when")))]

    def _rules(self, _: str) -> list[str]:
        where = self.bound.card.stopped()
        told = [str(where)] if where else []
        return told + [rule_line(rule) for rule in self.bound.card.rules()]

    def _delete(self, rest: str) -> list[str]:
        words = split(rest)
        self.bound.card.unrule(*(number(words, at, "a rule") for at in range(len(words))))
        return []

    def _wait(self, rest: str) -> list[str]:
        seconds = number(split(rest), 0, "seconds", STOP_S)
        return [str(self.bound.card.wait_stopped(Deadline.after(seconds)))]

    def _continue(self, _: str) -> list[str]:
        self.bound.card.resume()
        return []

    def _step(self, rest: str) -> list[str]:
        return [str(self.bound.card.step(rest or "*", Deadline.after(STOP_S)))]

    def _memory(self, rest: str) -> list[str]:
        words = split(_given(rest, "an address"))
        iova, size = number(words, 0, "the address"), number(words, 1, "the size", MEMORY_BYTES)
        return dump(iova, self.bound.card.memory(iova, size))

    def _heal(self, _: str) -> list[str]:
        self.bound.card.heal()
        return []

    def _link(self, rest: str) -> list[str]:
        turn = {"up": self.bound.card.link_up, "down": self.bound.card.link_down}.get(rest)
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


def _given(rest: str, what: str) -> str:
    if not rest:
        raise UsageError(f"{what} must follow")
    return rest


def _json(value: object) -> list[str]:
    return json.dumps(value, indent=1, ensure_ascii=False).splitlines()
