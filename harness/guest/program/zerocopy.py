# SPDX-License-Identifier: BSD-3-Clause
"""Calls that send without copying (MSG_ZEROCOPY): the card reads the program's own pages."""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
import struct
import time

from .files import b64
from .sockets import SIOCOUTQ, numbered, pattern

SO_ZEROCOPY = 60
MSG_ZEROCOPY = 0x4000000
PAGE = mmap.PAGESIZE
POISON = 0xEE
HUGE_PAGE = 2 << 20
MAP_HUGETLB = 0x40000
"""Linux include/uapi/asm-generic/hugetlb_encode.h and mman.h; the pool (vm.nr_hugepages) must have a page."""

PATIENCE_S = 2.0


def borrowed(handle: int) -> socket.socket:
    """Return a second descriptor for an open socket, allowed to send without copying."""
    made = socket.socket(fileno=os.dup(handle))
    made.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    return made


def wait_sent(made: socket.socket) -> None:
    """Look until the kernel has freed all that was sent (SIOCOUTQ is 0). Raises TimeoutError."""
    end = time.monotonic() + PATIENCE_S
    while struct.unpack("i", fcntl.ioctl(made, SIOCOUTQ, b"\0" * 4))[0]:
        if time.monotonic() > end:
            raise TimeoutError(f"a datagram must be freed within {PATIENCE_S} s of being sent, but is not")


class ZeroCopy:
    """Each public method is one call; sockets are connected datagram sockets."""

    def __init__(self) -> None:
        self._kept: list[list[memoryview]] = []

    def send_pieces(self, handle: int, datagrams: list[list[int]]) -> list[str]:
        """Send datagrams gathered from pieces of these lengths, each piece at an odd offset of a page of its own.

        The answer holds the bodies in base64. Each is freed before the next is made.
        """
        bodies = []
        with borrowed(handle) as made:
            for number, sizes in enumerate(datagrams):
                room = mmap.mmap(-1, PAGE * len(sizes))
                views = []
                for at, size in enumerate(sizes):
                    start = at * PAGE + 1 + 2 * at
                    room[start : start + size] = pattern(number + 31 * at, 0, size)
                    views.append(memoryview(room)[start : start + size])
                bodies.append(b64(b"".join(views)))
                made.sendmsg(views, [], MSG_ZEROCOPY)
                wait_sent(made)
        return bodies

    def send_spoiling(self, handle: int, count: int, size: int, first: int = 0) -> int:
        """Send ``count`` datagrams as ``send_numbered`` makes them, all from one page.

        The page is overwritten with POISON as soon as SIOCOUTQ says that the card is done with it.
        """
        room = mmap.mmap(-1, PAGE)
        with borrowed(handle) as made, memoryview(room) as page:
            for number in range(first, first + count):
                page[:size] = numbered(b"", number, size)
                with page[:size] as body:
                    made.sendmsg([body], [], MSG_ZEROCOPY)
                wait_sent(made)
                page[:size] = bytes([POISON]) * size
        return count

    def send_gathered(self, handle: int, large: int, small: list[int]) -> str:
        """Send one datagram of ``large`` bytes that lie in one piece, and pieces of ``small`` bytes on their own pages.

        The answer is the body in base64. Nothing waits for the card: what is sent must stay until the socket is closed.
        """
        whole = mmap.mmap(-1, HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_HUGETLB)
        whole[:large] = pattern(77, 0, large)
        room = mmap.mmap(-1, 2 * PAGE * len(small))
        views = [memoryview(whole)[:large]]
        for at, size in enumerate(small):
            start = 2 * at * PAGE
            room[start : start + size] = pattern(31 * at, 0, size)
            views.append(memoryview(room)[start : start + size])
        self._kept.append(views)
        with borrowed(handle) as made:
            made.sendmsg(views, [], MSG_ZEROCOPY)
        return b64(b"".join(views))

    def forget_gathered(self) -> None:
        """Let go of the pages of ``send_gathered``: the card must be done with them."""
        self._kept.clear()
