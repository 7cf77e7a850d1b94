# SPDX-License-Identifier: BSD-3-Clause
"""A wire that writes down everything that passes: ``--capture FILE`` around any other wire."""

from __future__ import annotations

import logging
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from emulator.errors import EnvironmentLacks
from emulator.wires.pcapng import INBOUND, OUTBOUND, enhanced_packet, interface_description, section_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from emulator.wires.end import WireCounts, WireEnd

log = logging.getLogger(__name__)


class CaptureFile:
    """A pcapng file that is whole after every frame: nothing waits in a buffer of ours.

    When the disk refuses a frame, the capture ends with a logged sentence and the wire goes on.
    """

    def __init__(self, path: Path | str, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._path = path
        self._now_ns = now_ns
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise EnvironmentLacks(f"capture file {path} must be writable, and is not: {error.strerror}") from error
        self._write(section_header("hilnic") + interface_description("wire"))

    def add(self, frame: bytes, direction: int, comment: str = "", time_ns: int | None = None) -> None:
        """Append ``frame``, INBOUND or OUTBOUND as the card sees it, with what is to be said of it."""
        if self._descriptor >= 0:
            self._write(enhanced_packet(self.now_ns() if time_ns is None else time_ns, frame, direction, comment))

    def now_ns(self) -> int:
        """Return the time by the file's clock, in nanoseconds since 1970."""
        return self._now_ns()

    def fileno(self) -> int:
        """Return the file's descriptor; -1: it is closed."""
        return self._descriptor

    def failed(self) -> None:
        """Take note that somebody else could not write to the file."""
        log.warning("capture to %s ended: the file cannot be written any more", self._path)
        self.close()

    def close(self) -> None:
        """Close the file; frames that come later are not captured."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, data: bytes) -> None:
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            log.warning("capture to %s ended: %s", self._path, error.strerror)
            self.close()
            return
        if written < len(data):
            log.warning("capture to %s ended: only %d of %d bytes were taken", self._path, written, len(data))
            self.close()


class Notes(Protocol):
    """A card that can say in words what becomes of frames."""

    def received_note(self) -> str:
        """Return what became of the frame that arrived last."""

    def sent_note(self) -> str:
        """Return what the frame is that leaves just now."""


class CapturedWire:
    """``wire``, with every frame that it carries copied to ``file``. Frames that it drops are not in the file.

    What becomes of a frame that has come is known when the card is done with it, and only then it is written, with the
    time at which the card began; what the card has sent meanwhile stands behind it.
    """

    def __init__(self, wire: WireEnd, file: CaptureFile) -> None:
        self.wire = self._wire = wire
        self.file = self._file = file
        self._notes: Notes | None = None
        self._arriving = False
        self._meanwhile: list[tuple[bytes, str, int]] = []

    @property
    def counts(self) -> WireCounts:
        """The counters of the wire itself."""
        return self._wire.counts

    @property
    def connected(self) -> bool:
        """Whether somebody is at the other end."""
        return self._wire.connected

    def fileno(self) -> int | None:
        """Return the descriptor of the wire itself."""
        return self._wire.fileno()

    def emit(self, frame: bytes) -> None:
        """Send one frame and write it down if the wire took it."""
        before = self._wire.counts.emitted
        self._wire.emit(frame)
        if self._wire.counts.emitted == before:
            return
        note = self._notes.sent_note() if self._notes is not None else ""
        if self._arriving:
            self._meanwhile.append((frame, note, self._file.now_ns()))
        else:
            self._file.add(frame, OUTBOUND, note)

    def poll(self) -> Sequence[bytes]:
        """Return the frames that have come; each is written down when it is ``taken``."""
        return self._wire.poll()

    def explained_by(self, notes: Notes) -> None:
        """Let ``notes`` say from now on what becomes of frames."""
        self._notes = notes

    @contextmanager
    def taken(self, frame: bytes) -> Iterator[None]:
        """Within the context the card takes ``frame``, which has come; at its end that is written down."""
        began, self._arriving = self._file.now_ns(), True
        try:
            yield
        finally:
            self._arriving = False
            self._file.add(frame, INBOUND, self._notes.received_note() if self._notes is not None else "", began)
            for sent, note, time_ns in self._meanwhile:
                self._file.add(sent, OUTBOUND, note, time_ns)
            self._meanwhile.clear()

    def close(self) -> None:
        """Close the wire and the file."""
        self._wire.close()
        self._file.close()
