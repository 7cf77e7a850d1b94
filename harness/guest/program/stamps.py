# SPDX-License-Identifier: BSD-3-Clause
"""Calls on time: hardware clocks behind /dev/ptpN, and the stamps that sockets carry (SO_TIMESTAMPING)."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import socket
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .files import b64

if TYPE_CHECKING:
    from collections.abc import Iterator

SIOCSHWTSTAMP = 0x89B0
SO_TIMESTAMPING = 37
MSG_ERRQUEUE = 0x2000
LARGEST_FRAME = 2048
SECOND_NS = 1_000_000_000
CONTROL_ROOM = 512
HARDWARE_STAMP_AT = 32
"""Behind the software stamp and one that is no longer used (Linux include/linux/socket.h: scm_timestamping)."""

ADJ_FREQUENCY, ADJ_SETOFFSET, ADJ_NANO = 0x0002, 0x0100, 0x2000
PTP_SYS_OFFSET = 0x43403D05
"""_IOW('=', 5, struct ptp_sys_offset) of Linux include/uapi/linux/ptp_clock.h."""

PTP_SYS_SAMPLES = 25
"""PTP_MAX_SAMPLES."""


class Timex(ctypes.Structure):
    """Struct timex of clock_adjtime(2) on x86-64."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("fraction", ctypes.c_long),
        ("rest", ctypes.c_long * 20),
    )


@contextmanager
def opened(path: str) -> Iterator[tuple[int, int]]:
    """Open a PTP device; give its descriptor and the clock id that belongs to it (clock_gettime(2), FD_TO_CLOCKID)."""
    handle = os.open(path, os.O_RDWR)
    try:
        yield handle, (~handle << 3) | 3
    finally:
        os.close(handle)


def adjust(path: str, change: Timex) -> None:
    """Do clock_adjtime on a PTP device."""
    library = ctypes.CDLL(None, use_errno=True)
    with opened(path) as (_, clock):
        if library.clock_adjtime(clock, ctypes.byref(change)) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


class Stamps:
    """Each public method is one call; a socket is named by its descriptor."""

    def hardware_stamps(self, name: str, tx_type: int, rx_filter: int) -> list[int]:
        """SIOCSHWTSTAMP on interface ``name``; return flags, tx_type and rx_filter as the driver left them."""
        room = ctypes.create_string_buffer(struct.pack("iii", 0, tx_type, rx_filter), 12)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            fcntl.ioctl(made, SIOCSHWTSTAMP, struct.pack("16sP", name.encode(), ctypes.addressof(room)))
        return list(struct.unpack("iii", room.raw))

    def ptp_time(self, path: str) -> int:
        """Return the clock's time in ns."""
        with opened(path) as (_, clock):
            return time.clock_gettime_ns(clock)

    def ptp_set(self, path: str, ns: int) -> None:
        """Set the clock (clock_settime)."""
        with opened(path) as (_, clock):
            time.clock_settime_ns(clock, ns)

    def ptp_step(self, path: str, ns: int) -> None:
        """Move the clock by ``ns`` (clock_adjtime with ADJ_SETOFFSET)."""
        seconds, rest = divmod(ns, SECOND_NS)
        adjust(path, Timex(modes=ADJ_SETOFFSET | ADJ_NANO, seconds=seconds, fraction=rest))

    def ptp_speed(self, path: str, ppb: int) -> None:
        """Let the clock run faster by ``ppb`` (clock_adjtime with ADJ_FREQUENCY, in 2^-16 parts in a million)."""
        adjust(path, Timex(modes=ADJ_FREQUENCY, freq=(ppb << 16) // 1000))

    def ptp_beside_system(self, path: str, samples: int) -> list[int]:
        """PTP_SYS_OFFSET: return system time, clock, system time, clock, …, system time in ns."""
        room = bytearray(struct.pack("I3I", samples, 0, 0, 0)) + bytes(16 * (2 * PTP_SYS_SAMPLES + 1))
        with opened(path) as (handle, _):
            fcntl.ioctl(handle, PTP_SYS_OFFSET, room)
        times = struct.unpack_from("qII" * (2 * samples + 1), room, 16)
        return [times[at] * SECOND_NS + times[at + 1] for at in range(0, len(times), 3)]

    def receive_stamped(
        self,
        handle: int,
        count: int,
        seconds: float,
        errors: bool = False,  # noqa: FBT001, FBT002 - travels as JSON
    ) -> list[dict[str, Any]]:
        """Receive up to ``count`` datagrams or frames, or with ``errors`` what the error queue returns of those sent.

        Each is ``data`` in base64 and, of its stamps, ``hardware`` and ``software`` in ns, 0 for none.
        """
        got: list[dict[str, Any]] = []
        wanted = select.POLLERR if errors else select.POLLIN
        poll = select.poll()
        poll.register(handle, 0 if errors else select.POLLIN)
        end = time.monotonic() + seconds
        with socket.socket(fileno=os.dup(handle)) as made:
            while len(got) < count:
                left = end - time.monotonic()
                if left <= 0:
                    break
                if not any(event & wanted for _, event in poll.poll(left * 1000)):
                    continue
                data, control, _, _ = made.recvmsg(
                    LARGEST_FRAME, CONTROL_ROOM, socket.MSG_DONTWAIT | (MSG_ERRQUEUE if errors else 0)
                )
                got.append({"data": b64(data), **stamps_of(control)})
        return got


def stamps_of(control: list[tuple[int, int, bytes]]) -> dict[str, int]:
    """Return the stamps in a message's ancillary data."""
    for level, kind, data in control:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPING):
            return {"software": time_at(data, 0), "hardware": time_at(data, HARDWARE_STAMP_AT)}
    return {"software": 0, "hardware": 0}


def time_at(data: bytes, offset: int) -> int:
    """Return a struct timespec in ns."""
    seconds, rest = struct.unpack_from("qq", data, offset)
    return int(seconds * SECOND_NS + rest)
