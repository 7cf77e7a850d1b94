# SPDX-License-Identifier: BSD-3-Clause
"""A card without a client, a wire or a clock of its own, to which a log does again what was done to it."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

from device_model.igb.nic import Igb
from device_model.nic import FaultError
from emulator.assembly import load_patch, parse_gap, parse_mac, parse_rate, prepare
from emulator.bundle.entries import MAP, MASK, READ, TIME, TIMER, UNMAP, WRITE, BundleDamaged, Kind
from emulator.bundle.native import NativeReader
from emulator.bundle.ports import SCHEMES, LoggedDevice
from emulator.bundle.reader import Reader
from emulator.clock import MonotonicClock
from emulator.control.arguments import CommandError
from emulator.control.commands import Commands
from emulator.errors import UsageError
from emulator.families import FAMILIES, Strapping, Surroundings
from emulator.pci import ConfigSpace, expose
from emulator.recorder import KINDS
from emulator.vfu.device import ClientReset, DmaRegion
from emulator.wires.null import NullWire

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.bundle.entries import Entry, Header
    from emulator.card import Card
    from emulator.rules.rule import Rule
    from emulator.vfu.context import Context


VISITORS = 1001
"""The number of the first rule that is not one of those that the card had."""


class NoClient:
    """Implements what a card asks of `emulator.vfu.context.Context`, with nobody connected."""

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self.when_failing: Callable[[], None] = lambda: None

    def trigger(self, vector: int) -> bool:  # noqa: ARG002 - nobody listens
        """Signal nobody."""
        return True

    def keep(self, failure: BaseException) -> None:
        """Remember what a callback raised; the first one counts."""
        self.failure = self.failure or failure
        self.when_failing()

    def raise_kept(self) -> None:
        """Raise it."""
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure

    def signaller(self, ffi: Any) -> tuple[Any, Any]:  # noqa: ANN401 - cffi's objects have no types
        """Return no function."""
        return ffi.NULL, ffi.NULL

    def answer_bar0(self, ffi: Any, read: Any, write: Any, engine: Any) -> None:  # noqa: ANN401 - cffi's objects have no types
        """Nobody asks."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a replay did: ``steps`` and bytes of the log that came out alike."""

    steps: int
    size: int
    card_ns: int


