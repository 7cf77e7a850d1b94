# SPDX-License-Identifier: BSD-3-Clause
"""The EEPROM: EERD, and the SPI part behind EECD driven as Linux igb drives it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_model.igb.nvm import Nvm, default_image
from device_model.igb.spec import REGISTERS
from device_model.igb.spi_eeprom import SpiEeprom
from device_model.regfile import RegisterFile

from .linux import CS, DO, EECD, GNT, READ, SK, WRITE_ENABLE, Linux
from .world import World

MAC = bytes.fromhex("02a1b2c3d4e5")
RAL0, RAH0 = 0x5400, 0x5404
SIZES = [(64, 8, 8), (256, 8, 8), (512, 16, 32), (32768, 16, 128)]
"""(words, address bits, bytes a page) of small, default, wide and largest parts."""


def card(image: bytes | None = None) -> tuple[RegisterFile, Nvm, Linux]:
    regs = RegisterFile(REGISTERS)
    nvm = Nvm(regs, MAC, image)
    return regs, nvm, Linux(regs.read, regs.write)


def numbered(words: int) -> bytes:
    """An image in which every byte tells where it is."""
    return bytes((i * 7 + (i >> 8) * 13 + 1) & 0xFF for i in range(2 * words))


def checksum(linux: Linux) -> int:
    return sum(linux.eerd(word) for word in range(0x40)) & 0xFFFF


# -- contents ------------------------------------------------------------------------------------------


def test_the_words_that_igb_checks_sum_to_baba() -> None:
    _, _, linux = card()
    assert checksum(linux) == 0xBABA


def test_the_default_image_says_what_igb_looks_for() -> None:
    _, _, linux = card()
    mac = b"".join(linux.eerd(word).to_bytes(2, "little") for word in range(3))
    assert mac == MAC
    assert linux.eerd(0x0F) == 0x70C3, "pause in both directions"
    assert linux.eerd(0x05) == 0x2010, "version"
    assert linux.eerd(0x37) in (0x0000, 0xFFFF), "no alternate MAC address"


def test_a_bad_checksum_is_bad_until_it_is_mended() -> None:
    _, nvm, linux = card()
    nvm.bad_checksum = True
    assert checksum(linux) != 0xBABA
    assert nvm.image == default_image(MAC)
    nvm.bad_checksum = False
    assert checksum(linux) == 0xBABA


@pytest.mark.parametrize("size", [0, 127, 130, 96 * 2, 32, 65536 * 2])
def test_an_image_of_a_wrong_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"64 to 32768 words, a power of two, not {size} bytes"):
        card(bytes(size))


def test_a_mac_address_of_a_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="must have 6 bytes, not 5"):
        Nvm(RegisterFile(REGISTERS), MAC[:5])


# -- EERD ----------------------------------------------------------------------------------------------


def test_eerd_returns_every_word() -> None:
    image = numbered(256)
    _, _, linux = card(image)
    words = [linux.eerd(word) for word in range(256)]
    assert b"".join(word.to_bytes(2, "little") for word in words) == image


def test_eerd_without_start_reads_nothing() -> None:
    regs, _, linux = card(numbered(64))
    linux.write(0x14, 3 << 2)
    assert regs.read(0x14) == 3 << 2


# -- what a reset loads --------------------------------------------------------------------------------


def test_the_mac_address_is_loaded_and_valid() -> None:
    regs, _, _ = card()
    assert regs.read(RAL0) == int.from_bytes(MAC[:4], "little")
    assert regs.read(RAH0) == 0x80000000 | int.from_bytes(MAC[4:], "little")


def test_a_software_reset_loads_the_mac_address_again() -> None:
    world = World()
    before = world.read(RAL0), world.read(RAH0)
    assert before[1] & 0x80000000
    world.write(RAL0, 0x12345678)
    world.write(RAH0, 0)
    world.write(0x0, world.read(0x0) | 1 << 26)
    assert (world.read(RAL0), world.read(RAH0)) == before


def test_what_was_written_survives_a_reset_and_takes_effect_at_it() -> None:
    world = World()
    linux = Linux(world.read, world.write)
    linux.write_words(0, [0x1102, 0x3322, 0x5544], address_bits=8, page_bytes=8)
    assert world.read(RAL0) != 0x33221102
    world.write(0x0, world.read(0x0) | 1 << 26)
    assert world.read(RAL0) == 0x33221102
    assert world.read(RAH0) == 0x80005544
    assert linux.eerd(2) == 0x5544


@pytest.mark.parametrize(("words", "address_bits", "_page"), SIZES)
def test_eecd_tells_size_and_address_width(words: int, address_bits: int, _page: int) -> None:
    regs, _, _ = card(numbered(words))
    eecd = regs.read(EECD)
    assert 1 << (eecd >> 11 & 0xF) + 6 == words
    assert (16 if eecd & 0x400 else 8) == address_bits
    assert eecd & 0x100, "an EEPROM is present"
    assert eecd & 0x200, "and has been read, so that igb_get_auto_rd_done does not wait"


# -- SPI -----------------------------------------------------------------------------------------------


def test_access_is_granted_while_it_is_requested() -> None:
    regs, _, linux = card()
    assert not regs.read(EECD) & GNT
    linux.acquire_nvm()
    linux.release_nvm()
    assert not regs.read(EECD) & GNT


@pytest.mark.parametrize(("words", "address_bits", "page"), SIZES)
def test_words_written_over_the_lines_are_read_back_by_eerd(words: int, address_bits: int, page: int) -> None:
    before = numbered(words)
    _, nvm, linux = card(before)
    offset = 29  # in the middle of a page of any size
    data = [0xC0DE ^ i * 0x0101 for i in range(30)]
    linux.write_words(offset, data, address_bits=address_bits, page_bytes=page)
    raw = b"".join(word.to_bytes(2, "little") for word in data)
    assert nvm.image == before[: 2 * offset] + raw + before[2 * (offset + len(data)) :]
    assert [linux.eerd(offset + i) for i in range(len(data))] == data


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(SIZES[1:3]), st.integers(0, 220), st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=12))
def test_any_write_changes_its_words_and_no_other(size: tuple[int, int, int], offset: int, data: list[int]) -> None:
    words, address_bits, page = size
    if address_bits == 8 and offset < 128 < offset + len(data):
        offset = 128  # igb takes the ninth address bit from where a write starts
    offset = min(offset, words - len(data))
    _, nvm, linux = card(numbered(words))
    linux.write_words(offset, data, address_bits=address_bits, page_bytes=page)
    raw = b"".join(word.to_bytes(2, "little") for word in data)
    before = numbered(words)
    assert nvm.image == before[: 2 * offset] + raw + before[2 * offset + len(raw) :]


@pytest.mark.parametrize(("words", "address_bits", "_page"), SIZES)
def test_the_part_can_be_read_over_the_lines(words: int, address_bits: int, _page: int) -> None:
    image = numbered(words)
    _, _, linux = card(image)
    assert linux.read_bytes(5, 9, address_bits=address_bits) == image[5:14]
    assert linux.read_bytes(2 * words - 2, 4, address_bits=address_bits) == image[-2:] + image[:2], "it wraps"


def test_ethtool_can_rewrite_the_checksum() -> None:
    _, _, linux = card()
    linux.write_words(0x30, [0x1234], address_bits=8, page_bytes=8)
    assert checksum(linux) != 0xBABA
    total = sum(linux.eerd(word) for word in range(0x3F))
    linux.write_words(0x3F, [0xBABA - total & 0xFFFF], address_bits=8, page_bytes=8)
    assert checksum(linux) == 0xBABA


def test_nothing_happens_while_access_is_not_granted() -> None:
    regs, nvm, linux = card()
    linux.select()
    linux.shift_out(WRITE_ENABLE, 8)
    linux.standby()
    linux.shift_out(0x0200AA, 24)
    linux.standby()
    assert nvm.image == default_image(MAC)
    assert not regs.read(EECD) & DO


def test_nothing_is_stored_without_write_enable() -> None:
    _, nvm, linux = card()
    linux.acquire_nvm()
    linux.select()
    linux.shift_out(0x0204AA, 24)
    linux.release_nvm()
    assert nvm.image == default_image(MAC)


def test_a_write_ends_the_write_enable() -> None:
    _, nvm, linux = card(numbered(256))
    linux.acquire_nvm()
    linux.select()
    linux.shift_out(WRITE_ENABLE, 8)
    linux.standby()
    assert linux.nvm_status() == 2
    linux.standby()
    linux.shift_out(0x0204AA, 24)
    linux.standby()
    assert linux.nvm_status() == 0
    linux.standby()
    linux.shift_out(0x0205BB, 24)
    linux.release_nvm()
    before = numbered(256)
    assert nvm.image == before[:4] + b"\xaa" + before[5:]


def test_write_disable_takes_the_write_enable_back() -> None:
    _, nvm, linux = card()
    linux.acquire_nvm()
    linux.select()
    for opcode in (WRITE_ENABLE, 0x04):
        linux.shift_out(opcode, 8)
        linux.standby()
    linux.shift_out(0x0204AA, 24)
    linux.release_nvm()
    assert nvm.image == default_image(MAC)


def test_a_write_that_stops_in_the_middle_of_a_byte_is_not_carried_out() -> None:
    _, nvm, linux = card()
    linux.acquire_nvm()
    linux.select()
    linux.shift_out(WRITE_ENABLE, 8)
    linux.standby()
    linux.shift_out(0x0204AAB, 28)
    linux.release_nvm()
    assert nvm.image == default_image(MAC)


def test_a_write_wraps_inside_its_page() -> None:
    _, nvm, linux = card(numbered(256))
    linux.acquire_nvm()
    linux.select()
    linux.shift_out(WRITE_ENABLE, 8)
    linux.standby()
    linux.shift_out(0x020E, 16)
    linux.shift_out(0xA1A2A3, 24)
    linux.release_nvm()
    before = numbered(256)
    assert nvm.image[8:16] == b"\xa3" + before[9:14] + b"\xa1\xa2"


def test_a_deselected_part_ignores_the_clock() -> None:
    regs, _, linux = card(numbered(256))
    linux.acquire_nvm()
    linux.write(EECD, regs.read(EECD) | CS)
    linux.shift_out(READ, 8)
    linux.shift_out(0, 8)
    assert linux.shift_in(8) == 0


def test_output_also_suits_a_master_that_samples_before_the_rising_edge() -> None:
    image = numbered(256)
    regs, _, linux = card(image)
    linux.acquire_nvm()
    linux.select()
    linux.shift_out(READ, 8)
    linux.shift_out(3, 8)
    value = 0
    for _ in range(8):
        eecd = regs.read(EECD)
        value = value << 1 | bool(eecd & DO)
        linux.write(EECD, eecd | SK)
        linux.write(EECD, eecd & ~SK)
    assert value == image[3]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["rise", "fall", "deselect"]), st.integers(0, 1)), max_size=120))
def test_no_sequence_of_edges_raises(edges: list[tuple[str, int]]) -> None:
    memory = bytearray(128)
    part = SpiEeprom(64, lambda at: memory[at % 128], lambda at, value: memory.__setitem__(at % 128, value))
    for edge, level in edges:
        if edge == "rise":
            part.rise(level)
        elif edge == "fall":
            assert part.fall() in (0, 1)
        else:
            part.deselect()
