# SPDX-License-Identifier: BSD-3-Clause
"""The far end of a TAP wire: the host's kernel in a namespace, a sender of frames, and servers that answer."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from typing import TYPE_CHECKING, Self

from harness.bench.far_end import Blast
from harness.errors import LabBroken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.bench.namespace import Namespace

SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20
ECHO, KNOCK = 7, 9007
"""Ports: RFC 862's, and that of the server which hangs up at once."""

FULL_S = 0.0002
ROOM = 1 << 16
BACKLOG = 64


class TapEnd:
    """Sends frames into the namespace's interface ``tap``, as if they came from its stack."""

    def __init__(self, namespace: Namespace, tap: str, patience_s: float = 5.0) -> None:
        self._namespace = namespace
        self._tap = tap
        self._patience_s = patience_s

    def blast(self, frames: Sequence[bytes], seconds: float) -> Blast:
        """Send ``frames`` over and over for ``seconds``; what counts is what the interface handed to the card."""
        with self._namespace.socket(socket.AF_PACKET, socket.SOCK_RAW) as line:
            line.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
            line.settimeout(self._patience_s)
            line.bind((self._tap, 0))
            before = self._handed_over()
            began = time.monotonic()
            while (now := time.monotonic()) < began + seconds:
                for frame in frames:
                    try:
                        line.send(frame)
                    except OSError as error:
                        if error.errno != errno.ENOBUFS:
                            raise LabBroken(f"{self._tap} must take a frame, and does not: {error}") from error
                        time.sleep(FULL_S)  # its queue is full; trying on would take CPU from whoever empties it
        return Blast(self._handed_over() - before, now - began)

    def _handed_over(self) -> int:
        return self._namespace.counters(self._tap)["tx"]["packets"]


class Servers:
    """Answers in the namespace: each datagram to ECHO goes back, each connection to KNOCK is closed at once."""

    def __init__(self, namespace: Namespace) -> None:
        self._echo = namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._door = namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._echo.bind(("0.0.0.0", ECHO))  # noqa: S104 - in a namespace of our own
        self._door.bind(("0.0.0.0", KNOCK))  # noqa: S104
        self._door.listen(BACKLOG)
        self._threads = [
            threading.Thread(target=work, daemon=True, name=name)
            for name, work in (("echo", self._answer), ("door", self._close_doors))
        ]
        for thread in self._threads:
            thread.start()

    def _until_closed(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(OSError):
            while True:
                work()

    def _answer(self) -> None:
        def once() -> None:
            data, who = self._echo.recvfrom(ROOM)
            if who is None:
                raise ConnectionAbortedError("the socket was shut down")
            self._echo.sendto(data, who)

        self._until_closed(once)

    def _close_doors(self) -> None:
        def once() -> None:
            made, _ = self._door.accept()
            made.close()

        self._until_closed(once)

    def close(self) -> None:
        """Stop answering."""
        for line in (self._echo, self._door):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()
        for thread in self._threads:
            thread.join(5.0)
            if thread.is_alive():
                raise LabBroken(f"the {thread.name} server must end within 5 s")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
