# SPDX-License-Identifier: BSD-3-Clause
"""A vfio-user client of our own, written from the protocol's specification and <linux/vfio.h>, not from the server.

Every wait on the socket has a time limit. ``call`` speaks proper messages; ``send_raw`` and ``receive``
let a test say anything.
"""

from __future__ import annotations

import array
import json
import socket
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

PATIENCE_S = 10.0
VERSION, DMA_MAP, DMA_UNMAP, GET_INFO, GET_REGION_INFO, GET_REGION_IO_FDS, GET_IRQ_INFO, SET_IRQS = range(1, 9)
REGION_READ, REGION_WRITE, DMA_READ, DMA_WRITE, DEVICE_RESET, DIRTY_PAGES = range(9, 15)
COMMAND, REPLY, NO_REPLY, ERROR = 0x0, 0x1, 0x10, 0x20
HEADER = struct.Struct("<HHIII")
BAR0, BAR1, BAR2, BAR3, CONFIG = 0, 1, 2, 3, 7
INTX, MSI, MSIX, ERR, REQ = range(5)
DATA_NONE, DATA_BOOL, DATA_EVENTFD, ACTION_MASK, ACTION_UNMASK, ACTION_TRIGGER = (1 << n for n in range(6))
READABLE, WRITABLE = 1, 2
COMMAND_IO, COMMAND_MEMORY, COMMAND_MASTER, COMMAND_INTX_DISABLE = 1, 2, 4, 0x400


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, errno: int) -> None:
        super().__init__(f"refused with errno {errno}")
        self.errno = errno


class HungUp(Exception):
    """The server closed the connection."""


@dataclass(frozen=True)
class Message:
    number: int
    command: int
    flags: int
    errno: int
    body: bytes


@dataclass(frozen=True)
class RegionInfo:
    size: int
    flags: int
    offset: int


