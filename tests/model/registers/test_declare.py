# SPDX-License-Identifier: BSD-3-Clause
"""The declaration language: what it refuses, and what it makes of what it takes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_model.declare import Access, DeclarationError, Descriptor, Register, bit, bits, qword
from device_model.regfile import RegisterFile


def test_two_registers_at_one_address_are_refused_with_both_names() -> None:
    class Left(Register, at=0x100, count=4, section="1"):
        """Occupies 0x100 to 0x10F."""

        value = bits(31, 0)

    class Right(Register, at=0x10C, section="1"):
        """Runs into the last element of Left."""

        value = bits(31, 0)

    with pytest.raises(DeclarationError, match=r"Right must not lie at 0x0010c, where Left\[3\] is"):
        RegisterFile((Left, Right))


def test_an_alias_counts_as_an_address() -> None:
    class Aliased(Register, at=0x100, alias=(0x200, 1, 4), section="1"):
        """Also found at 0x200."""

        value = bits(31, 0)

    class Plain(Register, at=0x200, section="1"):
        """Where the alias is."""

        value = bits(31, 0)

    with pytest.raises(DeclarationError, match="Plain must not lie at 0x00200, where Aliased is"):
        RegisterFile((Aliased, Plain))


def test_a_register_declared_twice_is_refused() -> None:
    class Once(Register, at=0x100, section="1"):
        """Passed twice."""

        value = bits(31, 0)

    with pytest.raises(DeclarationError, match="Once must be declared once"):
        RegisterFile((Once, Once))


def test_fields_that_share_bits_are_refused_with_both_names() -> None:
    with pytest.raises(DeclarationError, match=r"Torn\.high must not share bits with Torn\.low"):

        class Torn(Register, at=0, section="1"):
            """Bit 7 twice."""

            low = bits(7, 0)
            high = bits(15, 7)


def test_a_field_outside_32_bits_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"Wide\.top must lie in bits 31:0, not 32:32"):

        class Wide(Register, at=0, section="1"):
            """One bit too many."""

            top = bit(32)


def test_a_reset_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"bits 3:0 must fit in them, and 0x10 does not"):
        bits(3, 0, reset=0x10)


def test_reset_bits_that_no_field_declares_are_refused() -> None:
    with pytest.raises(DeclarationError, match="reset bits 0x100 of Stray"):

        class Stray(Register, at=0, section="1", reset=0x101):
            """Bit 8 belongs to nobody."""

            value = bits(7, 0)


def test_a_register_off_its_boundary_is_refused() -> None:
    with pytest.raises(DeclarationError, match="Odd must lie on 4-byte boundaries, not at 0x2"):

        class Odd(Register, at=2, section="1"):
            """Misaligned."""

            value = bits(31, 0)


def test_a_register_without_a_sentence_is_refused() -> None:
    with pytest.raises(DeclarationError, match="Mute must have a docstring"):

        class Mute(Register, at=0, section="1"):
            value = bits(31, 0)


def test_a_descriptor_field_outside_its_words_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"Short\.tail must lie in 8 bytes, not in word 1"):

        class Short(Descriptor, size=8, section="1"):
            """One word only."""

            tail = qword(1, 7, 0)


def test_a_value_too_big_for_its_field_is_refused_by_name() -> None:
    class Small(Register, at=0, section="1"):
        """A field of four bits."""

        nibble = bits(7, 4)

    with pytest.raises(ValueError, match=r"Small\.nibble must be between 0 and 0xf, not 0x10"):
        Small.nibble.put(0, 0x10)


def test_an_unknown_name_is_refused_with_what_is_near() -> None:
    class SRRCTL(Register, at=0, section="1"):
        """There is one."""

        value = bits(31, 0)

    with pytest.raises(KeyError, match=r"'SRCTL' does not \(near: SRRCTL\)"):
        RegisterFile((SRRCTL,)).find("SRCTL")


def test_every_access_rule_does_what_its_name_says() -> None:
    class All(Register, at=0x40, section="1", reset=0x3F3F3F):
        """Six bits, one of each rule, thrice."""

        rw = bit(0, Access.RW)
        ro = bit(1, Access.RO)
        w1c = bit(2, Access.W1C)
        w1s = bit(3, Access.W1S)
        rc = bit(4, Access.RC)
        sc = bit(5, Access.SC)
        high = bits(13, 8)
        top = bits(21, 16)

    def after(start: int, written: int) -> tuple[int, int, int]:
        regs = RegisterFile((All,))
        regs.poke(All, start)
        told: list[int] = []
        regs.on_write(All, lambda _n, _old, new: told.append(new))
        regs.write(0x40, written)
        [new] = told
        return new, regs.read(0x40), regs.read(0x40)

    #                   rc w1s w1c ro rw          as the hook sees it, as read, as read again
    assert after(0b011111, 0b000000) == (0b011110, 0b011110, 0b001110)
    assert after(0b011111, 0b111111) == (0b111011, 0b011011, 0b001011)
    assert after(0b000000, 0b111111) == (0b101001, 0b001001, 0b001001)


def test_write_hooks_run_in_the_order_they_came() -> None:
    class Watched(Register, at=0, section="1"):
        """Two blocks look at it."""

        value = bits(7, 0)

    regs = RegisterFile((Watched,))
    calls: list[tuple[str, int, int, int]] = []
    regs.on_write(Watched, lambda *args: calls.append(("first", *args)))
    regs.on_write(Watched, lambda *args: calls.append(("second", *args)))
    regs.write(0, 0x1AB)
    assert calls == [("first", 0, 0, 0xAB), ("second", 0, 0, 0xAB)]


@settings(deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, 63), st.integers(0, 63), st.integers(0))
def test_putting_a_field_changes_its_bits_and_no_other(word: int, one: int, other: int, value: int) -> None:
    field = qword(0, max(one, other), min(one, other))
    value &= field.limit
    changed = field.put(word, value)
    assert field.of(changed) == value
    assert (changed ^ word) & ~field.mask == 0
