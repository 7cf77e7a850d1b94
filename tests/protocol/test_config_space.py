# SPDX-License-Identifier: BSD-3-Clause
"""Configuration space through the socket: identity, BAR sizing, capabilities, power, resets."""

from __future__ import annotations

import struct

import pytest

from tests.protocol.client import BAR0, BAR2, BAR3, CONFIG, Client
from tests.protocol.fakes import COMMAND, COUNT_RESETS, RESULT, VANISH

PM, MSI, MSIX, EXPRESS, AER, DSN = 0x40, 0x50, 0x70, 0xA0, 0x100, 0x140
PMCSR, DEVICE_CONTROL = PM + 4, EXPRESS + 8
ALL_ONES = 0xFFFF_FFFF


def resets(client: Client) -> int:
    client.write(BAR0, COMMAND, COUNT_RESETS, 8)
    return client.read(BAR0, RESULT, 8)


def test_it_is_an_82576(client: Client) -> None:
    assert client.read(CONFIG, 0x00) == 0x10C9_8086
    assert client.read(CONFIG, 0x08) == 0x0200_0001
    assert client.read(CONFIG, 0x2C, 2) == 0x8086
    assert client.read(CONFIG, 0x0E, 1) == 0


@pytest.mark.parametrize(
    ("index", "sized"),
    [(0, 0xFFFE_0000), (1, 0xFFFE_0000), (2, 0xFFFF_FFE1), (3, 0xFFFF_C004), (4, ALL_ONES), (5, 0)],
)
def test_bars_are_sized_by_writing_ones(client: Client, index: int, sized: int) -> None:
    at = 0x10 + 4 * index
    client.write(CONFIG, at, ALL_ONES)
    assert client.read(CONFIG, at) == sized
    client.write(CONFIG, at, 0xFEB0_0000)
    assert client.read(CONFIG, at) == (0xFEB0_0000 & sized) | (sized & 0xF if index != 4 else 0)


def test_both_lists_of_capabilities_are_whole(client: Client) -> None:
    at, plain = client.read(CONFIG, 0x34, 1), []
    while at:
        plain.append((client.read(CONFIG, at, 1), at))
        at = client.read(CONFIG, at + 1, 1)
    assert plain == [(0x01, PM), (0x05, MSI), (0x11, MSIX), (0x10, EXPRESS)]
    assert client.read(CONFIG, 0x06, 2) & 0x10
    at, extended = 0x100, []
    while at:
        header = client.read(CONFIG, at)
        extended.append((header & 0xFFFF, header >> 16 & 0xF, at))
        at = header >> 20
    assert extended == [(0x0001, 1, AER), (0x0003, 1, DSN)]


def test_capabilities_say_what_the_card_can_do(client: Client) -> None:
    assert client.read(CONFIG, PM + 2, 2) >> 11 == 0b11001, "PME from D0, D3hot and D3cold"
    assert client.read(CONFIG, MSI + 2, 2) == 0x0180
    assert client.read_bytes(CONFIG, MSIX + 2, 10) == struct.pack("<HII", 9, 3, 0x2003)
    assert client.read(CONFIG, EXPRESS + 2, 2) == 0x0002
    assert client.read(CONFIG, EXPRESS + 4) & 1 << 28, "function level reset"
    assert client.read(CONFIG, EXPRESS + 0x12, 2) & 0x3FF == 0x041, "2.5 GT/s x4"
    assert client.read(CONFIG, EXPRESS + 0x24) == 0x1F, "completion timeout ranges A to D"