class Client:
    """One connection. A context manager."""

    def __init__(self, path: Path, *, negotiate: bool = True, patience_s: float = PATIENCE_S) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(patience_s)
        self._number = 0x4711
        try:
            self._connect(path, patience_s)
            if negotiate:
                self.negotiate()
        except BaseException:
            self.sock.close()
            raise

    def _connect(self, path: Path, patience_s: float) -> None:
        """Connect, waiting while the server's queue is full."""
        end = time.monotonic() + patience_s
        while True:
            try:
                self.sock.connect(str(path))
            except BlockingIOError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.002)
            else:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    # -- any message -----------------------------------------------------------------------------------

    def send_raw(self, data: bytes, fds: tuple[int, ...] = ()) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())] if fds else []
        sent = self.sock.sendmsg([data], ancillary)
        if sent < len(data):
            self.sock.sendall(data[sent:])

    def send(self, command: int, body: bytes = b"", *, flags: int = COMMAND, fds: tuple[int, ...] = ()) -> int:
        self._number = (self._number + 1) & 0xFFFF
        self.send_raw(HEADER.pack(self._number, command, HEADER.size + len(body), flags, 0) + body, fds)
        return self._number

    def receive(self) -> Message:
        number, command, size, flags, errno = HEADER.unpack(self._exactly(HEADER.size))
        return Message(number, command, flags, errno, self._exactly(size - HEADER.size))

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                part = self.sock.recv(size - len(data))
            except ConnectionResetError as error:
                raise HungUp("the server reset the connection") from error
            if not part:
                raise HungUp(f"{len(data)} of {size} bytes came")
            data += part
        return data

    def call(self, command: int, body: bytes = b"", fds: tuple[int, ...] = ()) -> bytes:
        number = self.send(command, body, fds=fds)
        answer = self.receive()
        assert (answer.number, answer.command) == (number, command)
        assert answer.flags & 0xF == REPLY
        if answer.flags & ERROR:
            raise Refused(answer.errno)
        assert answer.errno == 0
        return answer.body

    def hung_up(self) -> bool:
        """Wait for the end of the connection; False if anything else comes or nothing does."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    # -- the messages of the protocol ------------------------------------------------------------------

    def negotiate(self, major: int = 0, minor: int = 1, capabilities: object = None) -> tuple[int, int, dict[str, int]]:
        offer = {"capabilities": {"max_msg_fds": 8, "max_data_xfer_size": 1048576}}
        text = json.dumps(offer if capabilities is None else capabilities).encode() + b"\0"
        answer = self.call(VERSION, struct.pack("<HH", major, minor) + text)
        theirs = json.loads(answer[4:].rstrip(b"\0"))["capabilities"]
        return (*struct.unpack_from("<HH", answer), theirs)

    def device_info(self) -> tuple[int, int, int]:
        """Return flags, number of regions, number of interrupt indexes."""
        argsz, flags, regions, irqs = struct.unpack("<IIII", self.call(GET_INFO, struct.pack("<IIII", 16, 0, 0, 0)))
        assert argsz == 16
        return flags, regions, irqs

    def region_info(self, index: int) -> RegionInfo:
        answer = self.call(GET_REGION_INFO, struct.pack("<IIIIQQ", 32, 0, index, 0, 0, 0))
        argsz, flags, echoed, _, size, offset = struct.unpack("<IIIIQQ", answer)
        assert (argsz, echoed) == (32, index)
        return RegionInfo(size, flags, offset)

    def irq_info(self, index: int) -> tuple[int, int]:
        """Return flags and count."""
        answer = self.call(GET_IRQ_INFO, struct.pack("<IIII", 16, 0, index, 0))
        argsz, flags, echoed, count = struct.unpack("<IIII", answer)
        assert (argsz, echoed) == (16, index)
        return flags, count

    def set_irqs(
        self, flags: int, index: int, start: int, count: int, *, fds: tuple[int, ...] = (), data: bytes = b""
    ) -> None:
        body = struct.pack("<IIIII", 20 + len(data), flags, index, start, count) + data
        assert self.call(SET_IRQS, body, fds) == b""

    def connect_eventfds(self, index: int, fds: tuple[int, ...], start: int = 0) -> None:
        self.set_irqs(DATA_EVENTFD | ACTION_TRIGGER, index, start, len(fds), fds=fds)

    def unmask(self, index: int, start: int = 0, count: int = 1) -> None:
        self.set_irqs(DATA_NONE | ACTION_UNMASK, index, start, count)

    def mask(self, index: int, start: int = 0, count: int = 1) -> None:
        self.set_irqs(DATA_NONE | ACTION_MASK, index, start, count)

    def read_bytes(self, region: int, offset: int, count: int) -> bytes:
        answer = self.call(REGION_READ, struct.pack("<QII", offset, region, count))
        assert struct.unpack_from("<QII", answer) == (offset, region, count)
        assert len(answer) == 16 + count
        return answer[16:]

    def write_bytes(self, region: int, offset: int, data: bytes) -> None:
        answer = self.call(REGION_WRITE, struct.pack("<QII", offset, region, len(data)) + data)
        assert answer == struct.pack("<QII", offset, region, len(data))

    def post(self, region: int, offset: int, data: bytes) -> None:
        """Write without waiting for an answer, as QEMU does."""
        self.send(REGION_WRITE, struct.pack("<QII", offset, region, len(data)) + data, flags=NO_REPLY)

    def read(self, region: int, offset: int, size: int = 4) -> int:
        return int.from_bytes(self.read_bytes(region, offset, size), "little")

    def write(self, region: int, offset: int, value: int, size: int = 4) -> None:
        self.write_bytes(region, offset, value.to_bytes(size, "little"))

    def dma_map(
        self, iova: int, size: int, fd: int | None = None, *, offset: int = 0, flags: int = READABLE | WRITABLE
    ) -> None:
        body = struct.pack("<IIQQQ", 32, flags, offset, iova, size)
        assert self.call(DMA_MAP, body, () if fd is None else (fd,)) == b""

    def dma_unmap(self, iova: int, size: int, flags: int = 0) -> None:
        body = struct.pack("<IIQQ", 24, flags, iova, size)
        assert self.call(DMA_UNMAP, body) == body

    def reset(self) -> None:
        assert self.call(DEVICE_RESET) == b""

    # -- everyday life -----------------------------------------------------------------------------------

    def enable(self, command: int = COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER) -> None:
        """Let the function decode its BARs and be a bus master, as a guest's driver does first."""
        self.write(CONFIG, 0x04, command, 2)
