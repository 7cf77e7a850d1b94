# SPDX-License-Identifier: BSD-3-Clause
"""Frames in a byte stream, as QEMU's ``-netdev stream`` writes them: a 4-byte big-endian length, then the frame."""

from __future__ import annotations

import struct

PREFIX = struct.Struct(">I")

LENGTH_MAX = 4096 + 65536
"""QEMU's NET_BUFSIZE (include/net/net.h); no sender of this format has longer frames."""


class FramingLost(Exception):
    """The stream claims a frame of impossible ``length``; what follows cannot be read."""

    def __init__(self, length: int) -> None:
        super().__init__(f"length of a frame must be at most {LENGTH_MAX}, not {length}")
        self.length = length


def enframe(frame: bytes) -> bytes:
    """Return ``frame`` with its length before it."""
    return PREFIX.pack(len(frame)) + frame


class Deframer:
    """Collects bytes as they come and gives whole frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that ``data`` completes, in order. Raises FramingLost; the deframer is then useless."""
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        start = 0
        end = len(buffer)
        while end - start >= PREFIX.size:
            (length,) = PREFIX.unpack_from(buffer, start)
            if length > LENGTH_MAX:
                raise FramingLost(length)
            body = start + PREFIX.size
            if end - body < length:
                break
            frames.append(bytes(buffer[body : body + length]))
            start = body + length
        del buffer[:start]
        return frames