@pytest.mark.parametrize(
    ("at", "size", "written", "read"),
    [
        (0x00, 4, ALL_ONES, 0x10C9_8086),
        (0x08, 4, ALL_ONES, 0x0200_0001),
        (0x04, 2, 0xFFFF, 0x0547),
        (0x06, 2, 0x0000, 0x0010),
        (0x06, 2, 0xFFFF, 0x0010),
        (0x0C, 1, 0x10, 0x10),
        (0x2C, 4, ALL_ONES, 0xA03C_8086),
        (0x30, 4, ALL_ONES, 0),
        (0x3C, 2, 0xFFFF, 0x01FF),
        (PM + 2, 2, 0, 0xC823),
        (PMCSR, 2, 0xFFFC, 0x0100),
        (MSI + 2, 2, 0xFFFF, 0x01F1),
        (MSI + 4, 4, 0x1234_5677, 0x1234_5674),
        (MSI + 12, 2, 0xBEEF, 0xBEEF),
        (MSIX + 2, 2, 0xFFFF, 0xC009),
        (MSIX + 4, 4, 0, 3),
        (EXPRESS + 4, 4, 0, 0x1000_8CC2),
        (DEVICE_CONTROL, 2, 0x7FFF, 0x7FFF),
        (EXPRESS + 0x28, 2, 0xFFFF, 0x001F),
        (AER + 8, 4, ALL_ONES, 0x001F_F010),
        (AER + 4, 4, ALL_ONES, 0),
        (DSN + 4, 4, 0, 0xFF82_5760),
        (0x800, 4, ALL_ONES, 0),
    ],
)
def test_software_changes_what_it_may_and_nothing_else(
    client: Client, at: int, size: int, written: int, read: int
) -> None:
    client.write(CONFIG, at, written, size)
    assert client.read(CONFIG, at, size) == read


def test_a_bar_that_is_not_decoded_reads_ones_and_takes_nothing(client: Client) -> None:
    client.write(BAR0, 0x80, 0x1234_5678)
    client.enable(1)
    client.write(BAR0, 0x80, 0)
    assert client.read(BAR0, 0x80) == ALL_ONES
    assert client.read(BAR2, 0, 4) == 0
    client.enable(2)
    assert client.read(BAR0, 0x80) == 0x1234_5678
    assert client.read(BAR2, 0, 4) == ALL_ONES


def test_function_level_reset_starts_afresh_and_its_bit_reads_zero(client: Client) -> None:
    client.write(CONFIG, 0x3C, 0x0B, 1)
    client.write(CONFIG, MSIX + 2, 0x8000, 2)
    before = resets(client)
    client.write(CONFIG, DEVICE_CONTROL, 0x8000 | 0x2810, 2)
    assert client.read(CONFIG, DEVICE_CONTROL, 2) == 0x2810
    assert client.read(CONFIG, MSIX + 2, 2) == 9
    assert client.read(CONFIG, 0x3C, 1) == 0
    client.enable()
    assert resets(client) == before + 1


def test_d3hot_stops_decoding_and_leaving_it_resets_the_function(client: Client) -> None:
    client.write(BAR0, 0x80, 0x1234_5678)
    before = resets(client)
    client.write(CONFIG, PMCSR, 3, 2)
    assert client.read(CONFIG, PMCSR, 2) == 3
    assert client.read(BAR0, 0x80) == ALL_ONES
    client.write(CONFIG, PMCSR, 0, 2)
    assert client.read(BAR0, 0x80) == 0x1234_5678, "the fake keeps its registers"
    assert resets(client) == before + 1


def test_the_msix_table_is_storage_with_every_vector_masked_at_first(client: Client) -> None:
    assert [client.read(BAR3, 16 * n + 12) for n in (0, 9, 10)] == [1, 1, 0]
    client.write_bytes(BAR3, 16 * 9, struct.pack("<IIII", 0xFEE0_1007, 0x1, 0x4142, 0xFFFF_FFFE))
    assert client.read_bytes(BAR3, 16 * 9, 16) == struct.pack("<IIII", 0xFEE0_1004, 0x1, 0x4142, 0)
    client.write(BAR3, 16 * 10, ALL_ONES)
    client.write(BAR3, 0x2000, ALL_ONES)
    client.write(BAR3, 0x3FFC, ALL_ONES)
    assert [client.read(BAR3, at) for at in (16 * 10, 0x2000, 0x3FFC)] == [0, 0, 0]
    client.reset()
    client.enable()
    assert client.read(BAR3, 16 * 9 + 12) == 1


def test_a_card_that_is_gone_reads_as_ones_and_takes_no_reset(client: Client) -> None:
    before = resets(client)
    client.write(BAR0, COMMAND, VANISH, 8)
    assert client.read(CONFIG, 0x00) == ALL_ONES
    client.write(CONFIG, DEVICE_CONTROL, 1 << 15, 2)
    assert resets(client) == before
