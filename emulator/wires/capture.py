# SPDX-License-Identifier: BSD-3-Clause
"""A wire that writes down everything that passes: ``--capture FILE`` around any other wire."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

from emulator.errors import EnvironmentLacks
from emulator.wires.pcapng import INBOUND, OUTBOUND, enhanced_packet, interface_description, section_header

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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

    def add(self, frame: bytes, direction: int) -> None:
        """Append ``frame``, INBOUND or OUTBOUND as the card sees it."""
        if self._descriptor >= 0:
            self._write(enhanced_packet(self._now_ns(), frame, direction))

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


class CapturedWire:
    """``wire``, with every frame that it carries copied to ``file``. Frames that it drops are not in the file."""

    def __init__(self, wire: WireEnd, file: CaptureFile) -> None:
        self.wire = self._wire = wire
        self.file = self._file = file

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
        if self._wire.counts.emitted != before:
            self._file.add(frame, OUTBOUND)

    def poll(self) -> Sequence[bytes]:
        """Return the frames that have come, having written them down."""
        frames = self._wire.poll()
        for frame in frames:
            self._file.add(frame, INBOUND)
        return frames

    def close(self) -> None:
        """Close the wire and the file."""
        self._wire.close()
        self._file.close()
