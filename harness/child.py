# SPDX-License-Identifier: BSD-3-Clause
"""A program this harness started: it dies with its parent, and its output is kept for the error message."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Self

from harness.errors import EnvironmentLacks, LabBroken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness.deadline import Deadline

TAIL_BYTES = 4096


def dies_with_parent(argv: Sequence[str]) -> tuple[str, ...]:
    """Return ``argv`` started through setpriv (util-linux), so that the kernel kills it when our thread ends."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise EnvironmentLacks("setpriv must be on PATH: apt-get install util-linux")
    return (setpriv, "--pdeathsig", "KILL", "--", *argv)


class Child:
    """One running program; its standard output and error go to ``log``.

    ``name`` is used in messages. ``fds`` stay open in the child under the same numbers.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        *,
        fds: Sequence[int] = (),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.argv = tuple(argv)
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            try:
                self._process = subprocess.Popen(
                    dies_with_parent(argv),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=tuple(fds),
                    env=None if env is None else {**os.environ, **env},
                    cwd=cwd,
                    process_group=0,  # Ctrl-C is ours: we end what we started, in our order
                )
            except OSError as error:
                raise EnvironmentLacks(f"{name} must be startable, but {argv[0]}: {error.strerror}") from error

    @property
    def pid(self) -> int:
        """Process id of the program (setpriv replaces itself by it)."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the program has not ended."""
        return self._process.poll() is None

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal, None while it runs."""
        return self._process.poll()

    def tail(self) -> str:
        """Return the last 4 KiB of what the program printed."""
        try:
            return self.log.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip()
        except FileNotFoundError:
            return ""

    def obituary(self) -> str:
        """Return the sentence that says how the program ended and what it said last."""
        said = self.tail() or "nothing"
        return f"{self.name} ended with status {self.status}; it said: {said}"

    def must_run(self) -> None:
        """Raise LabBroken with the program's last words if it has ended."""
        if not self.running:
            raise LabBroken(self.obituary())

    def wait_ended(self, deadline: Deadline) -> int:
        """Wait for the end by itself; return the exit status. Raises LabBroken at the deadline."""
        try:
            return self._process.wait(timeout=deadline.remaining)
        except subprocess.TimeoutExpired as error:
            raise LabBroken(f"{self.name} must end within {deadline.seconds:g} s, but it runs") from error

    def stop(self, grace_s: float = 3.0) -> None:
        """Ask the program to end (SIGTERM), and kill it ``grace_s`` later."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(timeout=grace_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def kill(self) -> None:
        """End the program at once."""
        if self.running:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
