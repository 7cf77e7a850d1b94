# SPDX-License-Identifier: BSD-3-Clause
"""The commands of the control socket: what a tester can see of a running card, and what they can do to it.

docs/control.md is the manual; a test holds the two together.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from device_model.nic import LinkPartner, Reset
from emulator.control.arguments import Arguments, CommandError
from emulator.recorder import KINDS, QUIET_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.control.card import ControlledCard
    from emulator.recorder import EventLog

EVENTS_DEFAULT = 1000
EVENTS_MAX = 200_000
EVENTS_BYTES = 1 << 20
"""How many events one answer holds, and about how long it may be."""

SPEEDS_MBPS = (10, 100, 1000)
RATE_MAX_MBPS = 1_000_000
BAR_SIZE = 128 * 1024
"""BAR 0 of the 82576 (data sheet 9.4.11)."""

FRAME_BYTES_MAX = 16384


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
            "link": self._link,
            "rate": self._rate,
            "fault": self._fault,
            "faults": self._faults,
            "inject": self._inject,
            "reset": self._reset,
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all commands."""
        return tuple(self._table)

    def run(self, name: object, given: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON values
        """Carry out command ``name`` with the arguments ``given``. Raises CommandError."""
        command = self._table.get(name) if isinstance(name, str) else None
        if command is None:
            raise CommandError(f"command must be one of {', '.join(self._table)}, not {name!r}")
        return command(Arguments(given))

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

    def _link(self, arguments: Arguments) -> None:
        state = arguments.word("state", ("up", "down"))
        speeds = arguments.numbers("speeds")
        pause = arguments.switch("pause", default=True)
        full_duplex = arguments.switch("full_duplex", default=True)
        arguments.finish()
        if state == "down":
            self._card.nic.connect(None)
            return
        offered = frozenset(SPEEDS_MBPS if speeds is None else speeds)
        if not offered or not offered <= set(SPEEDS_MBPS):
            raise CommandError(f"speeds must be out of {SPEEDS_MBPS}, at least one, not {speeds!r}")
        self._card.nic.connect(LinkPartner(offered, full_duplex, pause, pause))

    def _rate(self, arguments: Arguments) -> None:
        rate = arguments.anything("mbps")
        arguments.finish()
        number = isinstance(rate, int) and not isinstance(rate, bool) and 1 <= rate <= RATE_MAX_MBPS
        if not number and rate not in ("unlimited", "auto"):
            raise CommandError(f'mbps must be a number from 1 to {RATE_MAX_MBPS}, "unlimited" or "auto", not {rate!r}')
        self._card.nic.set_rate(rate)

    def _fault(self, arguments: Arguments) -> dict[str, Any]:
        name = arguments.text("name")
        details = arguments.rest()
        for detail, value in details.items():
            if value is not None and not isinstance(value, int | str):
                raise CommandError(f"{detail} of a fault must be a number, string, Boolean or null, not {value!r}")
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

    def _reset(self, arguments: Arguments) -> None:
        kind = arguments.word("kind", tuple(kind.value for kind in Reset), Reset.POWER_ON.value)
        arguments.finish()
        self._card.nic.reset(Reset(kind))


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
