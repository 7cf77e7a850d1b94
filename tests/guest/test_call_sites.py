# SPDX-License-Identifier: BSD-3-Clause
"""Finding calls in an object file and offsets in BTF, so that probes sit where they should or not at all."""

from __future__ import annotations

import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from harness.errors import UsageError
from harness.guest.btf import Btf
from harness.guest.dql_probes import dql_probes
from harness.guest.elf import call_sites, first_argument_base

if TYPE_CHECKING:
    from pathlib import Path

ASSEMBLY = """
    .text
    .globl igb_poll, igb_clean_tx_ring
    .type igb_poll, @function
igb_poll:
    push %r15
    mov %rdi, %r15
    call dql_reset
    {before}
    mov %ebx, %esi
    call dql_completed
    pop %r15
    ret
    .size igb_poll, .-igb_poll
    .type igb_clean_tx_ring, @function
igb_clean_tx_ring:
    nop
    lea 0x80(%rbx), %rdi
    call dql_reset
    {more}
    ret
    .size igb_clean_tx_ring, .-igb_clean_tx_ring
"""


def module(folder: Path, before: str = "lea 0x80(%r15), %rdi", more: str = "") -> bytes:
    source, made = folder / "igb.s", folder / "igb.o"
    source.write_text(ASSEMBLY.format(before=before, more=more))
    subprocess.run(["gcc", "-c", "-o", str(made), str(source)], check=True)
    return made.read_bytes()


def types(*structures: tuple[str, tuple[tuple[str, int], ...]]) -> bytes:
    """Return BTF with an int type (1) and the structures, whose members are ints at byte offsets."""
    names = b"\0int\0"
    body = struct.pack("<III", 1, 1 << 24, 4) + struct.pack("<I", 32)
    for name, members in structures:
        at = len(names)
        names += name.encode() + b"\0"
        body += struct.pack("<III", at, 4 << 24 | len(members), 256)
        for member, offset in members:
            body += struct.pack("<III", len(names), 1, offset * 8)
            names += member.encode() + b"\0"
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(body), len(body), len(names)) + body + names


DQL = (
    *(("num_queued", 0), ("adj_limit", 4), ("last_obj_cnt", 8), ("stall_thrs", 12), ("limit", 64)),
    *(("num_completed", 68), ("prev_ovlimit", 72), ("prev_num_queued", 76), ("prev_last_obj_cnt", 80)),
    *(("lowest_slack", 84), ("slack_start_time", 88), ("max_limit", 96), ("min_limit", 100)),
    *(("slack_hold_time", 104), ("stall_max", 108), ("stall_cnt", 120)),
)
KERNEL = Btf(types(("dql", DQL), ("netdev_queue", (("dql", 0x80), ("state", 0x110)))))


def test_a_call_is_found_in_the_named_function_only(tmp_path: Path) -> None:
    data = module(tmp_path)
    (site,) = call_sites(data, "dql_completed", "igb_poll")
    assert site.offset == 2 + 3 + 5 + 7 + 2
    assert site.after == site.offset + 5
    (reset,) = call_sites(data, "dql_reset", "igb_clean_tx_ring")
    assert reset.offset == 1 + 7


def test_the_register_that_still_holds_after_the_call_is_found(tmp_path: Path) -> None:
    (site,) = call_sites(module(tmp_path), "dql_completed", "igb_poll")
    assert first_argument_base(site) == ("%r15", 0x80)


@pytest.mark.parametrize(
    ("code", "place"), [("lea 0x40(%rbx), %rdi", ("%bx", 0x40)), ("lea 0x180(%rbp), %rdi", ("%bp", 0x180))]
)
def test_short_and_long_displacements_are_read(tmp_path: Path, code: str, place: tuple[str, int]) -> None:
    (site,) = call_sites(module(tmp_path, before=code), "dql_completed", "igb_poll")
    assert first_argument_base(site) == place


def test_a_register_saved_on_the_stack_is_found_there(tmp_path: Path) -> None:
    code = "lea 0x80(%rdx), %rdi; mov %eax, %esi; mov %rdx, 0x20(%rsp)"
    (site,) = call_sites(module(tmp_path, before=code), "dql_completed", "igb_poll")
    assert first_argument_base(site) == ("+0x20(%sp)", 0x80)
    assert "state=+0x110(+0x20(%sp)):u64" in dql_probes(module(tmp_path, before=code), KERNEL).done.definition


@pytest.mark.parametrize(
    "code", ["lea 0x80(%rax), %rdi", "mov %r15, %rdi", "lea 0x80(%rdx), %rdi; mov %rcx, 0x20(%rsp)"]
)
def test_an_argument_from_a_register_that_the_call_may_change_is_refused(tmp_path: Path, code: str) -> None:
    (site,) = call_sites(module(tmp_path, before=code), "dql_completed", "igb_poll")
    with pytest.raises(UsageError, match="must take its first argument by lea"):
        first_argument_base(site)


def test_probes_name_offsets_and_members_of_the_build(tmp_path: Path) -> None:
    probes = dql_probes(module(tmp_path), KERNEL)
    assert probes.entry.place == "igb:igb_poll+0x13"
    assert probes.done.place == "igb:igb_poll+0x18"
    assert probes.reset.place == "igb:igb_clean_tx_ring+0x8"
    assert "nc=+0x44(%di):u32" in probes.entry.definition
    assert "ss=+0xd8(%r15):u64" in probes.done.definition
    assert "state=+0x110(%r15):u64" in probes.done.definition
    assert probes.dql_in_queue == 0x80


def test_a_build_that_calls_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="once, not 1 and 2 times"):
        dql_probes(module(tmp_path, more="call dql_reset"), KERNEL)


def test_a_register_that_points_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"not something \+16 bytes off"):
        dql_probes(module(tmp_path, before="lea 0x90(%r15), %rdi"), KERNEL)


def test_a_kernel_without_a_member_is_refused_by_its_name(tmp_path: Path) -> None:
    poorer = Btf(types(("dql", DQL[:-1]), ("netdev_queue", (("dql", 0x80), ("state", 0x110)))))
    with pytest.raises(UsageError, match="lacks stall_cnt"):
        dql_probes(module(tmp_path), poorer)


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(UsageError, match="must be an ELF-64"):
        call_sites(b"\xfd7zXZ\0", "dql_completed", "igb_poll")
    with pytest.raises(UsageError, match="BTF must begin with 0xeb9f"):
        Btf(bytes(24))
