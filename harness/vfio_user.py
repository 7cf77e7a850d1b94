# SPDX-License-Identifier: BSD-3-Clause
"""A vfio-user client small enough to be a script's way to a card without any guest: registers, memory, messages.

The protocol is that of libvfio-user's docs/vfio-user.rst, the structures are those of <linux/vfio.h>.
"""

from __future__ import annotations

import array
import json
import mmap
import os
import select
import socket
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from harness.errors import LabBroken

if TYPE_CHECKING:
    from pathlib import Path

VERSION, DMA_MAP, SET_IRQS, REGION_READ, REGION_WRITE = 1, 2, 8, 9, 10
HEADER = struct.Struct("<HHIII")
REPLY, ERROR, FLAGS = 0x1, 0x20, 0xF
BAR0, CONFIG = 0, 7
MSIX = 2
EVENTFD_TRIGGER = 1 << 2 | 1 << 5
READABLE_WRITABLE = 3
COMMAND, MEMORY_AND_MASTER = 0x04, 0x6
CAPABILITIES, MSIX_CAPABILITY, MSIX_ENABLE = 0x34, 0x11, 0x8000
PATIENCE_S = 10.0


class ScriptedHost:
    """A host without a CPU: ``memory`` is what the card can reach, from I/O virtual address ``base`` on.

    Raises LabBroken where the card does not answer as it must.
    """

    def __init__(self, path: Path, size: int, base: int, vectors: int) -> None:
        self.base = base
        self._number = 0
        self._undo = ExitStack()
        try:
            self._socket = self._undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            self._socket.settimeout(PATIENCE_S)
            self._socket.connect(str(path))
            self._negotiate()
            self.memory = self._map(size)
            self._eventfds = [self._eventfd() for _ in range(vectors)]
            body = struct.pack("<IIIII", 20, EVENTFD_TRIGGER, MSIX, 0, vectors)
            self._call(SET_IRQS, body, tuple(self._eventfds))
            self._enable()
        except BaseException:
            self._undo.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def read(self, offset: int) -> int:
        """Read a register of BAR 0."""
        return int.from_bytes(self._read(BAR0, offset, 4), "little")

    def write(self, offset: int, value: int) -> None:
        """Write a register of BAR 0; returns when the card has taken it."""
        self._write(BAR0, offset, value.to_bytes(4, "little"))

    def put(self, iova: int, data: bytes) -> None:
        """Store bytes in memory."""
        self.memory[iova - self.base : iova - self.base + len(data)] = data

    def get(self, iova: int, size: int) -> bytes:
        """Return bytes of memory."""
        return self.memory[iova - self.base : iova - self.base + size]

    def taken(self) -> list[int]:
        """Return for each vector how many messages came since the last call."""
        ready = set(select.select(self._eventfds, [], [], 0)[0])
        return [os.eventfd_read(fd) if fd in ready else 0 for fd in self._eventfds]

    # -- the protocol ----------------------------------------------------------------------------------

    def _negotiate(self) -> None:
        offer = json.dumps({"capabilities": {"max_msg_fds": 16, "max_data_xfer_size": 1 << 20}}).encode() + b"\0"
        self._call(VERSION, struct.pack("<HH", 0, 1) + offer)

    def _map(self, size: int) -> mmap.mmap:
        handle = os.memfd_create("host memory")
        self._undo.callback(os.close, handle)
        os.ftruncate(handle, size)
        self._call(DMA_MAP, struct.pack("<IIQQQ", 32, READABLE_WRITABLE, 0, self.base, size), (handle,))
        return self._undo.enter_context(mmap.mmap(handle, size))

    def _eventfd(self) -> int:
        handle = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._undo.callback(os.close, handle)
        return handle

    def _enable(self) -> None:
        """Let the function decode its BARs, be a bus master and send MSI-X messages."""
        self._write(CONFIG, COMMAND, MEMORY_AND_MASTER.to_bytes(2, "little"))
        at = self._read(CONFIG, CAPABILITIES, 1)[0]
        while at and self._read(CONFIG, at, 1)[0] != MSIX_CAPABILITY:
            at = self._read(CONFIG, at + 1, 1)[0]
        if not at:
            raise LabBroken("the card must have MSI-X, and its list of capabilities names none")
        self._write(CONFIG, at + 2, MSIX_ENABLE.to_bytes(2, "little"))

    def _read(self, region: int, offset: int, size: int) -> bytes:
        return self._call(REGION_READ, struct.pack("<QII", offset, region, size))[16:]

    def _write(self, region: int, offset: int, data: bytes) -> None:
        self._call(REGION_WRITE, struct.pack("<QII", offset, region, len(data)) + data)

    def _call(self, command: int, body: bytes, fds: tuple[int, ...] = ()) -> bytes:
        self._number = (self._number + 1) & 0xFFFF
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())] if fds else []
        message = HEADER.pack(self._number, command, HEADER.size + len(body), 0, 0) + body
        try:
            self._socket.sendmsg([message], ancillary)
            number, echoed, size, flags, errno = HEADER.unpack(self._exactly(HEADER.size))
            answer = self._exactly(size - HEADER.size)
        except OSError as error:
            raise LabBroken(f"the card must answer vfio-user command {command}, and did not: {error}") from error
        if (number, echoed, flags & FLAGS) != (self._number, command, REPLY) or flags & ERROR:
            raise LabBroken(f"the card must do vfio-user command {command}, and answered {flags:#x}, errno {errno}")
        return answer

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionResetError("the card hung up")
            data += part
        return data
