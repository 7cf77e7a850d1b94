# SPDX-License-Identifier: BSD-3-Clause
"""Calls of a program that drives a card by itself: its registers, and memory that it can reach."""

from __future__ import annotations

import base64
import ctypes
import mmap
import os
import socket
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .files import b64

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKET_RX_RING = 5
SOL_PACKET = 263
PAGE = mmap.PAGESIZE
PRESENT = 1 << 63
FRAME_NUMBER = (1 << 55) - 1
POLL_S = 0.0002


class Bare:
    """Each public method is one call."""

    def __init__(self) -> None:
        self._blocks: dict[int, tuple[socket.socket, mmap.mmap]] = {}

    def mmio(self, path: str, steps: list[list[int]]) -> list[int]:
        """Access the registers behind a resource file of sysfs, one aligned word after the other.

        A step of one number reads at that offset, one of two writes the second number there, and one of four reads
        until (value & second) == third, or the fourth number of milliseconds has passed. The answer holds what was
        read, the last value of each waiting step included.
        """
        found = []
        with window(path) as at:
            for step in steps:
                place = step[0] // 4
                if len(step) == 2:
                    at[place] = step[1]
                elif len(step) == 1:
                    found.append(at[place])
                else:
                    found.append(self._until(at, place, *step[1:]))
        return found

    def mmio_every(self, path: str, place: int, value: int, count: int, every_us: int) -> int:
        """Write the same word ``count`` times, ``every_us`` apart."""
        with window(path) as at:
            following = time.monotonic()
            for _ in range(count):
                at[place // 4] = value
                following += every_us / 1e6
                time.sleep(max(0.0, following - time.monotonic()))
        return count

    def _until(self, at: memoryview, place: int, mask: int, wanted: int, patience_ms: int) -> int:
        end = time.monotonic() + patience_ms / 1000
        while True:
            value = int(at[place])
            if value & mask == wanted or time.monotonic() > end:
                return value
            time.sleep(POLL_S)

    def block_open(self, pages: int) -> tuple[int, list[int]]:
        """Get ``pages`` of zeroed memory that stay where they are.

        The answer is their handle and the address at which a card finds each page. The memory is that of a packet ring
        (packet(7), PACKET_RX_RING) that belongs to no protocol: the kernel never moves it.
        """
        size = pages * PAGE
        ring = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        ring.setsockopt(SOL_PACKET, PACKET_RX_RING, struct.pack("IIII", PAGE, pages, PAGE, pages))
        memory = mmap.mmap(ring.fileno(), size)
        memory[:] = bytes(size)
        self._blocks[ring.fileno()] = (ring, memory)
        return ring.fileno(), physical(ctypes.addressof(ctypes.c_char.from_buffer(memory)), pages)

    def block_store(self, handle: int, at: int, data: str) -> None:
        """Store bytes (base64) in a block."""
        raw = base64.b64decode(data)
        self._blocks[handle][1][at : at + len(raw)] = raw

    def block_load(self, handle: int, at: int, size: int) -> str:
        """Return bytes of a block in base64."""
        return b64(self._blocks[handle][1][at : at + size])

    def block_close(self, handle: int) -> None:
        """Give a block back; no card may know of it any more."""
        ring, memory = self._blocks.pop(handle)
        memory.close()
        ring.close()

    def watch_words(self, handle: int, first: int, count: int, stride: int, ready: int, seconds: float) -> list[int]:
        """Look at ``count`` 64-bit words of a block, all 0, one after the other, each until it is not 0 any more.

        The answer holds for each the first other value that was seen. The word at ``ready`` is 1 once it looks. Raises
        TimeoutError.
        """
        end = time.monotonic() + seconds
        found = []
        with memoryview(self._blocks[handle][1]) as whole, whole.cast("Q") as words:
            words[ready // 8] = 1
            for number in range(count):
                place = (first + number * stride) // 8
                while not (now := words[place]):
                    if time.monotonic() > end:
                        raise TimeoutError(f"word {number} of {count} must change within {seconds} s, and has not")
                found.append(int(now))
        return found


@contextmanager
def window(path: str) -> Iterator[memoryview]:
    """Map a resource file, as 32-bit words."""
    handle = os.open(path, os.O_RDWR | os.O_SYNC)
    try:
        size = os.fstat(handle).st_size
        with mmap.mmap(handle, size) as mapped, memoryview(mapped) as whole, whole.cast("I") as words:
            yield words
    finally:
        os.close(handle)


def physical(virtual: int, pages: int) -> list[int]:
    """Return the physical address of each page of mapped memory (Documentation/admin-guide/mm/pagemap.rst)."""
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:  # noqa: PTH123 - a file of the kernel's
        pagemap.seek(virtual // PAGE * 8)
        entries = struct.unpack(f"{pages}Q", pagemap.read(8 * pages))
    if not all(entry & PRESENT and entry & FRAME_NUMBER for entry in entries):
        raise OSError(f"memory for a card must have pages, and some of {pages} at {virtual:#x} has none")
    return [int((entry & FRAME_NUMBER) * PAGE) for entry in entries]
