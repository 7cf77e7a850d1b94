# SPDX-License-Identifier: BSD-3-Clause
"""How a stream wire comes by its partner: by calling until somebody answers, or by waiting to be called."""

from __future__ import annotations

import errno
import select
import socket
from typing import TYPE_CHECKING, Protocol

from emulator.errors import EnvironmentLacks
from emulator.wires.address import Address, bound_socket, remove_path, resolve
from emulator.wires.alarm import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY_NS = 200_000_000
"""Pause between two calls of an absent partner."""


class Partner(Protocol):
    """A source of connections, one at a time."""

    def fileno(self) -> int:
        """Return the descriptor that is readable when ``attempt`` may succeed."""

    def attempt(self) -> socket.socket | None:
        """Return a new non-blocking connection, or None when there is none yet."""

    def lost(self) -> None:
        """Start looking again, because the connection has ended."""

    def close(self) -> None:
        """Give back descriptors and paths."""


class Caller:
    """Connects to ``address``, and tries again every RETRY_NS while nobody answers."""

    def __init__(self, address: Address, alarm: Callable[[], Alarm] = Alarm) -> None:
        self._family, self._sockaddr = resolve(address, socket.SOCK_STREAM)
        self._alarm = alarm()
        self._trying: socket.socket | None = None
        self._epoll = select.epoll()
        self._epoll.register(self._alarm, select.EPOLLIN)

    def fileno(self) -> int:
        """Return a descriptor that is readable when the pause is over or a pending call was answered."""
        return self._epoll.fileno()

    def attempt(self) -> socket.socket | None:
        """Call, or look how the pending call fares."""
        self._alarm.silence()
        sock = self._trying
        if sock is None:
            sock = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            refusal = sock.connect_ex(self._sockaddr)
            if refusal == errno.EINPROGRESS:
                self._trying = sock
                self._epoll.register(sock, select.EPOLLOUT)
                return None
        else:
            refusal = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if refusal == 0 and not _is_connected(sock):
                return None
            self._epoll.unregister(sock)
            self._trying = None
        if refusal:
            sock.close()
            self._alarm.ring_after(RETRY_NS)
            return None
        return sock

    def lost(self) -> None:
        """Call again after a pause."""
        self._alarm.ring_after(RETRY_NS)

    def close(self) -> None:
        """Stop calling."""
        if self._trying is not None:
            self._trying.close()
            self._trying = None
        self._epoll.close()
        self._alarm.close()


class Listener:
    """Waits at ``address`` for callers; while one is served the next one waits in the backlog."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._socket = bound_socket(address, socket.SOCK_STREAM)
        try:
            self._socket.listen(4)
        except OSError as error:
            self.close()
            raise EnvironmentLacks(f"socket must listen on {address}, and does not: {error}") from error

    @property
    def port(self) -> int:
        """The port in use, which the system chose when port 0 was asked for."""
        return int(self._socket.getsockname()[1])

    def fileno(self) -> int:
        """Return the listening socket's descriptor."""
        return self._socket.fileno()

    def attempt(self) -> socket.socket | None:
        """Accept a caller if there is one."""
        try:
            sock, _ = self._socket.accept()
        except OSError:
            return None
        sock.setblocking(False)
        return sock

    def lost(self) -> None:
        """Do nothing: the next caller is heard anyway."""

    def close(self) -> None:
        """Stop listening and remove the path."""
        if self._socket.fileno() >= 0:
            self._socket.close()
            remove_path(self._address)


def _is_connected(sock: socket.socket) -> bool:
    """Say whether the three-way handshake of ``sock`` is over."""
    try:
        sock.getpeername()
    except OSError:
        return False
    return True
