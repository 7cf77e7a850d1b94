# SPDX-License-Identifier: BSD-3-Clause
"""Ftrace's binary ring buffer as records: pages of trace_pipe_raw, decoded by the kernel's own format files.

Layout from Linux include/linux/ring_buffer.h (type_len, time_delta, array) and kernel/trace/ring_buffer.c
(struct buffer_data_page); fields from events/*/*/format.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PADDING, TIME_EXTEND, TIME_STAMP = 29, 30, 31
DELTA_BITS = 27
ABSOLUTE_BITS = 59
MISSED = 1 << 31
COMMIT_MASK = (1 << 30) - 1
HARDIRQ = 0x08
SOFTIRQ = 0x10
FIELD = re.compile(
    r"\s*field:(?P<what>[^;]+);\s*offset:(?P<offset>\d+);\s*size:(?P<size>\d+);\s*signed:(?P<signed>\d);"
)
FORMATS = {
    (1, 0): "<B",
    (1, 1): "<b",
    (2, 0): "<H",
    (2, 1): "<h",
    (4, 0): "<I",
    (4, 1): "<i",
    (8, 0): "<Q",
    (8, 1): "<q",
}


@dataclass(frozen=True, slots=True)
class Record:
    """One trace event. ``t`` is in ns of the session's clock; ``fields`` by the kernel's names."""

    name: str
    cpu: int
    t: int
    pid: int
    comm: str
    flags: int
    fields: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - a field is whatever the kernel says
        return self.fields[name]

    @property
    def in_hardirq(self) -> bool:
        """Whether it happened in a hard interrupt."""
        return bool(self.flags & HARDIRQ)

    @property
    def in_softirq(self) -> bool:
        """Whether it happened while a softirq was served."""
        return bool(self.flags & SOFTIRQ)


@dataclass(frozen=True, slots=True)
class Field:
    """Where a field lies in an event, and how to read it."""

    name: str
    offset: int
    size: int
    signed: bool
    kind: str

    def read(self, data: bytes) -> Any:  # noqa: ANN401
        """Return the value: int, text (char arrays and dynamic strings) or bytes."""
        if self.kind in ("data_loc", "rel_loc"):
            (where,) = struct.unpack_from("<I", data, self.offset)
            start = (where & 0xFFFF) + (self.offset + self.size if self.kind == "rel_loc" else 0)
            return text(data[start : start + (where >> 16)])
        if self.kind == "text":
            return text(data[self.offset : self.offset + self.size])
        if self.kind == "bytes":
            return data[self.offset : self.offset + self.size]
        return struct.unpack_from(FORMATS[self.size, int(self.signed)], data, self.offset)[0]


@dataclass(frozen=True, slots=True)
class EventFormat:
    """One kind of event: its number in this boot and its fields, without the common ones."""

    name: str
    number: int
    fields: tuple[Field, ...]


@dataclass(slots=True)
class Decoder:
    """Turns the pages of one session into records; ``lost`` counts pages before which events were lost."""

    formats: Mapping[int, EventFormat]
    comms: Mapping[int, str] = field(default_factory=dict)
    lost: int = 0

    def pages(self, cpu: int, data: bytes, page_size: int = 4096) -> Iterator[Record]:
        """Yield the records of consecutive pages of one CPU."""
        for start in range(0, len(data) - 15, page_size):
            yield from self.page(cpu, data[start : start + page_size])

    def page(self, cpu: int, data: bytes) -> Iterator[Record]:
        """Yield the records of one page."""
        stamp, commit = struct.unpack_from("<QQ", data)
        if commit & MISSED:
            self.lost += 1
        end = min(16 + (commit & COMMIT_MASK), len(data))
        at = 16
        while at + 4 <= end:
            (word,) = struct.unpack_from("<I", data, at)
            kind, delta = word & 0x1F, word >> 5
            if kind == PADDING:
                if delta == 0:
                    return
                stamp += delta
                at += 4 + struct.unpack_from("<I", data, at + 4)[0]
            elif kind in (TIME_EXTEND, TIME_STAMP):
                value = delta + (struct.unpack_from("<I", data, at + 4)[0] << DELTA_BITS)
                stamp = (stamp >> ABSOLUTE_BITS << ABSOLUTE_BITS | value) if kind == TIME_STAMP else stamp + value
                at += 8
            else:
                stamp += delta
                length = kind * 4 if kind else struct.unpack_from("<I", data, at + 4)[0]
                body = data[at + 4 : at + 4 + length] if kind else data[at + 8 : at + 4 + length]
                at += 4 + length
                record = self.record(cpu, stamp, body)
                if record is not None:
                    yield record

    def record(self, cpu: int, stamp: int, body: bytes) -> Record | None:
        """Return the record of one event's bytes; None for kinds that the session did not ask for."""
        number, flags, _, pid = struct.unpack_from("<HBBi", body)
        known = self.formats.get(number)
        if known is None:
            return None
        values = {item.name: item.read(body) for item in known.fields}
        comm = "<idle>" if pid == 0 else self.comms.get(pid, "<...>")
        return Record(known.name, cpu, stamp, pid, comm, flags, values)


def text(data: bytes) -> str:
    """Return bytes up to the first NUL as text."""
    return data.partition(b"\0")[0].decode("utf-8", "replace")


def parse_format(name: str, content: str) -> EventFormat:
    """Return an event's format from its format file."""
    number = 0
    fields = []
    for line in content.splitlines():
        if line.startswith("ID:"):
            number = int(line[3:])
        found = FIELD.match(line)
        if found is None:
            continue
        made = make_field(found["what"].strip(), int(found["offset"]), int(found["size"]), found["signed"] == "1")
        if not made.name.startswith("common_"):
            fields.append(made)
    return EventFormat(name, number, tuple(fields))


def make_field(what: str, offset: int, size: int, signed: bool) -> Field:  # noqa: FBT001 - mirrors the format file
    """Return the field for a C declaration such as ``__data_loc char[] dev_name`` or ``u8 addr[6]``."""
    kind = "int"
    if what.startswith("__data_loc"):
        kind = "data_loc"
    elif what.startswith("__rel_loc"):
        kind = "rel_loc"
    elif re.search(r"\[\w*\]$", what):
        kind = "text" if re.match(r"(const )?(unsigned )?char\b", what) else "bytes"
    elif size not in (1, 2, 4, 8):
        kind = "bytes"
    name = re.sub(r"\[\w*\]$", "", what).split()[-1].lstrip("*")
    return Field(name, offset, size, signed, kind)


def parse_comms(content: str) -> dict[int, str]:
    """Return pid → command name from saved_cmdlines."""
    pairs = (line.split(" ", 1) for line in content.splitlines() if " " in line)
    return {int(pid): comm for pid, comm in pairs}
