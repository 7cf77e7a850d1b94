# SPDX-License-Identifier: BSD-3-Clause
"""The soak's books: what adds up, what does not, and what counts as a leak."""

from __future__ import annotations

import mmap
import os
from dataclasses import fields, replace

import pytest

from harness.soak.accounts import AT_THE_DRIVER, STATIONS, Books
from harness.soak.soak import Findings, memory_of

BALANCED = Books(
    host_sent=100,
    host_received=53,
    wire_arrived=100,
    wire_emitted=53,
    wire_dropped=2,
    card_arrived=100,
    card_delivered=90,
    card_dropped=10,
    card_emitted=51,
    card_paused=4,
    driver_received=90,
    driver_sent=51,
)


def test_books_that_add_up_lack_nothing() -> None:
    assert not any(station.lacks(BALANCED) for station in (*STATIONS, *AT_THE_DRIVER))
    assert Books() == BALANCED - BALANCED


@pytest.mark.parametrize("name", [each.name for each in fields(Books)])
def test_a_frame_that_only_one_book_knows_is_noticed(name: str) -> None:
    wrong = replace(BALANCED, **{name: getattr(BALANCED, name) + 1})
    sentences = [said for station in (*STATIONS, *AT_THE_DRIVER) if (said := station.lacks(wrong))]
    assert sentences
    assert all(name in said for said in sentences)


def test_memory_that_comes_and_goes_is_no_leak_and_memory_that_grows_is() -> None:
    mib = 1 << 20
    flat = Findings(memory={"card": [20 * mib, 24 * mib, 21 * mib] * 5})
    assert flat.leaks() == []
    leaking = Findings(memory={"card": [(20 + n) * mib for n in range(30)]})
    assert leaking.leaks() == ["card must keep its memory, but gained 20480 KiB"]


def test_memory_that_holds_data_counts_and_code_does_not() -> None:
    before = memory_of(os.getpid())
    size = 32 << 20
    code = mmap.mmap(-1, size, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\1" * size)
    assert memory_of(os.getpid()) < before + size // 2
    data = bytearray(b"\1" * size)
    assert memory_of(os.getpid()) > before + size // 2
    code.close()
    del data
