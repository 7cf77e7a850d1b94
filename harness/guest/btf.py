# SPDX-License-Identifier: BSD-3-Clause
"""Offsets of structure members, from the kernel's own type information (Documentation/bpf/btf.rst)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from harness.errors import UsageError

MAGIC = 0xEB9F
HEADER = struct.Struct("<HBBIIIII")
TYPE = struct.Struct("<III")
MEMBER = struct.Struct("<III")
STRUCT, UNION, ENUM, ENUM64 = 4, 5, 6, 19
EXTRA = {1: 4, 3: 12, 14: 4, 17: 4}
"""Bytes after a type of kind INT, ARRAY, VAR, DECL_TAG."""

PER_ITEM = {STRUCT: 12, UNION: 12, ENUM: 8, 13: 8, 15: 12, ENUM64: 12}
"""Bytes for each of vlen items after a type of kind STRUCT, UNION, ENUM, FUNC_PROTO, DATASEC, ENUM64."""

TRANSPARENT = (8, 9, 10, 11, 18)
"""TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG: the type that they refer to is what counts."""


@dataclass(frozen=True, slots=True)
class Type:
    """One type: ``at`` is where its items begin, ``refers`` its size or the type it refers to."""

    name: int
    kind: int
    count: int
    bitfields: bool
    refers: int
    at: int


class Btf:
    """The types of one kernel."""

    def __init__(self, data: bytes) -> None:
        magic, _, _, header, types_at, types_size, names_at, names_size = HEADER.unpack_from(data)
        if magic != MAGIC:
            raise UsageError(f"BTF must begin with {MAGIC:#x}, not {magic:#x}")
        self._data = data
        self._names = data[header + names_at : header + names_at + names_size]
        self._types = [Type(0, 0, 0, bitfields=False, refers=0, at=0)]
        at, end = header + types_at, header + types_at + types_size
        while at < end:
            name, info, refers = TYPE.unpack_from(data, at)
            kind, count = info >> 24 & 0x1F, info & 0xFFFF
            at += TYPE.size
            self._types.append(Type(name, kind, count, bool(info >> 31), refers, at))
            at += EXTRA.get(kind, 0) + PER_ITEM.get(kind, 0) * count

    def _name(self, offset: int) -> str:
        return self._names[offset : self._names.index(b"\0", offset)].decode()

    def members(self, structure: str) -> dict[str, int]:
        """Return the byte offsets of a structure's members; those of anonymous inner ones are among them."""
        wanted = structure.encode() + b"\0"
        for item in self._types:
            if item.kind == STRUCT and self._names.startswith(wanted, item.name):
                return self._members_of(item, 0)
        raise UsageError(f"the kernel must have a struct {structure}, and has none")

    def _members_of(self, item: Type, base: int) -> dict[str, int]:
        found: dict[str, int] = {}
        for number in range(item.count):
            name, kind, bits = MEMBER.unpack_from(self._data, item.at + number * MEMBER.size)
            offset = base + ((bits & 0xFFFFFF) if item.bitfields else bits) // 8
            if name:
                found[self._name(name)] = offset
            else:
                inner = self._plain(kind)
                if inner.kind in (STRUCT, UNION):
                    found.update(self._members_of(inner, offset))
        return found

    def _plain(self, number: int) -> Type:
        item = self._types[number]
        while item.kind in TRANSPARENT:
            item = self._types[item.refers]
        return item
