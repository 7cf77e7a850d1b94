# SPDX-License-Identifier: BSD-3-Clause
"""A NIC that only remembers: registers as storage, and commands by which a test makes it use its ports.

Writing 8 bytes or less to BAR 0 stores them. Writing to COMMAND (0x100) makes the NIC act, on the
arguments stored before: it copies guest memory, stores words, sends messages, drives INTx, raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from device_model.igb.spec import pci as igb_pci
from device_model.ports import MemoryFault
from emulator.families import Family, Ports, Strapping, Surroundings, python_card

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from device_model.events import Event, Observer, Watcher
    from device_model.nic import LinkPartner, Reset
    from emulator.card import Card

COMMAND, SOURCE, TARGET, LENGTH, RESULT = 0x100, 0x108, 0x110, 0x118, 0x120
COPY, STORE32, STORE64, SEND, INTX_ON, INTX_OFF, FAIL, COUNT_RESETS, COUNT_CHANGES, VANISH = range(1, 11)
FAULTED = 0xBAD


class NoFaults:
    def apply(self, name: str, **arguments: Any) -> dict[str, Any]:
        raise ValueError(f"no fault {name} with {arguments}")

    def try_out(self, name: str, **arguments: Any) -> None:
        self.apply(name, **arguments)

    def acts(self, name: str) -> bool:
        return not name

    def in_force(self) -> dict[str, Any]:
        return {}


class RememberingNic:
    """Implements emulator.card.HostedNic."""

    def __init__(self, around: Ports, strapping: Strapping) -> None:
        self.around = around
        self.strapping = strapping
        self.faults = NoFaults()
        self.bars: dict[int, bytearray] = {0: bytearray(0x20000), 1: bytearray(0x20000), 2: bytearray(32)}
        self.accesses: list[tuple[str, int, int, int, int]] = []
        self.frames: list[bytes] = []
        self.resets: list[Reset] = []
        self.changes = 0
        self.present = True
        self.observers: list[Observer] = []

    def region_read(self, bar: int, offset: int, size: int) -> int:
        value = int.from_bytes(self.bars[bar][offset : offset + size], "little")
        self.accesses.append(("read", bar, offset, size, value))
        return value

    def region_write(self, bar: int, offset: int, size: int, value: int) -> None:
        self.accesses.append(("write", bar, offset, size, value))
        self.bars[bar][offset : offset + size] = value.to_bytes(size, "little")
        if bar == 0 and offset == COMMAND:
            self._set(RESULT, self._obey(value))

    def _get(self, at: int) -> int:
        return int.from_bytes(self.bars[0][at : at + 8], "little")

    def _set(self, at: int, value: int) -> None:
        self.bars[0][at : at + 8] = value.to_bytes(8, "little")

    def _obey(self, command: int) -> int:
        memory, interrupts = self.around.memory, self.around.interrupts
        source, target, length = self._get(SOURCE), self._get(TARGET), self._get(LENGTH)
        if command == FAIL:
            raise ZeroDivisionError("the fake was told to fail")
        try:
            if command == COPY:
                memory.write(target, memory.read(source, length))
            elif command == STORE32:
                memory.store32(target, source)
            elif command == STORE64:
                memory.store64(target, source)
        except MemoryFault:
            return FAULTED
        if command == SEND:
            interrupts.send(source)
        elif command in (INTX_ON, INTX_OFF):
            interrupts.set_intx(command == INTX_ON)
        elif command == COUNT_RESETS:
            return len(self.resets)
        elif command == VANISH:
            self.present = False
        elif command == COUNT_CHANGES:
            return self.changes
        return command

    def receive(self, frame: bytes) -> None:
        self.frames.append(frame)

    def reset(self, kind: Reset) -> None:
        self.resets.append(kind)
        self.present = True
        self.around.interrupts.set_intx(False)

    def connect(self, partner: LinkPartner | None) -> None:
        raise NotImplementedError(partner)

    def received_note(self) -> str:
        return f"frame {len(self.frames)}"

    def sent_note(self) -> str:
        return "sent"

    def interrupts_changed(self) -> None:
        self.changes += 1

    def observe(self, observer: Observer) -> Callable[[], None]:
        self.observers.append(observer)
        return lambda: self.observers.remove(observer)

    def watch(self, watcher: Watcher, kinds: frozenset[type[Event]], other_sides: frozenset[type[Event]]) -> None:
        pass

    def set_rate(self, rate: int | str) -> None:
        raise NotImplementedError(rate)

    def registers_snapshot(self) -> dict[str, int]:
        return {}

    def ring_snapshot(self, direction: str, queue: int) -> dict[str, Any]:
        return {"direction": direction, "queue": queue}

    def totals_snapshot(self) -> dict[str, Any]:
        return {}

    def statistics_snapshot(self) -> dict[str, int]:
        return {}


def remembering_card(around: Surroundings, strapping: Strapping, _undo: ExitStack) -> Card:
    return python_card(around, lambda ports: RememberingNic(ports, strapping))


FAKE_FAMILY = Family("fake", igb_pci.function, {"python": remembering_card})