class Replay:
    """The card of a log, on ``engine`` (empty: the one that wrote it). A context manager."""

    def __init__(self, data: memoryview, engine: str = "") -> None:
        header = Reader(data).header
        self.engine = engine or header.engine
        self._undo = ExitStack()
        self.log = NativeReader(data) if self.engine == "native" else Reader(data)
        self.card = _card(header, self.engine, self.log, self._undo)
        self.events = self.card.recorder()
        self.events.select(())
        self._until: Rule | None = None
        self._commands = Commands(self.card, self.events)
        self._device = LoggedDevice(self.card.endpoint, self.log)
        if isinstance(self.log, NativeReader):
            self.log.settle = getattr(self.card.nic, "settle", lambda: None)
        self._do: dict[int, Callable[[Entry], None]] = {
            Kind.READ: lambda e: self._read(e.x, READ.unpack(_timed(e))[1], e.y),
            Kind.WRITE: lambda e: self._device.write(e.x, *_write(e)),
            Kind.RESET: lambda e: self._device.reset(ClientReset.LOST_CLIENT if e.x else ClientReset.REQUESTED),
            Kind.MAP: self._map,
            Kind.UNMAP: lambda e: self._device.dma_unmap(*UNMAP.unpack(_timed(e))[1:]),
            Kind.MASK: self._mask,
            Kind.FRAME_IN: lambda e: self.card.receive(e.body),
            Kind.TIMER: self._fire,
            Kind.CONTROL: self._command,
        }

    def stand_at(self, event: int) -> None:
        """Let the card stand at the event of this number, where whoever is served by its halt can look at it."""
        rules = self.card.rules
        rules.visitors_from = VISITORS
        rules.halt.ignores = lambda rule: rule.owner is None
        self.events.select(KINDS)
        self._until = rules.add(f"stop times=1 when * nth={event + 1}", owner=self)

    @property
    def stood(self) -> bool:
        """Whether the event of ``stand_at`` has come."""
        return self._until is not None and self._until.acted > 0

    def step(self) -> Entry | None:
        """Do the next step and return it; None at the end. Raises Difference, BundleDamaged."""
        entry = self.log.next_step()
        if entry is None:
            return None
        try:
            self._do[entry.kind](entry)
            self.card.context.raise_kept()
        except (ValueError, OverflowError, IndexError) as error:
            raise BundleDamaged(f"step {self.log.steps} of the log must make sense, and does not: {error}") from error
        self.log.check()
        return entry

    def run(self) -> Account:
        """Do all steps. Raises Difference, BundleDamaged."""
        while self.step() is not None:
            pass
        return Account(self.log.steps, self.log.at, self.log.time_ns - self.log.header.born_ns)

    def close(self) -> None:
        """Give back what the card holds."""
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- steps ----------------------------------------------------------------------------------------------

    def _read(self, region: int, offset: int, size: int) -> None:
        self._device.read(region, offset, size)

    def _map(self, entry: Entry) -> None:
        _, iova, size, _ = MAP.unpack(_timed(entry))
        self._device.dma_map(DmaRegion(iova, size, 0, 0, bool(entry.x & 1), bool(entry.x & 2)))

    def _mask(self, entry: Entry) -> None:
        _, start, count = MASK.unpack(_timed(entry))
        self._device.irq_masked(SCHEMES[entry.x], range(start, start + count), bool(entry.y))

    def _fire(self, entry: Entry) -> None:
        self.log.begin(Kind.TIMER)
        when_ns = TIMER.unpack(_timed(entry))[1]
        if not self.log.fire(when_ns):
            self.card.clock.fire(when_ns)
        self.log.end()

    def _command(self, entry: Entry) -> None:
        request = json.loads(entry.body)
        if request["command"] == "step":
            request = {"command": "rule", "text": f"stop times=1 when {request.get('to', '*')}"}
        with suppress(CommandError, FaultError, UsageError):  # it was refused then, too
            self._commands.run(request.pop("command"), request)


def _timed(entry: Entry) -> bytes:
    return TIME.pack(entry.t_ns or 0) + entry.body


def _write(entry: Entry) -> tuple[int, int, int]:
    _, offset, value = WRITE.unpack(_timed(entry))
    return offset, entry.y, value


def _card(header: Header, engine: str, log: Reader, undo: ExitStack) -> Card:
    """Return the card that ``header`` describes, which asks and tells ``log``."""
    family = FAMILIES.get(header.nic)
    if family is None:
        raise UsageError(f"the NIC of a log must be one of {', '.join(FAMILIES)}, not {header.nic!r}")
    make = family.engines.get(engine)
    if make is None:
        raise UsageError(f"the engine must be one of {', '.join(family.engines)}, not {engine!r}")
    if header.patches and engine != "python":
        raise UsageError(f"a log of a card with patches must be replayed by the engine python, not {engine}")
    nvm = None if header.nvm is None else bytes.fromhex(header.nvm)
    automatic = header.least_gap == "auto"
    gap_us = 0 if automatic else parse_gap(header.least_gap)
    strapping = Strapping(parse_mac(header.mac), parse_rate(header.rate), nvm, gap_us)
    patches = [load_patch(text) for text in header.patches]
    space = ConfigSpace(expose(family.function(strapping.mac), header.irq, header.msix_vectors))
    clock = MonotonicClock(log.now_ns)
    context = cast("Context", NoClient())
    around = Surroundings(space, context, NullWire(), clock, log=log)
    card = make(around, strapping, undo)
    if isinstance(card.nic, Igb):
        card.nic.interrupts.paced = automatic and header.engine == "native"
    prepare(card, patches, header.faults)
    return card
