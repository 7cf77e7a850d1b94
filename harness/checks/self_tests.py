# SPDX-License-Identifier: BSD-3-Clause
"""What the driver's offline self test does to the registers (Linux igb_reg_test and its table for the 82576)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.seen import Seen

PATTERNS = (0x5A5A_5A5A, 0xA5A5_A5A5, 0x0000_0000, 0xFFFF_FFFF)
ALL, HALF = 0xFFFF_FFFF, 0xFFFF
STATUS_TOGGLED = 0x7FFF_F3FF
READ_START, WORD_AT, DATA_AT, DATA_DONE = 1, 2, 16, 2
"""EERD: start, where the word's number and its data stand, and done (82576 8.4.2)."""


class Row(NamedTuple):
    """``many`` registers (0: one without an index) get each pattern through ``write`` and must show it in ``mask``."""

    name: str
    many: int
    mask: int
    write: int = ALL


TABLE = (
    Row("FCAL", 0, ALL),
    Row("FCAH", 0, HALF),
    Row("FCT", 0, HALF),
    Row("VET", 0, ALL),
    Row("RDBAL", 16, 0xFFFF_FF80),
    Row("RDBAH", 16, ALL),
    Row("RDLEN", 16, 0x000F_FFF0, 0x000F_FFFF),
    Row("RDT", 16, HALF, HALF),
    Row("FCRTH", 0, 0xFFF0, 0xFFF0),
    Row("FCTTV", 0, HALF, HALF),
    Row("TIPG", 0, 0x3FFF_FFFF, 0x3FFF_FFFF),
    Row("TDBAL", 16, 0xFFFF_FF80),
    Row("TDBAH", 16, ALL),
    Row("TDLEN", 16, 0x000F_FFF0, 0x000F_FFFF),
    Row("RAL", 16, ALL),
    Row("RAH", 16, 0x83FF_FFFF),
    Row("RAL_HIGH", 8, ALL),
    Row("RAH_HIGH", 8, 0x83FF_FFFF),
    Row("MTA", 128, ALL),
)


def names(row: Row) -> Iterator[str]:
    """Yield the names of a row's registers."""
    if row.many:
        yield from (f"{row.name}[{n}]" for n in range(row.many))
    else:
        yield row.name


def tried(events: Sequence[Seen]) -> dict[str, list[tuple[int, int]]]:
    """Return, by register, each (written, read) of a write that the read right after it looked at."""
    found: dict[str, list[tuple[int, int]]] = {}
    for first, second in pairwise(events):
        if (first.kind, second.kind) == ("RegisterWritten", "RegisterRead") and first.register == second.register:
            found.setdefault(first.register, []).append((first.value, second.value))
    return found


def unlike_the_table(events: Sequence[Seen]) -> list[str]:
    """Return what was not tried, or did not hold what it was given, of all registers of the table."""
    pairs = tried(events)
    wrong = []
    for row in TABLE:
        wanted = [(pattern & row.write, pattern & row.write & row.mask) for pattern in PATTERNS]
        for name in names(row):
            got = [(written, read & row.mask) for written, read in pairs.get(name, [])]
            if [pair for pair in got if pair in wanted] != wanted:
                wrong.append(f"{name} must show {wanted}, not {got}")
    return wrong


def status_around_writes(events: Sequence[Seen]) -> list[tuple[int, int]]:
    """Return STATUS as read before and after each write of it by the test, as far as the test compares it."""
    status = [event for event in events if event.register == "STATUS"]
    return [
        (before.value & STATUS_TOGGLED, after.value & STATUS_TOGGLED)
        for before, write, after in zip(status, status[1:], status[2:], strict=False)
        if write.kind == "RegisterWritten" and write.value == STATUS_TOGGLED
    ]


def words_read(events: Sequence[Seen]) -> dict[int, int]:
    """Return the NVM words that were read through EERD, by number."""
    words: dict[int, int] = {}
    asked = None
    for event in events:
        if event.kind not in ("RegisterRead", "RegisterWritten") or event.register != "EERD":
            continue
        if event.kind == "RegisterWritten":
            asked = event.value >> WORD_AT if event.value & READ_START else None
        elif asked is not None and event.value & DATA_DONE:
            words[asked] = event.value >> DATA_AT
            asked = None
    return words
