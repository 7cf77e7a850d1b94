# SPDX-License-Identifier: BSD-3-Clause
"""Where a kernel module calls a function of the kernel: relocations of an ELF object, and the bytes around them.

Layouts from the ELF-64 specification and the x86-64 psABI. Used to place probes at call sites of functions that
cannot be probed themselves.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from harness.errors import UsageError

SYMBOL_SIZE = 24
RELA_SIZE = 24
SECTION_SIZE = 64
FUNCTION_TYPE = 2
CALL_TYPES = (2, 4)
"""R_X86_64_PC32 and R_X86_64_PLT32."""

CALL = 0xE8
CALL_LENGTH = 5
LOOK_BACK = 64
REGISTERS = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15")
PRESERVED = ("bx", "bp", "r12", "r13", "r14", "r15")
RDI = 7


@dataclass(frozen=True, slots=True)
class Section:
    """One section header, with its bytes."""

    kind: int
    link: int
    info: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Symbol:
    """One symbol: ``value`` is an offset in section ``section``."""

    name: str
    kind: int
    section: int
    value: int
    size: int


@dataclass(frozen=True, slots=True)
class CallSite:
    """A call: its offset in ``caller``, and the code of ``caller`` up to it."""

    caller: str
    offset: int
    before: bytes

    @property
    def after(self) -> int:
        """The offset of the instruction that the call returns to."""
        return self.offset + CALL_LENGTH


def sections(data: bytes) -> list[Section]:
    """Return the sections of an ELF-64 little-endian file. Raises UsageError for anything else."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise UsageError(f"a module must be an ELF-64 little-endian file, not one that begins with {data[:6]!r}")
    (start,) = struct.unpack_from("<Q", data, 0x28)
    (count,) = struct.unpack_from("<H", data, 0x3C)
    found = []
    for number in range(count):
        _, kind, _, _, offset, size, link, info, _, _ = struct.unpack_from(
            "<IIQQQQIIQQ", data, start + number * SECTION_SIZE
        )
        found.append(Section(kind, link, info, b"" if kind == 8 else data[offset : offset + size]))
    return found


def symbols(found: list[Section]) -> list[Symbol]:
    """Return the symbol table (SHT_SYMTAB)."""
    table = next(section for section in found if section.kind == 2)
    names = found[table.link].data
    result = []
    for at in range(0, len(table.data), SYMBOL_SIZE):
        name, info, _, section, value, size = struct.unpack_from("<IBBHQQ", table.data, at)
        result.append(Symbol(names[name : names.index(b"\0", name)].decode(), info & 0xF, section, value, size))
    return result


def call_sites(data: bytes, callee: str, caller: str) -> list[CallSite]:
    """Return every direct call of ``callee`` in function ``caller``, in order. UsageError if there is no caller."""
    found = sections(data)
    table = symbols(found)
    home = next((s for s in table if s.name == caller and s.kind == FUNCTION_TYPE), None)
    if home is None:
        raise UsageError(f"the module must have a function {caller}, and has none")
    code = found[home.section].data
    sites = []
    for section in found:
        if section.kind != 4 or section.info != home.section:
            continue
        for at in range(0, len(section.data), RELA_SIZE):
            offset, info, _ = struct.unpack_from("<QQq", section.data, at)
            start = offset - 1
            inside = home.value <= start < home.value + home.size
            if inside and info & 0xFFFFFFFF in CALL_TYPES and table[info >> 32].name == callee and code[start] == CALL:
                sites.append(CallSite(caller, start - home.value, code[home.value : start]))
    return sorted(sites, key=lambda site: site.offset)


def first_argument_base(site: CallSite) -> tuple[str, int]:
    """Return base and displacement of the last ``lea displacement(base), %rdi`` before a call.

    The base is a fetch expression of kprobe events that gives the same value after the call too: a register that the
    callee preserves (``%r15``), or the stack slot that the caller has just saved the register in (``+0x20(%sp)``).
    Raises UsageError if there is no such instruction in the 64 bytes before.
    """
    code = site.before[-LOOK_BACK:]
    for at in range(len(code) - 4, -1, -1):
        rex, opcode, modrm = code[at], code[at + 1], code[at + 2]
        mode, target, base = modrm >> 6, modrm >> 3 & 7, modrm & 7
        if rex not in (0x48, 0x49) or opcode != 0x8D or target != RDI or mode not in (1, 2) or base == 4:
            continue
        length = 4 if mode == 1 else 7
        if at + length > len(code):
            continue
        (displacement,) = struct.unpack_from("<b" if mode == 1 else "<i", code, at + 3)
        register = REGISTERS[base + 8 * (rex & 1)]
        if register in PRESERVED:
            return f"%{register}", displacement
        slot = saved_on_stack(code[at + length :], base + 8 * (rex & 1))
        if slot is not None:
            return f"+{slot:#x}(%sp)", displacement
    raise UsageError(
        f"{site.caller}+{site.offset:#x} must take its first argument by lea from a register that is kept over the call"
    )


def saved_on_stack(code: bytes, register: int) -> int | None:
    """Return the offset of ``mov register, offset(%rsp)`` in code; None if it is not there."""
    for at in range(len(code) - 4):
        store = bytes((0x48 | (register >> 3) << 2, 0x89, 0x44 | (register & 7) << 3, 0x24))
        if code[at : at + 4] == store and code[at + 4] < 0x80:
            return code[at + 4]
    return None
