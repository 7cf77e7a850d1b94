# SPDX-License-Identifier: BSD-3-Clause
"""What a person types, what gdb is told, and which terminals show a screen."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from harness.debug.card_lines import decoded, ring_lines
from harness.debug.gdb import find_vmlinux, gdb_command, link_address
from harness.errors import UsageError
from harness.words import number, pairs, value

LINKED_AT = 0xFFFFFFFF81000000


@pytest.mark.parametrize(
    ("word", "meant"),
    [("7", 7), ("0x1F", 31), ("-1", -1), ("true", True), ("null", None), ("[1, 2]", [1, 2]), ("auto", "auto")],
)
def test_a_word_is_the_value_it_looks_like(word: str, meant: object) -> None:
    assert value(word) == meant


def test_a_word_that_begins_like_json_must_be_json() -> None:
    with pytest.raises(UsageError, match=r"must be JSON when it begins like JSON, not '\[1,'"):
        value("[1,")


def test_arguments_are_pairs() -> None:
    assert pairs(["vector=3", "when=after-mask"]) == {"vector": 3, "when": "after-mask"}
    with pytest.raises(UsageError, match="form name=value, not '=3'"):
        pairs(["=3"])


def test_a_number_that_is_none_is_named() -> None:
    assert number([], 0, "the count", 5) == 5
    with pytest.raises(UsageError, match="the count must be a number from 0 on, not '-4'"):
        number(["-4"], 0, "the count")


def elf(path: Path) -> Path:
    """A file with an ELF-64 header and two program headers, of which the second is loaded."""
    header = bytearray(64)
    header[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<Q", header, 0x20, 64)
    struct.pack_into("<HH", header, 0x36, 56, 2)
    note = struct.pack("<IIQQ", 4, 0, 0, 0x1234).ljust(56, b"\0")
    load = struct.pack("<IIQQ", 1, 5, 0x200000, LINKED_AT).ljust(56, b"\0")
    path.write_bytes(bytes(header) + note + load)
    return path


def test_gdb_is_told_how_far_the_kernel_was_moved(tmp_path: Path) -> None:
    kernel = elf(tmp_path / "vmlinux")
    assert link_address(kernel) == LINKED_AT
    command = gdb_command(Path("/s"), kernel, LINKED_AT + 0x1C00000)
    assert f"'symbol-file -o 0x1c00000 {kernel}'" in command
    assert command.endswith("-ex 'target remote /s'")


def test_a_kernel_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(UsageError, match=r"must be an ELF-64 little-endian file, not one that begins with b'hello'"):
        link_address(tmp_path / "text")
    with pytest.raises(UsageError, match="--vmlinux must be a file"):
        find_vmlinux("6.12", tmp_path / "nowhere")


def test_symbols_are_looked_for_where_debian_puts_them(tmp_path: Path) -> None:
    assert find_vmlinux("6.12-x", None, tmp_path) is None
    (tmp_path / "boot").mkdir()
    elf(tmp_path / "boot/vmlinux-6.12-x")
    assert find_vmlinux("6.12-x", None, tmp_path) == tmp_path / "boot/vmlinux-6.12-x"


def test_a_register_is_decoded_by_its_declaration() -> None:
    assert decoded("RDT[3]", 0xFF) == "RDT[3]       000000ff  tail=0xff"
    assert decoded("NOSUCH", 1) == "NOSUCH       00000001"


def test_a_ring_shows_its_pointers_and_what_is_around_its_head() -> None:
    slots = [{"index": n, "raw": "00", "as": "TxData", "dd": n == 1} for n in range(16)]
    lines = ring_lines({"enabled": True, "base": 0x1000, "count": 16, "head": 1, "tail": 3, "descriptors": slots})
    assert lines[0] == "enabled True, base 0x1000, count 16, head 1, tail 3"
    assert [int(line[1:].split()[0]) for line in lines[1:]] == [13, 14, 15, 0, 1, 2, 3, 4]
    assert [line for line in lines if line.startswith(">")] == [">     1  raw=00 as=TxData dd=1"]


def test_a_ring_without_memory_has_pointers_alone() -> None:
    assert ring_lines({"count": 0, "head": 0, "descriptors": []}) == ["count 0, head 0"]
