# SPDX-License-Identifier: BSD-3-Clause
"""The far end of a datagram wire for measuring: it counts what comes and sends as fast as the card takes it.

``harness.peer`` keeps every frame and answers; here a frame must cost as little as Python allows, because the far end
shares the host's CPUs with the card under test.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from harness.deadline import Deadline, wait_until
from harness.errors import LabBroken

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ROOM = 1 << 16
COALESCE_MS = 1
DESTINATION_PORT = slice(36, 38)
"""Of UDP over IPv4 without options, behind an Ethernet header without tags."""

SENT_TO = struct.Struct("!H")
TIMEVAL = struct.Struct("@ll")


@dataclass(frozen=True, slots=True)
class Count:
    """Frames of interest, and when the first and the last of them came (monotonic clock, nanoseconds)."""

    frames: int
    first_ns: int
    last_ns: int

    @property
    def rate(self) -> float:
        """Frames per second between the first and the last."""
        span_ns = self.last_ns - self.first_ns
        return (self.frames - 1) * 1e9 / span_ns if span_ns > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Blast:
    """How many frames the card took, in how many seconds."""

    frames: int
    seconds: float


def _timeval(seconds: float) -> tuple[int, int]:
    """Return seconds and microseconds."""
    return divmod(round(seconds * 1e6), 1_000_000)


class FarEnd:
    """The socket at ``local``, whose card is bound to ``remote``; counts frames to UDP port ``port``.

    A card that takes no frame for ``patience_s`` is stuck.
    """

    def __init__(self, local: Path, remote: Path, port: int, patience_s: float = 5.0) -> None:
        self._patience_s = patience_s
        self._local = local
        self._remote = remote
        self._port = SENT_TO.pack(port)
        self._room = bytearray(ROOM)
        self._frames = self._first_ns = self._last_ns = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, TIMEVAL.pack(*_timeval(patience_s)))
        self._socket.bind(str(local))
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._counter = threading.Thread(target=self._run, name="far end", daemon=True)
        self._counter.start()

    def connect(self, deadline: Deadline) -> None:
        """Connect to the card's end once it is there; a card may then send to us without limit (unix(7))."""

        def connected() -> bool:
            try:
                self._socket.connect(str(self._remote))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            return True

        wait_until(connected, deadline, f"the card's wire at {self._remote} opening")

    def restart(self) -> None:
        """Count from nothing. No frame of interest may be on its way."""
        self._frames = self._first_ns = self._last_ns = 0

    def counted(self, least: int, deadline: Deadline) -> Count:
        """Return the count once it is ``least`` or more, or when the deadline has passed."""
        with contextlib.suppress(LabBroken):
            wait_until(lambda: self._frames >= least, deadline, f"{least} frames coming")
        return Count(self._frames, self._first_ns, self._last_ns)

    def blast(self, frames: Sequence[bytes], seconds: float) -> Blast:
        """Send ``frames`` over and over for ``seconds``, waiting for room whenever the card has none."""
        send = self._socket.send
        sent = 0
        began = time.monotonic()
        end = began + seconds
        try:
            while (now := time.monotonic()) < end:
                for frame in frames:
                    send(frame)
                sent += len(frames)
        except OSError as error:
            raise LabBroken(
                f"the card must take a frame within {self._patience_s:g} s, and stopped after {sent}: {error}"
            ) from error
        return Blast(sent, now - began)

    def _run(self) -> None:
        """Take frames off the socket until told to stop.

        While frames come, look every COALESCE_MS instead of being woken by each: a woken reader costs the sender more
        than the frame does, and that must not be what is measured.
        """
        ready, stopped = select.poll(), select.poll()
        ready.register(self._socket, select.POLLIN)
        for poll in (ready, stopped):
            poll.register(self._stop, select.POLLIN)
        while True:
            if any(descriptor == self._stop for descriptor, _ in ready.poll()):
                return
            while self._drain():
                if stopped.poll(COALESCE_MS):
                    return

    def _drain(self) -> int:
        """Take what the socket holds, count what is of interest; return how many frames there were."""
        take, now, port, room = self._socket.recv_into, time.monotonic_ns, self._port, self._room
        drained = 0
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                size = take(room, 0, socket.MSG_DONTWAIT)
                drained += 1
                if room[DESTINATION_PORT] == port and size >= DESTINATION_PORT.stop:
                    self._last_ns = now()
                    self._first_ns = self._first_ns or self._last_ns
                    self._frames += 1
        return drained

    def close(self) -> None:
        """Stop counting and remove the socket."""
        os.eventfd_write(self._stop, 1)
        self._counter.join()
        self._socket.close()
        os.close(self._stop)
        self._local.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
