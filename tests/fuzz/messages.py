# SPDX-License-Identifier: BSD-3-Clause
"""A whole card in this process, whose vfio-user socket, control socket and wire are fed by a fuzzer.

Nothing that comes may raise out of the card's loop, or keep it from answering the next client.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.assembly import Options, assemble
from emulator.control.server import ControlServer
from emulator.families import FAMILIES
from tests.protocol import client as protocol

if TYPE_CHECKING:
    from emulator.card import Card

MOST = 60
VERSION = b'\x00\x00\x01\x00{"capabilities":{"max_msg_fds":8}}\x00'
PAGES = 1 << 16
LINES = (
    "describe", "events", "record", "counts", "registers", "read_register", "write_register", "ring", "statistics",
    "link", "rate", "fault", "faults", "inject", "reset",
)  # fmt: skip
ARGUMENTS = ("kinds", "names", "offset", "value", "direction", "queue", "state", "speeds", "mbps", "name", "frames")
WORDS: tuple[object, ...] = (
    None, True, 0, 1, -1, 7, 16, 0xFFFF_FFFF, 1 << 70, "", "rx", "tx", "up", "down", "RDT[3]", "FrameArrived",
    "ff" * 60, [], [1000], ["FrameArrived"], ["00" * 60], {}, 0.5, "hold_interrupts", "unlimited", "power-on",
)  # fmt: skip


class Stop:
    """A descriptor that is readable from the start, so that a card's loop turns once and comes back."""

    def __init__(self, undo: ExitStack) -> None:
        self._fd = os.eventfd(1, os.EFD_CLOEXEC)
        undo.callback(os.close, self._fd)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd


class Input:
    """The fuzzer's bytes, taken from the front; zeros when there are no more."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes, or what there is."""
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def number(self, size: int = 1) -> int:
        """Return the next number of ``size`` bytes."""
        return int.from_bytes(self.take(size), "little")


class Bench:
    """The card, and those who talk to it."""

    def __init__(self, undo: ExitStack, engine: str) -> None:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="hilnic-fuzz-")))
        wire = f"dgram:local={folder}/near,remote={folder}/far"
        options = Options(socket=folder / "vfio", wire=wire, engine=engine, log_level=60)
        self.folder = folder
        self.card: Card = assemble(options, next(iter(FAMILIES.values())), undo)
        self.controls = ControlServer(str(folder / "control"), self.card, self.card.recorder())
        undo.callback(self.controls.close)
        self.stop = Stop(undo)
        self.undo = undo
        self.memory = os.memfd_create("hilnic-fuzz")
        os.ftruncate(self.memory, PAGES)
        undo.callback(os.close, self.memory)
        self.far = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.far.bind(str(folder / "far"))
        self.far.setblocking(False)
        self.control = self._connect("control")
        self.client = self.fresh_client()

    def _connect(self, name: str) -> socket.socket:
        line = self.undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        line.connect(str(self.folder / name))
        line.setblocking(False)
        return line

    def fresh_client(self, greeting: bytes = b"") -> socket.socket:
        """Return a connection to the vfio-user socket that begins as it must, or with ``greeting`` and no more.

        Who connects and says nothing at all keeps the card waiting for its patience (emulator.vfu); that has tests.
        """
        line = self._connect("vfio")
        if greeting:
            line.send(greeting)
            line.shutdown(socket.SHUT_WR)
        else:
            line.send(protocol.HEADER.pack(1, protocol.VERSION, protocol.HEADER.size + len(VERSION), 0, 0) + VERSION)
        return line

    def turn(self) -> None:
        """Let the card look at everything once."""
        self.card.serve(self.controls, self.stop)  # type: ignore[arg-type]
        for line in (self.client, self.control, self.far):
            with contextlib.suppress(OSError):
                while line.recv(1 << 20):
                    pass

    def say(
        self, command: int, body: bytes, *, flags: int = 0, size: int | None = None, fds: tuple[int, ...] = ()
    ) -> None:
        """Send one message of the vfio-user protocol, true to its length unless ``size`` is given."""
        head = protocol.HEADER.pack(7, command, protocol.HEADER.size + len(body) if size is None else size, flags, 0)
        self.send(head + body, fds)

    def hang_up(self) -> None:
        """End the connection, so that nobody waits for the rest of a message, and call again."""
        with contextlib.suppress(OSError):
            self.client.shutdown(socket.SHUT_WR)
        self.turn()
        self.client.close()
        self.client = self.fresh_client()

    def send(self, data: bytes, fds: tuple[int, ...] = ()) -> None:
        """Send bytes; a client that was hung up on calls again."""
        try:
            socket.send_fds(self.client, [data], list(fds))
        except BlockingIOError:
            return
        except OSError:
            self.client.close()
            self.client = self.fresh_client()


