# SPDX-License-Identifier: BSD-3-Clause
"""Reading the driver's self test out of the card's events."""

from __future__ import annotations

from harness.checks.self_tests import (
    PATTERNS,
    STATUS_TOGGLED,
    TABLE,
    Row,
    names,
    status_around_writes,
    unlike_the_table,
    words_read,
)
from harness.seen import Seen


def access(kind: str, register: str, value: int) -> Seen:
    return Seen(f"Register{kind}", 0, 0, {"register": register, "value": value})


def tried(row: Row, name: str, stuck: int = 0) -> list[Seen]:
    out = []
    for pattern in PATTERNS:
        out += [access("Written", name, pattern & row.write), access("Read", name, pattern & row.write & ~stuck)]
    return out


def test_a_card_that_holds_every_pattern_is_like_the_table() -> None:
    events = [event for row in TABLE for name in names(row) for event in tried(row, name)]
    assert unlike_the_table(events) == []


def test_a_stuck_bit_and_a_register_left_out_are_named() -> None:
    events = []
    for row in TABLE:
        for name in names(row):
            if name == "TDLEN[7]":
                events += tried(row, name, stuck=1 << 12)
            elif name != "MTA[9]":
                events += tried(row, name)
    assert [line.split()[0] for line in unlike_the_table(events)] == ["TDLEN[7]", "MTA[9]"]


def test_status_is_looked_at_around_the_write_of_the_test_only() -> None:
    reads = [access("Read", "STATUS", 0x80080783), access("Read", "STATUS", 0x80080781)]
    assert status_around_writes([reads[0], access("Written", "STATUS", 5), reads[0]]) == []
    around = status_around_writes([reads[0], access("Written", "STATUS", STATUS_TOGGLED), reads[1]])
    assert around == [(0x80080783 & STATUS_TOGGLED, 0x80080781 & STATUS_TOGGLED)]


def test_words_are_those_that_were_asked_for_and_done() -> None:
    events = [
        access("Written", "EERD", 0x3F << 2 | 1),
        access("Read", "EERD", 0xDEAD0000),
        access("Read", "EERD", 0xBEEF0002),
        access("Read", "CTRL", 0xFFFF0002),
        Seen("FrameEmitted", 0, 0, {"frame": b""}),
        access("Read", "EERD", 0x12340002),
    ]
    assert words_read(events) == {0x3F: 0xBEEF}
