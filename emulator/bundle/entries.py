# SPDX-License-Identifier: BSD-3-Clause
"""The log of a card: a header in JSON, then entries, one after another, in the order in which things happened.

An entry is eight bytes (kind, x, y, size) and ``size`` bytes more, all little-endian. Entries below ``Kind.RESULT`` are
steps: something that came from outside, with the card's time in nanoseconds as their first eight bytes. What follows
until the next step is what the card asked and did because of it. ``emulator/fastpath/log.h`` has the same in C.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from emulator.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VERSION = 1
MAGIC = b"hilnic\x00\x01"
HEAD = struct.Struct("<BBHI")
TIME = struct.Struct("<Q")
PREAMBLE = struct.Struct("<8sII")
"""Magic, version, size of the header."""

ADDRESS = struct.Struct("<Q")
READ = struct.Struct("<QQ")
WRITE = struct.Struct("<QQQ")
MAP = struct.Struct("<QQQQ")
UNMAP = struct.Struct("<QQQ")
MASK = struct.Struct("<QII")
TIMER = struct.Struct("<QQ")
FAILED_READ = struct.Struct("<QQ")
END = struct.Struct("<QQQ")
"""Steps in the log, steps and bytes that no longer fitted."""


class Kind(IntEnum):
    """What an entry is; x, y and the bytes behind the time stand beside each."""

    NOTHING = 0
    READ = 1
    """x: region, y: size; offset."""

    WRITE = 2
    """x: region, y: size; offset, value."""

    RESET = 3
    """x: 1 if the client was lost."""

    MAP = 4
    """x: 1 readable, 2 writable; address, size, bytes of it that can be touched."""

    UNMAP = 5
    """Address, size."""

    MASK = 6
    """x: scheme (INTx, MSI, MSI-X), y: 1 masked; first vector, how many."""

    FRAME_IN = 7
    """The frame."""

    TIMER = 8
    """When it was to fire."""

    CONTROL = 9
    """The command as JSON."""

    RESULT = 32
    """The value of a read: eight bytes."""

    DMA_READ = 33
    """x: 1 done; address, and the bytes that were there, or how many were wanted if it failed."""

    DMA_WRITE = 34
    """x: 1 done, y: bytes stored at once (4, 8) or 0; address, bytes."""

    FRAME_OUT = 35
    """The frame."""

    INTERRUPT = 36
    """x: 1 if somebody listens, y: vector."""

    END = 64
    """Counts, see END."""


FIRST_OUTCOME = Kind.RESULT
SHORTEST = {
    Kind.READ: 16, Kind.WRITE: 24, Kind.RESET: 8, Kind.MAP: 32, Kind.UNMAP: 24, Kind.MASK: 16, Kind.FRAME_IN: 8,
    Kind.TIMER: 16, Kind.CONTROL: 8, Kind.RESULT: 8, Kind.DMA_READ: 8, Kind.DMA_WRITE: 8, Kind.FRAME_OUT: 0,
    Kind.INTERRUPT: 0, Kind.END: END.size,
}  # fmt: skip


class BundleDamaged(UsageError):
    """A bundle is not what it must be; the message says what and where."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a card was when it was born at ``born_ns``; fields as in ``emulator.assembly.Options``."""

    nic: str
    engine: str
    irq: str
    msix_vectors: int | None
    mac: str
    rate: str
    least_gap: str
    pause: str
    nvm: str | None
    """Its words as hexadecimal, if they are not the built-in ones."""

    patches: tuple[str, ...]
    faults: tuple[str, ...]
    born_ns: int

    def encode(self) -> bytes:
        """Return the beginning of a log."""
        text = json.dumps(asdict(self)).encode()
        return PREAMBLE.pack(MAGIC, VERSION, len(text)) + text


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry at byte ``at`` of its log; ``body`` is what follows its head, and its time if it is a step."""

    at: int
    number: int
    kind: Kind
    x: int
    y: int
    t_ns: int | None
    body: bytes

    @property
    def is_step(self) -> bool:
        """Whether it came from outside."""
        return self.kind < FIRST_OUTCOME

    def text(self) -> str:
        """Return it in words."""
        return f"{self.number:>6} {_WORDS[self.kind](self)}"


def parse_header(data: bytes | memoryview) -> tuple[Header, int]:
    """Return the header of the log in ``data`` and where its entries begin. Raises BundleDamaged."""
    raw = bytes(data[: PREAMBLE.size])
    if len(raw) < PREAMBLE.size or raw[:6] != MAGIC[:6]:
        raise BundleDamaged("a card's log must begin as one does, and this one does not")
    _, version, size = PREAMBLE.unpack(raw)
    if version != VERSION:
        raise BundleDamaged(f"a card's log must be of version {VERSION}, not {version}: use the hilnic that wrote it")
    text = bytes(data[PREAMBLE.size : PREAMBLE.size + size])
    try:
        fields: dict[str, Any] = json.loads(text)
        fields["patches"], fields["faults"] = tuple(fields["patches"]), tuple(fields["faults"])
        header = Header(**fields)
    except (ValueError, TypeError, KeyError) as error:
        raise BundleDamaged(f"the header of a card's log must be readable, and is not: {error}") from None
    return header, PREAMBLE.size + size


def head_at(data: memoryview, at: int) -> tuple[int, int, int, int] | None:
    """Return kind, x, y and size of the entry at ``at``; None where the log ends. Raises BundleDamaged."""
    if at + HEAD.size > len(data):
        return None
    kind, x, y, size = HEAD.unpack_from(data, at)
    if kind == Kind.NOTHING or at + HEAD.size + size > len(data):
        return None
    shortest = SHORTEST.get(kind)
    if shortest is None or size < shortest:
        raise BundleDamaged(f"an entry of a card's log must be of a known kind and size, not {kind} and {size} at {at}")
    return kind, x, y, size


def entries(data: memoryview, at: int) -> Iterator[Entry]:
    """Yield the entries from byte ``at`` on. Raises BundleDamaged."""
    number = 0
    while (head := head_at(data, at)) is not None:
        yield entry_at(data, at, number, head)
        at += HEAD.size + head[3]
        number += 1


def entry_at(data: memoryview, at: int, number: int, head: tuple[int, int, int, int]) -> Entry:
    """Return the entry at ``at`` whose head has been read."""
    kind, x, y, size = head
    start, t_ns = at + HEAD.size, None
    if kind < FIRST_OUTCOME:
        (t_ns,) = TIME.unpack_from(data, start)
        start += TIME.size
    return Entry(at, number, Kind(kind), x, y, t_ns, bytes(data[start : at + HEAD.size + size]))


def whole(data: memoryview, at: int) -> tuple[int, bool]:
    """Return how many bytes of ``data`` hold whole steps, and whether the log was closed.

    The last step of a log that was not closed may be cut off in its middle, and does not count.
    """
    last = at
    while (head := head_at(data, at)) is not None:
        if head[0] == Kind.END:
            return at + HEAD.size + head[3], True
        if head[0] < FIRST_OUTCOME:
            last = at
        at += HEAD.size + head[3]
    return last, False


REGIONS = {7: "configuration space"}
SCHEMES = ("INTx", "MSI", "MSI-X")


def _region(x: int) -> str:
    return REGIONS.get(x, f"BAR {x}")


def _number(raw: bytes, at: int = 0) -> int:
    return int.from_bytes(raw[at : at + 8], "little")


def _shown(raw: bytes, most: int = 32) -> str:
    return raw[:most].hex() + ("…" if len(raw) > most else "")


def _dma_read(e: Entry) -> str:
    iova = _number(e.body)
    if not e.x:
        return f"DMA read of {_number(e.body, 8)} bytes at {iova:#x} fails"
    return f"DMA read of {len(e.body) - 8} bytes at {iova:#x}: {_shown(e.body[8:])}"


_WORDS: dict[Kind, Callable[[Entry], str]] = {
    Kind.READ: lambda e: f"read of {e.y} bytes of {_region(e.x)} at {_number(e.body):#x}",
    Kind.WRITE: lambda e: f"write of {_number(e.body, 8):#x} to {_region(e.x)} at {_number(e.body):#x}",
    Kind.RESET: lambda e: "reset, the client is lost" if e.x else "reset by the client",
    Kind.MAP: lambda e: f"{_number(e.body, 8):#x} bytes of guest memory appear at {_number(e.body):#x}",
    Kind.UNMAP: lambda e: f"{_number(e.body, 8):#x} bytes of guest memory go at {_number(e.body):#x}",
    Kind.MASK: lambda e: f"{SCHEMES[e.x % 3]} {'masked' if e.y else 'unmasked'} from {_number(e.body) & 0xFFFFFFFF} on",
    Kind.FRAME_IN: lambda e: f"frame of {len(e.body)} bytes comes: {_shown(e.body)}",
    Kind.TIMER: lambda e: f"timer of {_number(e.body)} ns fires",
    Kind.CONTROL: lambda e: f"command {e.body.decode(errors='replace')[:200]}",
    Kind.RESULT: lambda e: f"  answer {_number(e.body):#x}",
    Kind.DMA_READ: lambda e: f"  {_dma_read(e)}",
    Kind.DMA_WRITE: lambda e: (
        f"  DMA write of {len(e.body) - 8} bytes at {_number(e.body):#x}: {_shown(e.body[8:])}"
        + ("" if e.x else " fails")
    ),
    Kind.FRAME_OUT: lambda e: f"  frame of {len(e.body)} bytes leaves: {_shown(e.body)}",
    Kind.INTERRUPT: lambda e: f"  interrupt {e.y}",
    Kind.END: lambda _: "end",
    Kind.NOTHING: lambda _: "nothing",
}
