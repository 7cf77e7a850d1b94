# SPDX-License-Identifier: BSD-3-Clause
"""The far end of a stream wire for measuring: it sends as fast as the card takes it, and throws away what comes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Self

from harness.bench.far_end import Blast
from harness.errors import LabBroken

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.deadline import Deadline

PREFIX = struct.Struct(">I")
ROUNDS = 16
"""How often the frames are in what one call sends: a call for each frame would be what is measured."""


class StreamEnd:
    """Listens at ``path``; a card that takes nothing for ``patience_s`` is stuck."""

    def __init__(self, path: Path, patience_s: float = 5.0) -> None:
        self._path = path
        self._patience_s = patience_s
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._line: socket.socket | None = None
        self._reader: threading.Thread | None = None

    def connect(self, deadline: Deadline) -> None:
        """Take the card's call."""
        self._listener.settimeout(deadline.remaining)
        try:
            self._line, _ = self._listener.accept()
        except TimeoutError as error:
            raise LabBroken(f"the card must call at {self._path}, and does not") from error
        self._line.settimeout(self._patience_s)
        self._reader = threading.Thread(target=self._swallow, args=(self._line,), daemon=True)
        self._reader.start()

    def blast(self, frames: Sequence[bytes], seconds: float) -> Blast:
        """Send ``frames`` over and over for ``seconds``, waiting for room whenever the card has none."""
        if self._line is None:
            raise LabBroken("the card must have called first")
        chunk = b"".join(PREFIX.pack(len(frame)) + frame for frame in frames) * ROUNDS
        sent = 0
        began = time.monotonic()
        try:
            while (now := time.monotonic()) < began + seconds:
                self._line.sendall(chunk)
                sent += len(frames) * ROUNDS
        except OSError as error:
            raise LabBroken(
                f"the card must take a frame within {self._patience_s:g} s, and stopped after {sent}: {error}"
            ) from error
        return Blast(sent, now - began)

    @staticmethod
    def _swallow(line: socket.socket) -> None:
        """Read until the end; reading is not limited by the patience for sending."""
        with contextlib.suppress(OSError):
            while True:
                with contextlib.suppress(TimeoutError):
                    if not line.recv(1 << 16):
                        return

    def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)
        if self._reader is not None:
            self._reader.join()
        if self._line is not None:
            self._line.close()
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
