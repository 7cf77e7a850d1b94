# SPDX-License-Identifier: BSD-3-Clause
"""A wire over datagrams, one raw frame in each: the format of QEMU's ``-netdev dgram``, over unix sockets or UDP."""

from __future__ import annotations

import errno
import socket

from emulator.errors import UsageError
from emulator.wires.address import Address, bound_socket, remove_path, resolve, widen_buffers
from emulator.wires.end import BATCH, READ_SIZE, WireCounts, accept

NOBODY_THERE = frozenset({errno.ECONNREFUSED, errno.ENOENT})
"""What sendto() answers while the peer has no socket."""


class DgramWire:
    """One datagram a frame from ``local`` to ``remote``.

    The peer may come, go and come back; frames for an absent or a full peer are dropped. The unix socket is
    left unconnected, so that a peer that was started again can send at once.
    """

    def __init__(self, local: Address, remote: Address) -> None:
        if (local.path is None) != (remote.path is None):
            raise UsageError(f"dgram wire must join two paths or two HOST:PORT, not {local} and {remote}")
        self.counts = WireCounts()
        self.connected = True
        self._local = local
        _, self.remote = resolve(remote, socket.SOCK_DGRAM)
        self._socket = bound_socket(local, socket.SOCK_DGRAM)
        self._descriptor = self._socket.fileno()
        widen_buffers(self._socket)

    def fileno(self) -> int | None:
        """Return the socket's descriptor."""
        return self._descriptor

    def emit(self, frame: bytes) -> None:
        """Send one frame, or count it as dropped."""
        try:
            self._socket.sendto(frame, self.remote)
        except OSError as error:
            self.counts.dropped += 1
            self.connected = error.errno not in NOBODY_THERE
        else:
            self.counts.emitted += 1
            self.connected = True

    def poll(self) -> list[bytes]:
        """Return up to BATCH frames."""
        frames: list[bytes] = []
        receive = self._socket.recv
        for _ in range(BATCH):
            try:
                frame = receive(READ_SIZE)
            except OSError:
                break
            if accept(frame, self.counts):
                frames.append(frame)
        return frames

    def close(self) -> None:
        """Close the socket and remove its path."""
        if self._socket.fileno() >= 0:
            self._socket.close()
            remove_path(self._local)
