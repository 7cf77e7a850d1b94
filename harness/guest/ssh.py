# SPDX-License-Identifier: BSD-3-Clause
"""Commands in the guest's shell, by paramiko over the management port."""

from __future__ import annotations

import logging
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import paramiko

from harness.deadline import Deadline
from harness.errors import GuestFault, LabBroken

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COMMAND_S = 30.0
ATTEMPT_S = 15.0
PAUSE_S = 0.1
CIPHERS = ("aes128-ctr", "aes256-ctr")
LOG_CHANNEL = "hilnic.ssh"
KEX = ("curve25519-sha256@libssh.org", "ecdh-sha2-nistp256")


class CommandFailedError(GuestFault):
    """A command in the guest must end with status 0, and did not; ``completed`` holds what it said."""

    def __init__(self, completed: Completed) -> None:
        said = (completed.stderr or completed.stdout).strip() or "nothing"
        super().__init__(f"{completed.command!r} must end with status 0, not {completed.rc}; it said: {said}")
        self.completed = completed


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that has ended."""

    command: str
    rc: int
    stdout: str
    stderr: str


class Shell:
    """One ssh session to the guest on a loopback port.

    ``check`` raises if guest or QEMU is known to be dead; it is asked between attempts.
    """

    def __init__(self, port: int, key: Path, check: Callable[[], None], deadline: Deadline) -> None:
        self._check = check
        self._transport = connect(port, key, check, deadline)

    def run(
        self, command: str, *, check: bool = True, deadline: Deadline | None = None, stdin: bytes = b""
    ) -> Completed:
        """Run a shell command to its end. Raises CommandFailedError if ``check`` and the status is not 0."""
        until = deadline or Deadline.after(COMMAND_S)
        try:
            channel = self._transport.open_session(timeout=max(0.1, until.remaining))
            channel.settimeout(max(0.1, until.remaining))
            channel.exec_command(command)
            if stdin:
                channel.sendall(stdin)
            channel.shutdown_write()
            completed = collect(channel, command, until)
        except (paramiko.SSHException, TimeoutError, EOFError, OSError) as error:
            self._check()
            raise LabBroken(f"{command!r} must be run by the guest within {until.seconds:g} s: {error!r}") from error
        if check and completed.rc != 0:
            raise CommandFailedError(completed)
        return completed

    def close(self) -> None:
        """End the session."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(port: int, key: Path, check: Callable[[], None], deadline: Deadline) -> paramiko.Transport:
    """Return an authenticated transport to root at loopback ``port``, trying until the guest's sshd answers."""
    identity = paramiko.Ed25519Key.from_private_key_file(str(key))
    logging.getLogger(LOG_CHANNEL).addHandler(logging.NullHandler())  # a refused attempt is no news: it is repeated
    pause = threading.Event()
    while True:
        try:
            return attempt(port, identity, deadline.sooner(ATTEMPT_S))
        except (paramiko.SSHException, EOFError, OSError) as error:
            check()
            if deadline.passed:
                raise LabBroken(f"the guest must answer ssh within {deadline.seconds:g} s: {error!r}") from error
        pause.wait(min(PAUSE_S, deadline.remaining))


def attempt(port: int, identity: paramiko.PKey, deadline: Deadline) -> paramiko.Transport:
    """Make one attempt; the cheapest algorithms go first, since the guest may be emulated."""
    line = socket.create_connection(("127.0.0.1", port), timeout=max(0.1, deadline.remaining))
    transport = paramiko.Transport(line)
    transport.set_log_channel(LOG_CHANNEL)
    transport.banner_timeout = max(0.5, deadline.remaining)
    options = transport.get_security_options()
    options.ciphers = [name for name in CIPHERS if name in options.ciphers]
    options.kex = [name for name in KEX if name in options.kex]
    try:
        transport.start_client(timeout=max(0.5, deadline.remaining))
        transport.auth_publickey("root", identity)
    except BaseException:
        transport.close()
        raise
    return transport


def collect(channel: paramiko.Channel, command: str, deadline: Deadline) -> Completed:
    """Read both streams to their end, side by side, and the exit status."""
    stderr: list[bytes] = []

    def drain() -> None:
        try:
            while piece := channel.recv_stderr(65536):
                stderr.append(piece)
        except TimeoutError:
            return

    thread = threading.Thread(target=drain, name="ssh-stderr", daemon=True)
    thread.start()
    stdout = []
    while piece := channel.recv(65536):
        stdout.append(piece)
        channel.settimeout(max(0.1, deadline.remaining))
    thread.join(deadline.remaining)
    if not channel.status_event.wait(deadline.remaining):
        raise TimeoutError("no exit status")
    rc = channel.recv_exit_status()
    channel.close()
    return Completed(command, rc, b"".join(stdout).decode(errors="replace"), b"".join(stderr).decode(errors="replace"))
