# SPDX-License-Identifier: BSD-3-Clause
"""A wire to the host's network stack: a TAP interface (Linux Documentation/networking/tuntap.rst)."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from emulator.errors import EnvironmentLacks, UsageError
from emulator.wires.end import BATCH, READ_SIZE, WireCounts, accept

TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000
TUNSETOFFLOAD = 0x400454D0
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_TSO_ECN = 1, 2, 4, 8
"""include/uapi/linux/if_tun.h"""

HEADER = 10
"""struct virtio_net_hdr (include/uapi/linux/virtio_net.h); zeros: the frame is as on a wire."""

PLAIN = bytes(HEADER)

NAME_MAX = 15
"""IFNAMSIZ less its terminating zero."""

CLONE_DEVICE = "/dev/net/tun"


def attach_tap(name: str) -> int:
    """Return a non-blocking descriptor on TAP interface ``name``, creating the interface when it does not exist.

    Raises UsageError for an impossible name, EnvironmentLacks when the system refuses.
    """
    encoded = name.encode()
    if not 1 <= len(encoded) <= NAME_MAX or "/" in name or any(c.isspace() for c in name):
        raise UsageError(f"name of a tap interface must be 1 to {NAME_MAX} bytes without slash or space, not {name!r}")
    try:
        descriptor = os.open(CLONE_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise EnvironmentLacks(f"{CLONE_DEVICE} must be there and open (modprobe tun): {error.strerror}") from error
    try:
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", encoded, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    except OSError as error:
        os.close(descriptor)
        raise EnvironmentLacks(_why_refused(name, error)) from error
    return descriptor


def _why_refused(name: str, error: OSError) -> str:
    """Return the sentence for a refused TUNSETIFF."""
    if error.errno == errno.EPERM:
        return (
            f"tap interface {name!r} must be ours: run with CAP_NET_ADMIN, "
            f"or first `ip tuntap add dev {name} mode tap user $USER` as root"
        )
    if error.errno == errno.EBUSY:
        return f"tap interface {name!r} must be free, and another process holds it"
    if error.errno == errno.EINVAL:
        return f"interface {name!r} must be a single-queue tap, and it is of another kind"
    return f"tap interface {name!r} must open, and does not: {error.strerror}"


class TapWire:
    """Frames to and from TAP interface ``name``. While the interface is down, frames are dropped.

    ``offload`` says that whoever moves the frames may have the host hand over packets that it has not cut up.
    """

    def __init__(self, name: str, *, offload: bool = True) -> None:
        self.offload = offload
        self.counts = WireCounts()
        self.connected = True
        self._descriptor = attach_tap(name)
        self._ask(0)

    def fileno(self) -> int | None:
        """Return the descriptor of the TAP queue."""
        return self._descriptor

    def take_whole(self) -> bool:
        """Have the host leave cutting up and checksums to us; False if it does not."""
        return self._ask(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)

    def _ask(self, offloads: int) -> bool:
        """Say what we do for the host; False if it has not heard of it, and then does all by itself."""
        try:
            fcntl.ioctl(self._descriptor, TUNSETOFFLOAD, offloads)
        except OSError:
            return False
        return True

    def emit(self, frame: bytes) -> None:
        """Send one frame, or count it as dropped (EIO: interface down; EAGAIN, ENOBUFS: queue full)."""
        try:
            os.writev(self._descriptor, (PLAIN, frame))
        except OSError:
            self.counts.dropped += 1
        else:
            self.counts.emitted += 1

    def poll(self) -> list[bytes]:
        """Return up to BATCH frames."""
        frames: list[bytes] = []
        for _ in range(BATCH):
            try:
                frame = os.read(self._descriptor, HEADER + READ_SIZE)[HEADER:]
            except OSError:
                break
            if accept(frame, self.counts):
                frames.append(frame)
        return frames

    def close(self) -> None:
        """Detach from the interface; one that we created goes with us."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self.connected = False
