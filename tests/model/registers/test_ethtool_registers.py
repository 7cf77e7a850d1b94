# SPDX-License-Identifier: BSD-3-Clause
"""The register test of ``ethtool -t offline`` (Linux 6.12 igb_reg_test), on bare registers and on the card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from device_model.igb.spec import REGISTERS
from device_model.regfile import RegisterFile
from tests.model.igb.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATTERNS = (0x5A5A5A5A, 0xA5A5A5A5, 0x00000000, 0xFFFFFFFF)
ALL = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the driver's table: ``count`` registers, tested with ``mask`` and ``write``."""

    how: str
    at: int
    mask: int
    write: int
    count: int = 1
    stride: int = 0x100


def rings(how: str, at: int, mask: int, write: int) -> Iterator[Row]:
    """The first four queues by their old addresses, the others by their new ones."""
    yield Row(how, at, mask, write, 4, 0x100)
    new = {0x2800: 0xC100, 0x3800: 0xE100}[at & ~0xFF] + (at & 0xFF)
    yield Row(how, new, mask, write, 12, 0x40)


TABLE = [
    Row("pattern", 0x0028, ALL, ALL),
    Row("pattern", 0x002C, 0x0000FFFF, ALL),
    Row("pattern", 0x0030, 0x0000FFFF, ALL),
    Row("pattern", 0x0038, ALL, ALL),
    *rings("pattern", 0x2800, 0xFFFFFF80, ALL),
    *rings("pattern", 0x2804, ALL, ALL),
    *rings("pattern", 0x2808, 0x000FFFF0, 0x000FFFFF),
    *rings("write", 0x2828, 0, 0x02000000),
    *rings("pattern", 0x2818, 0x0000FFFF, 0x0000FFFF),
    *rings("write", 0x2828, 0, 0),
    Row("pattern", 0x2168, 0x0000FFF0, 0x0000FFF0),
    Row("pattern", 0x0170, 0x0000FFFF, 0x0000FFFF),
    Row("pattern", 0x0410, 0x3FFFFFFF, 0x3FFFFFFF),
    *rings("pattern", 0x3800, 0xFFFFFF80, ALL),
    *rings("pattern", 0x3804, ALL, ALL),
    *rings("pattern", 0x3808, 0x000FFFF0, 0x000FFFFF),
    Row("set", 0x0100, ALL, 0),
    Row("set", 0x0100, 0x04CFB0FE, 0x003FFFFB),
    Row("set", 0x0100, 0x04CFB0FE, ALL),
    Row("set", 0x0400, ALL, 0),
    Row("pattern", 0x5400, ALL, ALL, 16, 8),
    Row("pattern", 0x5404, 0x83FFFFFF, ALL, 16, 8),
    Row("pattern", 0x54E0, ALL, ALL, 8, 8),
    Row("pattern", 0x54E4, 0x83FFFFFF, ALL, 8, 8),
    Row("pattern", 0x5200, ALL, ALL, 128, 4),
]


def failures(read: Callable[[int], int], write: Callable[[int, int], None]) -> list[str]:
    """Run the driver's table; return every register that would fail it."""
    failed = []
    for row in TABLE:
        for n in range(row.count):
            at = row.at + n * row.stride
            tries = {"pattern": [p & row.write for p in PATTERNS], "set": [row.write & row.mask], "write": [row.write]}
            before = read(at)
            for value in tries[row.how]:
                write(at, value)
                got = read(at)
                if row.how != "write" and (got ^ value) & row.mask:
                    failed.append(f"{row.how} {at:05x}: wrote {value:08x}, read {got:08x}, mask {row.mask:08x}")
            if row.how != "write":
                write(at, before)
    return failed


def test_bare_registers_pass_the_table() -> None:
    regs = RegisterFile(REGISTERS)
    assert failures(regs.read, regs.write) == []


def test_the_whole_card_passes_the_table_without_touching_memory_or_wire() -> None:
    world = World()
    assert failures(world.read, world.write) == []
    world.clock.advance(1_000_000_000)
    assert world.memory.stores == []
    assert world.cable.frames == []
    assert world.messages.sent == []


@pytest.mark.parametrize(("at", "bit"), [(0x0100, 1), (0x2168, 4), (0x5404, 25), (0x2808, 19), (0x5204, 0)])
def test_a_stuck_bit_is_found(at: int, bit: int) -> None:
    regs = RegisterFile(REGISTERS)

    def stuck(offset: int) -> int:
        return regs.read(offset) & ~(1 << bit) if offset == at else regs.read(offset)

    assert any(f"{at:05x}" in failure for failure in failures(stuck, regs.write))


def test_status_does_not_depend_on_what_is_written_to_it() -> None:
    """Linux igb_reg_test: write the complement of what was read, and compare outside bits 31 and 10."""
    world = World()
    toggle = 0x7FFFF3FF
    world.write(0x0, world.read(0x0) | 0x40)
    before = world.read(0x8)
    assert before & 2, "the link is up, so that there is something to lose"
    value = world.read(0x8) & toggle
    world.write(0x8, toggle)
    assert world.read(0x8) & toggle == value
    world.write(0x8, before)
    assert world.read(0x8) == before & ~0x400


def test_status_phy_reset_asserted_is_cleared_by_writing_0_only() -> None:
    world = World()
    assert world.read(0x8) & 0x400
    world.write(0x8, 0xFFFFFFFF)
    assert world.read(0x8) & 0x400
    world.write(0x8, 0xFFFFFBFF)
    assert not world.read(0x8) & 0x400
    world.write(0x8, 0xFFFFFFFF)
    assert not world.read(0x8) & 0x400
