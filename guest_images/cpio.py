# SPDX-License-Identifier: BSD-3-Clause
"""A writer for initramfs archives (cpio "newc", Linux Documentation/driver-api/early-userspace/buffer-format.rst)."""

import stat
from collections.abc import Iterable
from dataclasses import dataclass

MAGIC = b"070701"
ALIGNMENT = 4
TRAILER = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: a path without leading slash, a full st_mode, its bytes (a link's target), and a device number."""

    path: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def folder(path: str) -> Entry:
    """Make a directory."""
    return Entry(path, stat.S_IFDIR | 0o755)


def file(path: str, content: bytes, permissions: int = 0o644) -> Entry:
    """Make a regular file."""
    return Entry(path, stat.S_IFREG | permissions, content)


def link(path: str, target: str) -> Entry:
    """Make a symbolic link."""
    return Entry(path, stat.S_IFLNK | 0o777, target.encode())


def character_device(path: str, major: int, minor: int) -> Entry:
    """Make a character device node."""
    return Entry(path, stat.S_IFCHR | 0o600, device=(major, minor))


def archive(entries: Iterable[Entry]) -> bytes:
    """Return the archive of all entries, in order, owned by root."""
    parts = [_encode(entry, number) for number, entry in enumerate(entries, start=1)]
    parts.append(_encode(Entry(TRAILER, 0), 0))
    return b"".join(parts)


def _encode(entry: Entry, inode: int) -> bytes:
    """Encode header, name and bytes, the name's end and the bytes' end each padded to four bytes."""
    name = entry.path.encode() + b"\0"
    numbers = (inode, entry.mode, 0, 0, 1, 0, len(entry.content), 0, 0, *entry.device, len(name), 0)
    head = MAGIC + b"".join(b"%08X" % number for number in numbers) + name
    return _padded(head) + _padded(entry.content)


def _padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % ALIGNMENT)
