# SPDX-License-Identifier: BSD-3-Clause
"""Storage, access rules and hooks for declared registers. Knows no register by name."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from device_model.declare import Access, DeclarationError, Register

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    ReadHook = Callable[[int], int]
    WriteHook = Callable[[int, int, int], None]


class _Slot:
    """One 32-bit register element: its value, its rules as masks, its hooks."""

    __slots__ = ("n", "on_read", "on_write", "rc", "reg", "reset", "rw", "sc", "value", "w1c", "w1s")

    def __init__(self, reg: type[Register], n: int) -> None:
        self.reg = reg
        self.n = n
        self.rw = reg.mask(Access.RW)
        self.w1c = reg.mask(Access.W1C)
        self.w1s = reg.mask(Access.W1S)
        self.rc = reg.mask(Access.RC)
        self.sc = reg.mask(Access.SC)
        self.reset = reg.resets[n]
        self.value = self.reset
        self.on_read: ReadHook | None = None
        self.on_write: WriteHook | None = None


class RegisterFile:
    """The registers of one device.

    Behaviour attaches itself: ``on_write(RDT, f)`` calls ``f(n, old, new)`` after the access rules were
    applied, ``new`` with self-clearing bits as written; ``on_read(ICR, f)`` takes the value to return
    from ``f(n)``, and then no rule of the register clears anything on that read.
    """

    def __init__(self, registers: Iterable[type[Register]]) -> None:
        """Lay out ``registers``; two of them at one address are a DeclarationError that names both."""
        self._by_offset: dict[int, _Slot] = {}
        self._by_name: dict[str, type[Register]] = {}
        self._slots: dict[type[Register], list[_Slot]] = {}
        for reg in registers:
            if reg.__name__ in self._by_name:
                raise DeclarationError(f"{reg.__name__} must be declared once, and is declared twice")
            slots = [_Slot(reg, n) for n in range(reg.count)]
            self._by_name[reg.__name__] = reg
            self._slots[reg] = slots
            for offset, n in reg.addresses():
                taken = self._by_offset.get(offset)
                if taken is not None:
                    raise DeclarationError(
                        f"{reg.title(n)} must not lie at {offset:#07x}, where {taken.reg.title(taken.n)} is"
                    )
                self._by_offset[offset] = slots[n]

    # -- what software does ------------------------------------------------------------------------

    def read(self, offset: int) -> int:
        """Return the 32-bit register at ``offset`` with the side effects of reading; 0 where there is none."""
        slot = self._by_offset.get(offset)
        if slot is None:
            return 0
        if slot.on_read is not None:
            return slot.on_read(slot.n)
        value = slot.value
        if slot.rc:
            slot.value = value & ~slot.rc
        return value

    def write(self, offset: int, value: int) -> None:
        """Write the 32-bit register at ``offset``; ignored where there is none."""
        slot = self._by_offset.get(offset)
        if slot is None:
            return
        old = slot.value
        kept = (old & ~slot.rw) | (value & slot.rw)
        new = (kept & ~(value & slot.w1c)) | (value & slot.w1s)
        slot.value = new
        if slot.on_write is not None:
            slot.on_write(slot.n, old, new | (value & slot.sc))

    # -- what the device does ----------------------------------------------------------------------

    def peek(self, reg: type[Register], n: int = 0) -> int:
        """Return the stored value, without side effects."""
        return self._slots[reg][n].value

    def poke(self, reg: type[Register], value: int, n: int = 0) -> None:
        """Store ``value`` as it is: no access rule, no hook."""
        self._slots[reg][n].value = value

    def add(self, reg: type[Register], amount: int, n: int = 0, ceiling: int = 0xFFFF_FFFF) -> None:
        """Count: add ``amount`` and stay at ``ceiling``."""
        slot = self._slots[reg][n]
        slot.value = min(slot.value + amount, ceiling)

    def on_read(self, reg: type[Register], hook: ReadHook) -> None:
        """Let ``hook(n)`` supply the value of every read of ``reg``."""
        for slot in self._slots[reg]:
            slot.on_read = hook

    def on_write(self, reg: type[Register], hook: WriteHook) -> None:
        """Call ``hook(n, old, new)`` after every write of ``reg``, behind the hooks that are there already."""
        for slot in self._slots[reg]:
            slot.on_write = hook if slot.on_write is None else _both(slot.on_write, hook)

    def reset(self, *, software: bool) -> None:
        """Return every register to its reset value; a software reset spares those declared to survive it."""
        for reg, slots in self._slots.items():
            if software and reg.survives_software_reset:
                continue
            for slot in slots:
                slot.value = slot.reset

    # -- for people and tools ----------------------------------------------------------------------

    def name_at(self, offset: int) -> str:
        """Return the name of the register at ``offset``, or the offset itself in hexadecimal."""
        slot = self._by_offset.get(offset)
        return slot.reg.title(slot.n) if slot else f"{offset:#07x}"

    def find(self, name: str) -> type[Register]:
        """Return the register called ``name``; a KeyError suggests what exists."""
        if name not in self._by_name:
            near = ", ".join(get_close_matches(name, self._by_name, 3)) or "see docs/registers.md"
            raise KeyError(f"a register's name must exist, and {name!r} does not (near: {near})")
        return self._by_name[name]

    def __iter__(self) -> Iterator[type[Register]]:
        """Yield every declared register."""
        return iter(self._slots)

    def snapshot(self) -> dict[str, int]:
        """Return name → stored value for every register element, without side effects."""
        return {reg.title(slot.n): slot.value for reg, slots in self._slots.items() for slot in slots}


def _both(first: WriteHook, second: WriteHook) -> WriteHook:
    def run(n: int, old: int, new: int) -> None:
        first(n, old, new)
        second(n, old, new)

    return run
