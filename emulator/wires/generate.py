# SPDX-License-Identifier: BSD-3-Clause
"""A wire on which frames come without end: short UDP datagrams of many flows, to one address."""

from __future__ import annotations

import os
import struct
import time
from itertools import cycle, islice

from emulator.errors import UsageError
from emulator.wires.end import BATCH, FRAME_MAX, FRAME_MIN, WireCounts

HEADERS = 14 + 20 + 8
ETHERNET_FCS = 4
FLOWS_MAX, RATE_MAX = 65_536, 100_000_000
SOURCE = bytes.fromhex("525400706565")
NETWORK = bytes((198, 18))
"""RFC 2544's benchmarking range."""


def datagram(destination: bytes, size: int, flow: int) -> bytes:
    """Return the frame of ``flow``: ``size`` bytes without the FCS, from an address and a port of its own."""
    source = NETWORK + bytes((1 + (flow >> 8 & 0x7F), flow & 0xFF))
    udp = struct.pack(">HHHH", 1024 + flow % 60_000, 9, size - 34, 0)
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, size - 14, 0, 0, 64, 17, 0, source, NETWORK + b"\x00\x01")
    total = sum(struct.unpack(">10H", head))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + (~total & 0xFFFF).to_bytes(2, "big") + head[12:]
    frame: bytes = destination + SOURCE + b"\x08\x00" + head + udp
    return frame.ljust(size, b"\0")


class GeneratorWire:
    """``flows`` frames of ``size`` bytes (with FCS) to ``mac``, in turn, ``rate`` a second; 0: as fast as they go."""

    def __init__(self, mac: bytes, flows: int = 64, size: int = 64, rate: int = 0) -> None:
        if not 1 <= flows <= FLOWS_MAX:
            raise UsageError(f"flows of a generator must be 1 to {FLOWS_MAX}, not {flows}")
        if not max(FRAME_MIN, HEADERS) + ETHERNET_FCS <= size <= FRAME_MAX:
            raise UsageError(
                f"size of a generator's frames must be {HEADERS + ETHERNET_FCS} to {FRAME_MAX}, not {size}"
            )
        if not 0 <= rate <= RATE_MAX:
            raise UsageError(f"rate of a generator must be 0 to {RATE_MAX} frames a second, not {rate}")
        self.frames = [datagram(mac, size - ETHERNET_FCS, flow) for flow in range(flows)]
        self.rate = rate
        self.counts = WireCounts()
        self.connected = True
        self._turn = cycle(self.frames)
        self._began = time.monotonic()
        self._event = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int | None:
        """Return a descriptor that is always readable."""
        return self._event

    def emit(self, frame: bytes) -> None:  # noqa: ARG002 - nobody is there
        """Count the frame and forget it."""
        self.counts.emitted += 1

    def poll(self) -> list[bytes]:
        """Return the frames that are due, at most BATCH."""
        due = BATCH
        if self.rate:
            due = min(BATCH, int((time.monotonic() - self._began) * self.rate) - self.counts.arrived)
        frames = list(islice(self._turn, max(0, due)))
        self.counts.arrived += len(frames)
        return frames

    def close(self) -> None:
        """Let no more come."""
        if self._event >= 0:
            os.close(self._event)
            self._event = -1
