# SPDX-License-Identifier: BSD-3-Clause
"""A wire that swallows everything: a cable into a partner that never says a word."""

from __future__ import annotations

from emulator.wires.end import WireCounts


class NullWire:
    """Every frame is emitted, none comes back."""

    def __init__(self) -> None:
        self.counts = WireCounts()
        self.connected = True

    def fileno(self) -> int | None:
        """Return None: there is nothing to wait for."""
        return None

    def emit(self, frame: bytes) -> None:  # noqa: ARG002 - swallowing it is the point
        """Count the frame and forget it."""
        self.counts.emitted += 1

    def poll(self) -> list[bytes]:
        """Return no frames."""
        return []

    def close(self) -> None:
        """Do nothing."""
