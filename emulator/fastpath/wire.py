# SPDX-License-Identifier: BSD-3-Clause
"""The wire of a native card: what the engine moves by itself, and what it leaves to ``emulator.wires``."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from emulator.bundle.entries import Kind
from emulator.errors import WorldError
from emulator.wires.capture import CapturedWire
from emulator.wires.dgram import DgramWire
from emulator.wires.end import WireCounts
from emulator.wires.generate import GeneratorWire
from emulator.wires.null import NullWire
from emulator.wires.stream import StreamWire
from emulator.wires.tap import TapWire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.bundle.log import Log
    from emulator.fastpath.engine import Engine
    from emulator.wires.address import Sockaddr
    from emulator.wires.capture import CaptureFile
    from emulator.wires.end import WireEnd


class NativeWire:
    """``wire``, whose frames the engine moves where it knows how: datagrams, TAP, nobody, a stream's connection."""

    def __init__(self, engine: Engine, wire: WireEnd, log: Log | None = None) -> None:
        self._log = log
        self._engine, self._lib = engine, engine.lib
        self._native = engine.e.wire
        self._wire = wire
        self._file: CaptureFile | None = None
        self._watched = True
        inner = wire.wire if isinstance(wire, CapturedWire) else wire
        self._stream = inner if isinstance(inner, StreamWire) else None
        if self._begin(inner):
            self._wire = inner
            if isinstance(wire, CapturedWire):
                self._file = wire.file
                self._lib.fp_capture_to(self._pointer, wire.file.fileno())

    def _begin(self, wire: WireEnd) -> bool:
        """Let the engine move the frames of ``wire``; False if it cannot."""
        native, lib = self._native, self._lib
        self._pointer = self._engine.ffi.addressof(self._engine.e.wire)
        if self._stream is not None:
            self._hand_over()
            return True
        if isinstance(wire, NullWire):
            native.kind = lib.FP_WIRE_NULL
            return True
        if isinstance(wire, GeneratorWire):
            frames = b"".join(wire.frames)
            if not lib.fp_generate(self._engine.e, frames, len(wire.frames[0]), len(wire.frames), wire.rate):
                raise WorldError("the generator must have memory, and gets none")
            native.kind = lib.FP_WIRE_NULL
            self._watched = False
            return True
        if isinstance(wire, TapWire):
            native.kind = lib.FP_WIRE_TAP
            native.offload = wire.offload and wire.take_whole()
        elif isinstance(wire, DgramWire):
            address = sockaddr(wire.remote)
            self._engine.ffi.memmove(native.address, address, len(address))
            native.address_size = len(address)
            native.kind = lib.FP_WIRE_DGRAM
        else:
            return False
        native.fd = wire.fileno()
        return True

    @property
    def captured(self) -> CapturedWire | None:
        """The wire, if its frames pass through Python and are taken down there."""
        return self._wire if isinstance(self._wire, CapturedWire) else None

    @property
    def _moved_here(self) -> bool:
        """Whether the frames pass through Python."""
        return self._native.kind == self._lib.FP_WIRE_PYTHON and self._stream is None

    @property
    def counts(self) -> WireCounts:
        """What became of frames so far."""
        if self._moved_here:
            return self._wire.counts
        wire = self._native
        return WireCounts(wire.emitted, wire.arrived, wire.dropped, wire.malformed)

    @property
    def connected(self) -> bool:
        """Whether somebody is at the other end."""
        if self._moved_here or self._stream is not None:
            return self._wire.connected
        return bool(self._native.connected)

    def fileno(self) -> int | None:
        """Return the descriptor to wait for; a stream's changes with its partner."""
        if not self._watched:
            return None
        handed_over = self._stream is not None and self._native.kind == self._lib.FP_WIRE_STREAM
        return int(self._native.fd) if handed_over else self._wire.fileno()

    def emit(self, frame: bytes) -> None:
        """Send one frame, at the latest when the engine waits next."""
        if self._log is not None and self._native.kind == self._lib.FP_WIRE_PYTHON:
            self._log.put(Kind.FRAME_OUT, 0, 0, frame)
        if self._moved_here:
            self._wire.emit(frame)
        elif self._native.kind == self._lib.FP_WIRE_PYTHON:
            self._native.dropped += 1  # a stream without a partner
        else:
            self._lib.fp_emit(self._engine.e, frame, len(frame))

    def poll(self) -> Sequence[bytes]:
        """Return the frames that have come by way of Python; see to a stream's partner and to the capture."""
        if self._file is not None and self._native.capture_failed:
            self._native.capture_failed = False
            self._file.failed()
        if self._stream is not None:
            self._see_to_partner(self._stream)
        return self._wire.poll() if self._moved_here else ()

    def close(self) -> None:
        """Close the wire, and the file of its capture."""
        self._lib.fp_wire_flush(self._engine.e)
        self._lib.fp_capture_to(self._pointer, -1)
        self._native.kind = self._lib.FP_WIRE_PYTHON
        self._wire.close()
        if self._file is not None:
            self._file.close()

    def _see_to_partner(self, stream: StreamWire) -> None:
        lib = self._lib
        reasons = {
            lib.FP_STREAM_CLOSED: "the partner closed it",
            lib.FP_STREAM_FAILED: "sending or receiving failed",
            lib.FP_STREAM_LOST: "length of a frame must be one that QEMU sends",
        }
        why = reasons.get(self._native.stream_end)
        if why is not None and self._native.kind == lib.FP_WIRE_STREAM:
            lib.fp_stream_begin(self._pointer, -1)
            stream.hang_up(why)
        elif self._native.kind != lib.FP_WIRE_STREAM:
            if stream.connection is None:
                stream.look_for_partner()
            self._hand_over()

    def _hand_over(self) -> None:
        """Give the stream's connection to the engine, if there is one."""
        if self._stream is not None and (connection := self._stream.connection) is not None:
            self._lib.fp_stream_begin(self._pointer, connection)


def sockaddr(address: Sockaddr) -> bytes:
    """Return a unix path, or an IPv4 or IPv6 HOST and PORT, as the bytes of a struct sockaddr."""
    if isinstance(address, str):
        return socket.AF_UNIX.to_bytes(2, "little") + address.encode() + b"\0"
    host, port = str(address[0]), int(address[1])
    if ":" in host:
        return (
            socket.AF_INET6.to_bytes(2, "little")
            + port.to_bytes(2, "big")
            + bytes(4)
            + (socket.inet_pton(socket.AF_INET6, host) + bytes(4))
        )
    return socket.AF_INET.to_bytes(2, "little") + port.to_bytes(2, "big") + socket.inet_aton(host) + bytes(8)
