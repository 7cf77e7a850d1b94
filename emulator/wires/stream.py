# SPDX-License-Identifier: BSD-3-Clause
"""A wire over a byte stream, wire-compatible with QEMU's ``-netdev stream``, as the calling or the called side."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
from typing import TYPE_CHECKING

from emulator.wires.address import widen_buffers
from emulator.wires.end import READ_SIZE, WireCounts, accept
from emulator.wires.framing import Deframer, FramingLost, enframe

if TYPE_CHECKING:
    from emulator.wires.partner import Partner

log = logging.getLogger(__name__)


class StreamWire:
    """Length-prefixed frames to whoever ``partner`` finds; partners may come and go.

    ``fileno`` is an epoll descriptor over the connection, its unsent rest and the search for a partner, so that
    one ``poll`` whenever it is readable keeps everything going.
    """

    def __init__(self, partner: Partner) -> None:
        self.counts = WireCounts()
        self._partner = partner
        self._epoll = select.epoll()
        self._socket: socket.socket | None = None
        self._deframer = Deframer()
        self._unsent = b""
        self._epoll.register(partner.fileno(), select.EPOLLIN)
        self.look_for_partner()

    @property
    def connection(self) -> int | None:
        """The descriptor of the connection, if a partner is on the line."""
        return None if self._socket is None else self._socket.fileno()

    @property
    def connected(self) -> bool:
        """Whether a partner is on the line."""
        return self._socket is not None

    def fileno(self) -> int | None:
        """Return the epoll descriptor, or None after ``close``."""
        return None if self._epoll.closed else self._epoll.fileno()

    def emit(self, frame: bytes) -> None:
        """Send one frame; drop it when nobody is there or an earlier frame still waits for room."""
        if self._unsent:
            self._flush()
        if self._socket is None or self._unsent:
            self.counts.dropped += 1
            return
        data = enframe(frame)
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            self.counts.dropped += 1
            return
        except OSError as error:
            self.counts.dropped += 1
            self.hang_up(f"sending failed: {error.strerror}")
            return
        self.counts.emitted += 1
        if sent < len(data):
            self._unsent = data[sent:]
            self._epoll.modify(self._socket, select.EPOLLIN | select.EPOLLOUT)

    def poll(self) -> list[bytes]:
        """Do what is due and return the frames that one read of at most READ_SIZE bytes completes."""
        if self._epoll.closed:
            return []
        if self._socket is None:
            self.look_for_partner()
        elif self._unsent:
            self._flush()
        if self._socket is None:
            return []
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return []
        except OSError as error:
            self.hang_up(f"receiving failed: {error.strerror}")
            return []
        if not data:
            self.hang_up("the partner closed it")
            return []
        try:
            frames = self._deframer.feed(data)
        except FramingLost as error:
            self.hang_up(str(error))
            return []
        return [frame for frame in frames if accept(frame, self.counts)]

    def close(self) -> None:
        """Hang up and stop looking for partners."""
        if self._epoll.closed:
            return
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._epoll.close()
        self._partner.close()

    def look_for_partner(self) -> None:
        """Take the partner who has answered or called, if there is one."""
        sock = self._partner.attempt()
        if sock is None:
            return
        widen_buffers(sock)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self._deframer = Deframer()
        self._unsent = b""
        self._epoll.unregister(self._partner.fileno())
        self._epoll.register(sock, select.EPOLLIN)

    def _flush(self) -> None:
        """Send what is left of a frame that went out in part."""
        if self._socket is None:
            return
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            return
        except OSError as error:
            self.hang_up(f"sending failed: {error.strerror}")
            return
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._epoll.modify(self._socket, select.EPOLLIN)

    def hang_up(self, why: str) -> None:
        """End the connection and look for the next partner."""
        if self._socket is None:
            return
        log.warning("stream wire: connection ended: %s", why)
        with contextlib.suppress(OSError):
            self._epoll.unregister(self._socket)
        self._socket.close()
        self._socket = None
        self._unsent = b""
        self._partner.lost()
        self._epoll.register(self._partner.fileno(), select.EPOLLIN)
