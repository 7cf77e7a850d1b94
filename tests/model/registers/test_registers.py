# SPDX-License-Identifier: BSD-3-Clause
"""Every declared register of the 82576, against a bare register file: generic tests from the declaration."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_model.declare import Access
from device_model.igb.spec import REGISTERS
from device_model.regfile import RegisterFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_model.declare import Register

    Bit = Callable[[int, int], int]

BAR_BYTES = 128 * 1024
ELEMENTS = [(reg, n) for reg in REGISTERS for n in range(reg.count)]

AFTER_WRITE: dict[Access, Bit] = {
    Access.RW: lambda _old, written: written,
    Access.RO: lambda old, _written: old,
    Access.W1C: lambda old, written: 0 if written else old,
    Access.W1S: lambda old, written: 1 if written else old,
    Access.RC: lambda old, _written: old,
    Access.SC: lambda _old, _written: 0,
}
"""One bit at a time: the rule of the register file's masks, told without masks."""


def expected_after_write(reg: type[Register], old: int, written: int) -> int:
    value = 0
    for field in reg.fields.values():
        for at in range(field.lo, field.hi + 1):
            value |= AFTER_WRITE[field.access](old >> at & 1, written >> at & 1) << at
    return value


def expected_after_read(reg: type[Register], old: int) -> int:
    cleared = [at for f in reg.fields.values() if f.access is Access.RC for at in range(f.lo, f.hi + 1)]
    return old & ~sum(1 << at for at in cleared)


def test_each_starts_at_its_reset_value() -> None:
    regs = RegisterFile(REGISTERS)
    wrong = [reg.title(n) for reg, n in ELEMENTS if regs.read(reg.at + n * reg.stride) != reg.resets[n]]
    assert wrong == []


@pytest.mark.parametrize("reg", REGISTERS, ids=lambda reg: str(reg.__name__))
def test_each_bit_obeys_its_access_rule(reg: type[Register]) -> None:
    regs = RegisterFile((reg,))
    n = reg.count - 1
    at = reg.at + n * reg.stride
    for start in (0, reg.mask() & ~reg.mask(Access.SC)):
        for written in (0, 0xFFFF_FFFF, *(1 << position for position in range(32))):
            regs.poke(reg, start, n)
            regs.write(at, written)
            after = expected_after_write(reg, start, written)
            assert regs.read(at) == after, f"read after writing {written:08x} over {start:08x}"
            assert regs.read(at) == expected_after_read(reg, after), "second read"


def test_reserved_bits_read_as_zero() -> None:
    regs = RegisterFile(REGISTERS)
    for reg in REGISTERS:
        for address, n in reg.addresses():
            regs.write(address, 0xFFFF_FFFF)
            assert regs.read(address) & ~reg.mask() == 0, reg.title(n)


def test_an_alias_is_the_same_register() -> None:
    regs = RegisterFile(REGISTERS)
    aliases = [(address, reg, n) for reg in REGISTERS for address, n in list(reg.addresses())[reg.count :]]
    assert len(aliases) > 200
    for address, reg, n in aliases:
        start = reg.mask() & ~reg.mask(Access.SC, Access.RC)
        regs.poke(reg, start, n)
        assert regs.read(address) == start, reg.title(n)
        regs.poke(reg, 0, n)
        regs.write(address, 0xA5A5_5A5A ^ n)
        assert regs.read(reg.at + n * reg.stride) == expected_after_write(reg, 0, 0xA5A5_5A5A ^ n), reg.title(n)


def test_each_says_what_it_is() -> None:
    wrong = [reg.__name__ for reg in REGISTERS if not (reg.__doc__ or "").rstrip().endswith(".") or not reg.section]
    assert wrong == []


def test_no_two_registers_share_storage_whatever_the_order_of_writes() -> None:
    regs = RegisterFile(REGISTERS)
    dice = random.Random(82576)  # noqa: S311 - a fixed shuffle, no secret
    order = list(ELEMENTS)
    dice.shuffle(order)
    salt = {element: dice.getrandbits(32) for element in ELEMENTS}
    before = {(reg, n): regs.peek(reg, n) for reg, n in ELEMENTS}
    for reg, n in order:
        regs.write(reg.at + n * reg.stride, salt[reg, n])
    for reg, n in reversed(order):
        assert regs.peek(reg, n) == expected_after_write(reg, before[reg, n], salt[reg, n]), reg.title(n)


def test_an_address_without_a_register_reads_zero_and_ignores_writes() -> None:
    regs = RegisterFile(REGISTERS)
    declared = {address for reg in REGISTERS for address, _ in reg.addresses()}
    snapshot = regs.snapshot()
    holes = [offset for offset in range(0, BAR_BYTES, 4) if offset not in declared]
    assert len(holes) > 20_000
    for offset in holes:
        regs.write(offset, 0xFFFF_FFFF)
        assert regs.read(offset) == 0
    assert regs.snapshot() == snapshot


def test_all_registers_lie_in_the_bar() -> None:
    assert max(address for reg in REGISTERS for address, _ in reg.addresses()) < BAR_BYTES


def test_a_software_reset_spares_moderation_and_buffer_split_and_nothing_else() -> None:
    regs = RegisterFile(REGISTERS)
    changed = {(reg, n): reg.resets[n] ^ reg.mask() for reg, n in ELEMENTS}
    for (reg, n), value in changed.items():
        regs.poke(reg, value, n)
    regs.reset(software=True)
    kept = {reg.__name__ for reg, n in ELEMENTS if regs.peek(reg, n) == changed[reg, n]}
    assert kept == {"EITR", "RXPBS", "TXPBS"}
    regs.reset(software=False)
    assert all(regs.peek(reg, n) == reg.resets[n] for reg, n in ELEMENTS)


@settings(deadline=None)
@given(
    st.sampled_from(ELEMENTS),
    st.lists(st.one_of(st.none(), st.integers(0, 2**32 - 1)), max_size=8),
    st.integers(0, 2**32 - 1),
)
def test_any_sequence_of_accesses_obeys_the_rules(
    element: tuple[type[Register], int], accesses: list[int | None], start: int
) -> None:
    reg, n = element
    regs = RegisterFile((reg,))
    at = reg.at + n * reg.stride
    value = start & reg.mask() & ~reg.mask(Access.SC)
    regs.poke(reg, value, n)
    for written in accesses:
        if written is None:
            assert regs.read(at) == value
            value = expected_after_read(reg, value)
        else:
            regs.write(at, written)
            value = expected_after_write(reg, value, written)
    assert regs.peek(reg, n) == value
