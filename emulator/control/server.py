# SPDX-License-Identifier: BSD-3-Clause
"""The control socket: JSON lines over a unix stream socket, served between two packets by the card's own loop.

A request is one line, ``{"id": 1, "command": "describe"}`` with the arguments beside; its answer is one line,
``{"id": 1, "ok": true, "result": …}`` or ``{"id": 1, "ok": false, "error": "sentence"}``.
"""

from __future__ import annotations

import json
import logging
import select
import socket
from typing import TYPE_CHECKING, Any

from device_model.nic import FaultError
from emulator.control.arguments import CommandError
from emulator.control.commands import Commands
from emulator.errors import EnvironmentLacks, UsageError
from emulator.recorder import Recorder
from emulator.wires.address import Address, bound_socket, remove_path

if TYPE_CHECKING:
    from emulator.control.card import ControlledCard
    from emulator.recorder import EventLog

log = logging.getLogger(__name__)

LINE_MAX = 4 << 20
"""Longest request in bytes; whoever sends more has lost the framing."""

UNREAD_MAX = 16 << 20
"""Bytes of answers that may wait for a slow reader before it is dropped."""

READ_SIZE = 1 << 16


class _Client:
    """One connection: what has come of a line, and what has not gone of the answers."""

    __slots__ = ("incoming", "outgoing", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.incoming = bytearray()
        self.outgoing = bytearray()


class ControlServer:
    """Serves ``card`` at unix socket ``path``; ``recorder`` keeps its events.

    ``ready`` does a bounded piece of work and never blocks. Raises UsageError for a path that cannot be a socket's,
    EnvironmentLacks when the system refuses.
    """

    def __init__(self, path: str, card: ControlledCard, recorder: EventLog | None = None) -> None:
        self.recorder: EventLog = recorder or Recorder(card.nic)
        self._commands = Commands(card, self.recorder)
        self._address = Address(path=path)
        if not path:
            raise UsageError("path of the control socket must not be empty")
        self._listener = bound_socket(self._address, socket.SOCK_STREAM)
        try:
            self._listener.listen(16)
        except OSError as error:
            self._listener.close()
            raise EnvironmentLacks(f"control socket must listen at {path}, and does not: {error}") from error
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._clients: dict[int, _Client] = {}

    def filenos(self) -> list[int]:
        """Return the descriptors to wait for: one, which is readable while there is anything to do."""
        return [] if self._epoll.closed else [self._epoll.fileno()]

    @property
    def connected(self) -> bool:
        """Whether a client is there."""
        return bool(self._clients)

    def ready(self, fd: int) -> None:  # noqa: ARG002 - there is only one
        """Serve whoever has something for us or room for our answers."""
        if self._epoll.closed:
            return
        for descriptor, what in self._epoll.poll(0):
            if descriptor == self._listener.fileno():
                self._welcome()
                continue
            client = self._clients.get(descriptor)
            if client is None:
                continue
            if what & select.EPOLLOUT:
                self._flush(client)
            if descriptor in self._clients and what & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                self._read(client)

    def close(self) -> None:
        """Hang up on everybody, remove the socket and stop observing the NIC."""
        if self._epoll.closed:
            return
        for client in list(self._clients.values()):
            self._drop(client, None)
        self._epoll.close()
        self._listener.close()
        remove_path(self._address)
        self.recorder.close()

    def _welcome(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        self._clients[sock.fileno()] = _Client(sock)
        self._epoll.register(sock, select.EPOLLIN)

    def _read(self, client: _Client) -> None:
        try:
            data = client.sock.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(client, None)
            return
        searched = len(client.incoming)
        client.incoming += data
        while (end := client.incoming.find(b"\n", searched)) >= 0:
            line = bytes(client.incoming[:end])
            del client.incoming[: end + 1]
            searched = 0
            if line.strip():
                client.outgoing += self._answer(line, client)
            if client.sock.fileno() not in self._clients:
                return
            if len(client.outgoing) > UNREAD_MAX:
                self._drop(client, f"it left more than {UNREAD_MAX} bytes of answers unread")
                return
        lost = len(client.incoming) > LINE_MAX
        if lost:
            client.outgoing += _failure(None, f"a line must have at most {LINE_MAX} bytes")
        self._flush(client)
        if lost and client.sock.fileno() in self._clients:
            self._drop(client, "its line was too long")

    def _answer(self, line: bytes, client: _Client) -> bytes:
        """Return the answer to one request, whatever it holds."""
        try:
            request = json.loads(line)
        except (ValueError, RecursionError) as error:
            return _failure(None, f"request must be one line of JSON: {error}")
        if not isinstance(request, dict):
            return _failure(None, f"request must be a JSON object, not {type(request).__name__}")
        number = request.pop("id", None)
        try:
            result = self._commands.run(request.pop("command", None), request, client)
            return _line({"id": number, "ok": True, "result": result})
        except (CommandError, FaultError, UsageError) as error:
            return _failure(number, str(error))
        except Exception as error:  # a mistake of ours must not take the card from its guest
            log.exception("control command failed: %s", line[:200])
            return _failure(number, f"the card failed to do this: {type(error).__name__}: {error}")

    def _flush(self, client: _Client) -> None:
        if client.outgoing:
            try:
                sent = client.sock.send(client.outgoing)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._drop(client, None)
                return
            del client.outgoing[:sent]
        if client.sock.fileno() not in self._clients:
            return  # dropped while the card stood in the middle of its request
        self._epoll.modify(client.sock, select.EPOLLIN | (select.EPOLLOUT if client.outgoing else 0))

    def _drop(self, client: _Client, why: str | None) -> None:
        if why is not None:
            log.warning("control client dropped: %s", why)
        self._clients.pop(client.sock.fileno(), None)
        self._epoll.unregister(client.sock)
        self._commands.left(client)
        client.sock.close()


def _failure(number: object, error: str) -> bytes:
    return _line({"id": number, "ok": False, "error": error})


def _line(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"
