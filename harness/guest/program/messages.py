# SPDX-License-Identifier: BSD-3-Clause
"""Calls that send one message a system call, and say which thread did it: what a trace of the sender is told by."""

from __future__ import annotations

import base64
import os
import socket
import struct
import threading
import time
from typing import Any

SO_TXTIME = 61
CLOCK_TAI = 11


def duplicate(handle: int) -> socket.socket:
    """Return a second descriptor for an open socket."""
    return socket.socket(fileno=os.dup(handle))


class Messages:
    """Each public method is one call; the answer names the sending thread as the kernel knows it."""

    def send_each(
        self, handle: int, payloads: list[str], address: list[Any] | None = None, flags: int = 0
    ) -> dict[str, int]:
        """Send each base64 payload by one sendto."""
        with duplicate(handle) as made:
            for payload in payloads:
                data = base64.b64decode(payload)
                if address is None:
                    made.send(data, flags)
                else:
                    made.sendto(data, flags, tuple(address))
        return {"thread": threading.get_native_id(), "sent": len(payloads)}

    def write_each(self, handle: int, payloads: list[str]) -> dict[str, int]:
        """Send each base64 payload by one write."""
        for payload in payloads:
            os.write(handle, base64.b64decode(payload))
        return {"thread": threading.get_native_id(), "sent": len(payloads)}

    def send_controlled(
        self, handle: int, payload: str, control: list[tuple[int, int, str]], address: list[Any] | None = None
    ) -> dict[str, int]:
        """Send one base64 payload by sendmsg with control messages (level, type, base64 data)."""
        told = [(level, kind, base64.b64decode(data)) for level, kind, data in control]
        with duplicate(handle) as made:
            sent = made.sendmsg([base64.b64decode(payload)], told, 0, tuple(address) if address else None)
        return {"thread": threading.get_native_id(), "sent": sent}

    def send_wandering(self, handle: int, payloads: list[str], on: list[int]) -> dict[str, int]:
        """Send each base64 payload from the CPU of its place in ``on``, moving there first."""
        with duplicate(handle) as made:
            for payload, cpu in zip(payloads, on, strict=True):
                os.sched_setaffinity(0, {cpu})
                made.sendall(base64.b64decode(payload))
        return {"thread": threading.get_native_id(), "sent": len(payloads)}

    def send_at(self, handle: int, payloads: list[tuple[int, str]]) -> dict[str, list[int]]:
        """Send each base64 payload with a launch time (SCM_TXTIME) so many microseconds from now.

        The socket is given SO_TXTIME with CLOCK_TAI. The answer holds the launch times on the monotonic clock.
        """
        with duplicate(handle) as made:
            made.setsockopt(socket.SOL_SOCKET, SO_TXTIME, struct.pack("iI", CLOCK_TAI, 0))
            tai, monotonic = time.clock_gettime_ns(CLOCK_TAI), time.monotonic_ns()
            due = []
            for delay_us, payload in payloads:
                launch = struct.pack("Q", tai + delay_us * 1000)
                made.sendmsg([base64.b64decode(payload)], [(socket.SOL_SOCKET, SO_TXTIME, launch)])
                due.append(monotonic + delay_us * 1000)
        return {"due": due}
