# SPDX-License-Identifier: BSD-3-Clause
"""Storage, access rules and hooks for declared registers. Knows no register by name."""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from device_model.declare import DeclarationError, Register

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableSequence, Sequence

    ReadHook = Callable[[int], int]
    WriteHook = Callable[[int, int, int], None]


class _Block:
    """One register, all its elements: their values, and what they share, the rules as masks and the hooks."""

    __slots__ = ("on_read", "on_write", "rc", "rw", "sc", "values", "w1c", "w1s")

    def __init__(self, reg: type[Register], values: MutableSequence[int]) -> None:
        rules = reg.rules
        self.rw, self.w1c, self.w1s, self.rc, self.sc = (
            rules["RW"], rules["W1C"], rules["W1S"], rules["RC"], rules["SC"],
        )  # fmt: skip
        self.values = values
        self.on_read: ReadHook | None = None
        self.on_write: WriteHook | None = None


@lru_cache(maxsize=4)
def _layout(registers: tuple[type[Register], ...]) -> dict[int, tuple[type[Register], int]]:
    """Return offset → (register, element); the same for every card of a kind, and long to make."""
    layout: dict[int, tuple[type[Register], int]] = {}
    names: set[str] = set()
    for reg in registers:
        if reg.__name__ in names:
            raise DeclarationError(f"{reg.__name__} must be declared once, and is declared twice")
        names.add(reg.__name__)
        for offset, n in reg.addresses():
            if offset in layout:
                there, other = layout[offset]
                raise DeclarationError(f"{reg.title(n)} must not lie at {offset:#07x}, where {there.title(other)} is")
            layout[offset] = (reg, n)
    return layout


class RegisterFile:
    """The registers of one device.

    Behaviour attaches itself: ``on_write(RDT, f)`` calls ``f(n, old, new)`` after the access rules were
    applied, ``new`` with self-clearing bits as written; ``on_read(ICR, f)`` takes the value to return
    from ``f(n)``, and then no rule of the register clears anything on that read.
    """

    def __init__(self, registers: Sequence[type[Register]], words: memoryview | None = None) -> None:
        """Lay out ``registers``; two of them at one address are a DeclarationError that names both.

        Their values are kept in ``words``, one unsigned 32-bit element after another, if given.
        """
        self._blocks: dict[type[Register], _Block] = {}
        start = 0
        for reg in registers:
            values: MutableSequence[int] = [0] * reg.count
            if words is not None:
                values = cast("MutableSequence[int]", words[start : start + reg.count])
            self._blocks[reg] = _Block(reg, values)
            start += reg.count
        self._by_offset = _layout(tuple(registers))
        self._by_name = {reg.__name__: reg for reg in registers}
        self.reset(software=False)

    # -- what software does ------------------------------------------------------------------------

    def read(self, offset: int) -> int:
        """Return the 32-bit register at ``offset`` with the side effects of reading; 0 where there is none."""
        place = self._by_offset.get(offset)
        if place is None:
            return 0
        block, n = self._blocks[place[0]], place[1]
        if block.on_read is not None:
            return block.on_read(n)
        value = block.values[n]
        if block.rc:
            block.values[n] = value & ~block.rc
        return value

    def write(self, offset: int, value: int) -> None:
        """Write the 32-bit register at ``offset``; ignored where there is none."""
        place = self._by_offset.get(offset)
        if place is None:
            return
        block, n = self._blocks[place[0]], place[1]
        old = block.values[n]
        kept = (old & ~block.rw) | (value & block.rw)
        new = (kept & ~(value & block.w1c)) | (value & block.w1s)
        block.values[n] = new
        if block.on_write is not None:
            block.on_write(n, old, new | (value & block.sc))

    # -- what the device does ----------------------------------------------------------------------

    def peek(self, reg: type[Register], n: int = 0) -> int:
        """Return the stored value, without side effects."""
        return self._blocks[reg].values[n]

    def poke(self, reg: type[Register], value: int, n: int = 0) -> None:
        """Store ``value`` as it is: no access rule, no hook."""
        self._blocks[reg].values[n] = value

    def add(self, reg: type[Register], amount: int, n: int = 0, ceiling: int = 0xFFFF_FFFF) -> None:
        """Count: add ``amount`` and stay at ``ceiling``."""
        values = self._blocks[reg].values
        total = values[n] + amount
        values[n] = min(total, ceiling)

    def count(self, *counters: type[Register]) -> None:
        """Add one to each of ``counters``; they stay at their highest value."""
        for reg in counters:
            values = self._blocks[reg].values
            if values[0] < 0xFFFF_FFFF:
                values[0] += 1

    def add_pair(self, low: type[Register], high: type[Register], amount: int) -> None:
        """Add ``amount`` to the 64-bit counter that ``low`` and ``high`` form; it stays at its highest value."""
        lows = self._blocks[low].values
        total = lows[0] + amount
        if total > 0xFFFF_FFFF:
            highs = self._blocks[high].values
            if highs[0] == 0xFFFF_FFFF:
                total = 0xFFFF_FFFF
            else:
                highs[0] += 1
                total &= 0xFFFF_FFFF
        lows[0] = total

    def on_read(self, reg: type[Register], hook: ReadHook) -> None:
        """Let ``hook(n)`` supply the value of every read of ``reg``."""
        self._blocks[reg].on_read = hook

    def on_write(self, reg: type[Register], hook: WriteHook) -> None:
        """Call ``hook(n, old, new)`` after every write of ``reg``, behind the hooks that are there already."""
        block = self._blocks[reg]
        block.on_write = hook if block.on_write is None else _both(block.on_write, hook)

    def reset(self, *, software: bool) -> None:
        """Return every register to its reset value; a software reset spares those declared to survive it."""
        for reg, block in self._blocks.items():
            if not (software and reg.survives_software_reset):
                for n, value in enumerate(reg.resets):
                    block.values[n] = value

    # -- for people and tools ----------------------------------------------------------------------

    def name_at(self, offset: int) -> str:
        """Return the name of the register at ``offset``, or the offset itself in hexadecimal."""
        place = self._by_offset.get(offset)
        return place[0].title(place[1]) if place else f"{offset:#07x}"

    def find(self, name: str) -> type[Register]:
        """Return the register called ``name``; a KeyError suggests what exists."""
        if name not in self._by_name:
            near = ", ".join(get_close_matches(name, self._by_name, 3)) or "see docs/registers.md"
            raise KeyError(f"a register's name must exist, and {name!r} does not (near: {near})")
        return self._by_name[name]

    def has_behaviour(self, reg: type[Register]) -> bool:
        """Tell whether somebody has hooked himself into reads or writes of ``reg``."""
        block = self._blocks[reg]
        return block.on_read is not None or block.on_write is not None

    def __iter__(self) -> Iterator[type[Register]]:
        """Yield every declared register."""
        return iter(self._blocks)

    def snapshot(self) -> dict[str, int]:
        """Return name → stored value for every register element, without side effects."""
        return {reg.title(n): value for reg, block in self._blocks.items() for n, value in enumerate(block.values)}


def _both(first: WriteHook, second: WriteHook) -> WriteHook:
    def run(n: int, old: int, new: int) -> None:
        first(n, old, new)
        second(n, old, new)

    return run
