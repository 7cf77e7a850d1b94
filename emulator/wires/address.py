# SPDX-License-Identifier: BSD-3-Clause
"""Addresses of socket wires: a path names a unix socket, HOST:PORT an internet one."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from dataclasses import dataclass

from emulator.errors import EnvironmentLacks, UsageError

Sockaddr = str | tuple[str | int | bytes, ...]

UNIX_PATH_MAX = 107
"""Longest path of a unix socket in bytes: sun_path less its terminating zero (unix(7))."""

SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
"""asm-generic/socket.h; the socket module does not name them."""

BUFFER_BYTES = 16 << 20
"""Room in the kernel for a burst of some thousand frames each way."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a socket is bound or connected: a path, or a host and a port."""

    path: str | None = None
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path is not None:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Return the address that ``text`` writes: HOST:PORT or [HOST]:PORT when no slash is in it, else a path.

    Raises UsageError for an empty text, a port above 65535 and a path that no unix socket can have.
    """
    host, colon, port = text.rpartition(":")
    if colon and host and "/" not in text and port.isascii() and port.isdigit():
        if int(port) > 0xFFFF:
            raise UsageError(f"port must be 0 to 65535, not {port} (in {text!r})")
        return Address(host=host.removeprefix("[").removesuffix("]"), port=int(port))
    if not text:
        raise UsageError("address must be a path or HOST:PORT, not empty")
    if "\0" in text or len(os.fsencode(text)) > UNIX_PATH_MAX:
        raise UsageError(f"unix socket path must have 1 to {UNIX_PATH_MAX} bytes, none of them zero, not {text!r}")
    return Address(path=text)


def resolve(address: Address, kind: socket.SocketKind) -> tuple[socket.AddressFamily, Sockaddr]:
    """Return the family of ``address`` and what bind() takes. Raises EnvironmentLacks for unknown hosts."""
    if address.path is not None:
        return socket.AF_UNIX, address.path
    try:
        found = socket.getaddrinfo(address.host, address.port, type=kind)
    except OSError as error:
        raise EnvironmentLacks(f"host must be resolvable, and {address.host!r} is not: {error}") from error
    family, _, _, _, sockaddr = found[0]
    return family, sockaddr


def bound_socket(address: Address, kind: socket.SocketKind) -> socket.socket:
    """Return a non-blocking socket bound to ``address``; a socket left at its path is replaced, anything else is kept.

    Raises UsageError when another kind of file is at the path, EnvironmentLacks when the system refuses.
    """
    family, sockaddr = resolve(address, kind)
    if address.path is not None:
        _clear_path(address.path)
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(sockaddr)
    except OSError as error:
        sock.close()
        raise EnvironmentLacks(f"socket must be bindable to {address}, and is not: {error}") from error
    return sock


def _clear_path(path: str) -> None:
    """Remove a socket that an earlier process left at ``path``."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - the path is a string of the user's, kept as written
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise UsageError(f"path of a socket must be free or hold an old socket, and {path!r} holds another file")
    os.unlink(path)  # noqa: PTH108


def remove_path(address: Address) -> None:
    """Remove the path of a socket that we bound; harmless when it is gone."""
    if address.path is not None:
        with contextlib.suppress(OSError):
            os.unlink(address.path)  # noqa: PTH108


def widen_buffers(sock: socket.socket, size: int = BUFFER_BYTES) -> None:
    """Ask for ``size`` bytes of kernel buffer each way, beyond the system's limit where we may, else up to it."""
    for force, plain in ((SO_SNDBUFFORCE, socket.SO_SNDBUF), (SO_RCVBUFFORCE, socket.SO_RCVBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, size)
        except OSError:
            sock.setsockopt(socket.SOL_SOCKET, plain, size)
