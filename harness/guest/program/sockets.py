# SPDX-License-Identifier: BSD-3-Clause
"""Calls on sockets: open, send, receive, count."""

from __future__ import annotations

import base64
import fcntl
import select
import socket
import struct
import threading
import time
import zlib
from array import array
from typing import Any

from .files import b64

SIOCOUTQ = 0x5411
SIOCINQ = 0x541B
SIOCETHTOOL = 0x8946
"""Linux include/uapi/linux/net_tstamp.h."""

SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
SO_INCOMING_NAPI_ID = 56
LARGEST_FRAME = 65536 + 256
CONTROL_ROOM = 256
RAMP = bytes(range(256))


def numbered(head: bytes, number: int, size: int) -> bytes:
    """Return one numbered datagram of ``size`` bytes, see Agent.send_numbered."""
    body = head + number.to_bytes(4, "big")
    fill = size - len(body) - 4
    start = number & 0xFF
    body += (RAMP * (fill // 256 + 2))[start : start + fill] if fill > 0 else b""
    return body + zlib.crc32(body).to_bytes(4, "big")


def pattern(seed: int, offset: int, size: int) -> bytes:
    """Return ``size`` bytes at ``offset`` of the 256-byte cycle that starts with ``seed``."""
    start = (seed + offset) & 0xFF
    return (RAMP * (size // 256 + 2))[start : start + size]


class Sockets:
    """Each public method is one call; a socket is named by its descriptor."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}
        self._stops: dict[str, threading.Event] = {}

    def open_socket(self, kind: str, family: int = socket.AF_INET, protocol: int = 0) -> int:
        """Open a socket of ``kind`` udp, tcp, raw or packet; ``protocol`` is the EtherType for packet."""
        kinds = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM, "raw": socket.SOCK_RAW}
        if kind == "packet":
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
        else:
            made = socket.socket(family, kinds[kind], protocol)
            if kind == "tcp":
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return self._keep(made)

    def _keep(self, made: socket.socket) -> int:
        self._sockets[made.fileno()] = made
        return made.fileno()

    def close(self, handle: int) -> None:
        """Close a socket."""
        self._sockets.pop(handle).close()

    def close_sockets(self) -> int:
        """Close every socket; return how many there were."""
        count = len(self._sockets)
        for handle in list(self._sockets):
            self.close(handle)
        return count

    def bind(self, handle: int, address: list[Any]) -> list[Any]:
        """Bind; the answer is the address in force."""
        self._sockets[handle].bind(tuple(address))
        return list(self._sockets[handle].getsockname()[:2])

    def bind_device(self, handle: int, name: str) -> None:
        """SO_BINDTODEVICE."""
        self._sockets[handle].setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode() + b"\0")

    def connect(self, handle: int, address: list[Any], seconds: float = 10.0) -> list[Any]:
        """Connect within ``seconds``; the answer is our own address."""
        made = self._sockets[handle]
        made.settimeout(seconds)
        made.connect(tuple(address))
        made.settimeout(None)
        return list(made.getsockname()[:2])

    def listen(self, handle: int, backlog: int = 64) -> None:
        """Listen on a TCP socket."""
        self._sockets[handle].listen(backlog)

    def accept(self, handle: int, seconds: float) -> tuple[int, list[Any]]:
        """Accept one connection; the answer is its handle and the peer's address."""
        self._sockets[handle].settimeout(seconds)
        made, address = self._sockets[handle].accept()
        made.settimeout(None)
        return self._keep(made), list(address[:2])

    def setsockopt(self, handle: int, level: int, option: int, value: int | str) -> None:
        """Set an option to a number or to base64 bytes."""
        self._sockets[handle].setsockopt(level, option, base64.b64decode(value) if isinstance(value, str) else value)

    def getsockopt(self, handle: int, level: int, option: int) -> int:
        """Get a numeric option."""
        return int(self._sockets[handle].getsockopt(level, option))

    def buffers(self, handle: int, send: int | None, receive: int | None) -> None:
        """Force buffer sizes past the sysctl limits."""
        if send is not None:
            self._sockets[handle].setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, send)
        if receive is not None:
            self._sockets[handle].setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, receive)

    def queued(self, handle: int) -> dict[str, int]:
        """Return bytes not yet sent (SIOCOUTQ) and not yet read (SIOCINQ)."""
        numbers = {}
        for name, request in (("out", SIOCOUTQ), ("in", SIOCINQ)):
            try:
                numbers[name] = struct.unpack("i", fcntl.ioctl(handle, request, b"\0" * 4))[0]
            except OSError:
                numbers[name] = -1
        return numbers

    def send(self, handle: int, payloads: list[str], address: list[Any] | None = None) -> int:
        """Send each base64 payload as one datagram or frame, or as the next part of a stream."""
        made = self._sockets[handle]
        for payload in payloads:
            data = base64.b64decode(payload)
            if address is None:
                made.sendall(data)
            else:
                made.sendto(data, tuple(address))
        return len(payloads)

    def send_numbered(
        self,
        handle: int,
        count: int,
        size: int,
        address: list[Any] | None = None,
        prefix: str = "",
        first: int = 0,
        interval_us: int = 0,
        stop: str = "",
    ) -> dict[str, Any]:
        """Send ``count`` datagrams of ``size`` bytes: prefix, big-endian u32 number, fill, CRC-32 of all before it.

        ``count`` 0 means until ``stop`` is set through ``halt``. The fill byte k of number n is (n + k) & 0xFF. Blocks
        as the socket blocks; the answer says how many went and when the first and last did.
        """
        made = self._sockets[handle]
        halt = self._stops.setdefault(stop, threading.Event()) if stop else None
        head = base64.b64decode(prefix)
        begun = following = time.monotonic_ns()
        number = first
        while (count == 0 or number < first + count) and not (halt and halt.is_set()):
            data = numbered(head, number, size)
            if address is None:
                made.send(data)
            else:
                made.sendto(data, tuple(address))
            number += 1
            if interval_us:
                following += interval_us * 1000
                pause = following - time.monotonic_ns()
                if pause > 0:
                    time.sleep(pause / 1e9)
        if stop:
            self._stops.pop(stop, None)
        return {"sent": number - first, "begun": begun, "ended": time.monotonic_ns()}

    def halt(self, stop: str) -> None:
        """End a ``send_numbered`` or ``receive`` that was given the name ``stop``."""
        self._stops.setdefault(stop, threading.Event()).set()

    def receive(
        self,
        handle: int,
        count: int,
        seconds: float,
        quiet_s: float = 0.0,
        keep: int = 0,
        body: bool = False,  # noqa: FBT001, FBT002
        stop: str = "",
    ) -> dict[str, Any]:
        """Receive up to ``count`` datagrams or frames (0: no limit) until time is up.

        With ``quiet_s`` it also ends after that long without one. For each, the answer holds (length, CRC-32 of all,
        whether its last four bytes are the CRC-32 of the rest, first ``keep`` bytes or, with ``body``, all, base64).
        """
        made = self._sockets[handle]
        halt = self._stops.setdefault(stop, threading.Event()) if stop else None
        end = time.monotonic() + seconds
        got: list[tuple[int, int, bool, str]] = []
        quiet_end = end
        why = "count"
        while count == 0 or len(got) < count:
            now = time.monotonic()
            left = min(end, quiet_end) - now
            if halt:
                left = min(left, 0.05)
            if not select.select([made], [], [], max(0.0, left))[0]:
                if halt and halt.is_set():
                    why = "stop"
                    break
                if time.monotonic() >= min(end, quiet_end):
                    why = "time"
                    break
                continue
            data = made.recv(LARGEST_FRAME)
            good = len(data) >= 4 and zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "big")
            got.append((len(data), zlib.crc32(data), good, b64(data if body else data[:keep])))
            if quiet_s:
                quiet_end = time.monotonic() + quiet_s
        if stop:
            self._stops.pop(stop, None)
        return {"got": got, "why": why}

    def drain(self, handle: int, seconds: float) -> int:
        """Read datagrams for ``seconds`` as fast as they can be read; return how many there were."""
        made = self._sockets[handle]
        room = bytearray(LARGEST_FRAME)
        end = time.monotonic() + seconds
        many = 0
        while (left := end - time.monotonic()) > 0:
            if select.select([made], [], [], left)[0]:
                made.recv_into(room)
                many += 1
        return many

    def ask(self, handle: int, address: list[Any], count: int, size: int, seconds: float) -> list[int]:
        """Send a datagram of ``size`` bytes and wait for its answer, ``count`` times; return each round trip in ns.

        Raises TimeoutError if an answer takes longer than ``seconds``.
        """
        made = self._sockets[handle]
        made.connect(tuple(address))
        made.settimeout(seconds)
        times = []
        for number in range(count):
            question = number.to_bytes(4, "big").ljust(size, b"?")
            begun = time.perf_counter_ns()
            made.send(question)
            while made.recv(LARGEST_FRAME) != question:
                pass
            times.append(time.perf_counter_ns() - begun)
        made.settimeout(None)
        return times

    def knock(self, address: list[Any], count: int, seconds: float) -> int:
        """Open a TCP connection and close it when the other end has, ``count`` times; return how many ns that took."""
        begun = time.perf_counter_ns()
        for _ in range(count):
            with socket.create_connection(tuple(address), seconds) as made:
                made.recv(1)
        return time.perf_counter_ns() - begun

    def receive_messages(self, handle: int, count: int, seconds: float) -> list[tuple[int, int, list[Any]]]:
        """Receive up to ``count`` datagrams until time is up.

        For each the answer holds length, CRC-32 and its control messages as (level, type, data in base64).
        """
        made = self._sockets[handle]
        end = time.monotonic() + seconds
        got: list[tuple[int, int, list[Any]]] = []
        while len(got) < count and select.select([made], [], [], max(0.0, end - time.monotonic()))[0]:
            data, control, _, _ = made.recvmsg(LARGEST_FRAME, CONTROL_ROOM)
            got.append((len(data), zlib.crc32(data), [(level, kind, b64(body)) for level, kind, body in control]))
        return got

    def receive_blocking(self, handle: int, count: int, seconds: float) -> dict[str, Any]:
        """Receive ``count`` datagrams by recv alone, each within ``seconds``; the answer holds lengths and the thread.

        Nothing else waits for them, so that what the kernel does while recv waits (busy polling) is this thread's.
        """
        made = self._sockets[handle]
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(seconds), 0))
        lengths = [len(made.recv(LARGEST_FRAME)) for _ in range(count)]
        return {"thread": threading.get_native_id(), "lengths": lengths}

    def send_stream(self, handle: int, size: int, seed: int, chunk: int = 65536, shut: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
        """Send ``size`` bytes of the repeating pattern of ``seed`` over TCP; the answer holds their CRC-32."""
        made = self._sockets[handle]
        begun = time.monotonic_ns()
        crc = 0
        sent = 0
        while sent < size:
            data = pattern(seed, sent, min(chunk, size - sent))
            made.sendall(data)
            crc = zlib.crc32(data, crc)
            sent += len(data)
        if shut:
            made.shutdown(socket.SHUT_WR)
        return {"sent": sent, "crc": crc, "begun": begun, "ended": time.monotonic_ns()}

    def receive_stream(self, handle: int, size: int, seconds: float, keep: int = 0) -> dict[str, Any]:
        """Receive up to ``size`` bytes over TCP, or until the peer ends; the answer holds count, CRC-32, start."""
        made = self._sockets[handle]
        end = time.monotonic() + seconds
        crc = 0
        got = 0
        first = b""
        why = "size"
        while got < size:
            if not select.select([made], [], [], max(0.0, end - time.monotonic()))[0]:
                why = "time"
                break
            data = made.recv(min(1 << 20, size - got))
            if not data:
                why = "end"
                break
            first = (first + data)[:keep]
            crc = zlib.crc32(data, crc)
            got += len(data)
        return {"got": got, "crc": crc, "first": b64(first), "why": why, "ended": time.monotonic_ns()}

    def incoming_napi(self, handle: int) -> int:
        """SO_INCOMING_NAPI_ID of a socket."""
        return self._sockets[handle].getsockopt(socket.SOL_SOCKET, SO_INCOMING_NAPI_ID)

    def ethtool_ioctl(self, name: str, data: str) -> str:
        """Do SIOCETHTOOL on interface ``name`` with the given structure (base64); return it as the kernel left it."""
        room = array("B", base64.b64decode(data))
        request = struct.pack("16sP", name.encode(), room.buffer_info()[0])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            fcntl.ioctl(made, SIOCETHTOOL, request)
        return b64(room.tobytes())