def one(data: bytes) -> None:
    """Run one input. Whatever a bug raises comes out here."""
    given = Input(data)
    with ExitStack() as undo:
        first = given.number()
        bench = Bench(undo, "python" if first & 1 else "native")
        bench.turn()
        if first & 2:
            bench.client.close()
            bench.turn()
            bench.client = bench.fresh_client(given.take(given.number()) or b"?")
            bench.turn()
            bench.hang_up()
        for _ in range(MOST):
            if not given.data:
                break
            _step(bench, given)
            bench.turn()
        bench.client.close()
        bench.turn()
        bench.client = bench.fresh_client()
        answered(bench)


def answered(bench: Bench) -> None:
    """Raise AssertionError unless the card answers a client as if nothing had been."""
    for _ in range(20):
        bench.card.serve(bench.controls, bench.stop)  # type: ignore[arg-type]
        with contextlib.suppress(BlockingIOError):
            assert bench.client.recv(1 << 16), "the card must not hang up on a well-behaved client"
            return
    raise AssertionError("the card must answer a well-behaved client")


def _step(bench: Bench, given: Input) -> None:
    kind = given.number() % 12
    if kind == 0:
        bench.send(given.take(given.number()))
        bench.hang_up()
    elif kind == 1:
        command, flags, size = given.number(), given.number(), given.number(2)
        bench.say(command, given.take(given.number()), flags=flags, size=size)
        bench.hang_up()
    elif kind == 2:
        command = given.number() % 16
        bench.say(command, given.take(given.number() % 128))
    elif kind in (3, 4):
        region, offset, size = given.number() % 10, given.number(3), given.number() % 72
        if region == 9:
            region, offset = protocol.CONFIG, offset % 4096
        body = offset.to_bytes(8, "little") + region.to_bytes(4, "little")
        if kind == 3:
            bench.say(protocol.REGION_READ, body + size.to_bytes(4, "little"))
        else:
            what = given.take(size)
            flags = protocol.NO_REPLY if given.number() & 1 else 0
            bench.say(protocol.REGION_WRITE, body + len(what).to_bytes(4, "little") + what, flags=flags)
    elif kind in (5, 6):
        iova, size, offset = given.number(2) << 12, given.number(2) << 8, given.number(2) << 8
        if kind == 5:
            flags = given.number()
            fields = (32, flags, offset, iova, size)
            body = b"".join(
                value.to_bytes(width, "little") for value, width in zip(fields, (4, 4, 8, 8, 8), strict=True)
            )
            bench.say(protocol.DMA_MAP, body, fds=(bench.memory,) if given.number() & 1 else ())
        else:
            body = b"".join(v.to_bytes(w, "little") for v, w in zip((24, 0, iova, size), (4, 4, 8, 8), strict=True))
            bench.say(protocol.DMA_UNMAP, body)
    elif kind == 7:
        index, start, count, flags = given.number() % 6, given.number() % 12, given.number() % 12, given.number()
        body = b"".join(v.to_bytes(4, "little") for v in (20, flags, index, start, count))
        fds = tuple(os.eventfd(0, os.EFD_CLOEXEC) for _ in range(given.number() % 4))
        try:
            bench.say(protocol.SET_IRQS, body + given.take(count), fds=fds)
        finally:
            for fd in fds:
                os.close(fd)
    elif kind == 8:
        _write(bench.control, given.take(given.number()) + b"\n")
    elif kind in (9, 10):
        request: dict[str, object] = {"id": given.number(), "command": LINES[given.number() % len(LINES)]}
        for _ in range(given.number() % 4):
            request[ARGUMENTS[given.number() % len(ARGUMENTS)]] = WORDS[given.number() % len(WORDS)]
        _write(bench.control, json.dumps(request).encode() + b"\n")
    else:
        with contextlib.suppress(OSError):
            bench.far.sendto(given.take(given.number(2) % 2000), str(bench.folder / "near"))


def _write(line: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        line.send(data)
