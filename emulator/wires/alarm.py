# SPDX-License-Identifier: BSD-3-Clause
"""One alarm that a poll loop can wait for: a timerfd (timerfd_create(2)), which Python 3.11 and 3.12 do not offer."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import time

TFD_CLOEXEC_NONBLOCK = os.O_CLOEXEC | os.O_NONBLOCK
"""TFD_CLOEXEC and TFD_NONBLOCK have the values of the open(2) flags."""


class Alarm:
    """A descriptor that becomes readable once, some time after ``ring_after``."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = int(self._libc.timerfd_create(time.CLOCK_MONOTONIC, TFD_CLOEXEC_NONBLOCK))
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def ring_after(self, delay_ns: int) -> None:
        """Ring once, ``delay_ns`` (at least 1) from now, instead of whenever it was set before."""
        seconds, nanoseconds = divmod(max(1, delay_ns), 1_000_000_000)
        setting = struct.pack("@qqqq", 0, 0, seconds, nanoseconds)  # struct itimerspec: interval, first expiry
        if self._libc.timerfd_settime(self._descriptor, 0, setting, None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def silence(self) -> None:
        """Note that the alarm was heard, so that the descriptor is no longer readable."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._descriptor, 8)

    def close(self) -> None:
        """Close the descriptor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
