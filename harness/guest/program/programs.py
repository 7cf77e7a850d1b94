# SPDX-License-Identifier: BSD-3-Clause
"""Calls that start, pin and end programs."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from typing import Any


class Programs:
    """Each public method is one call."""

    def __init__(self) -> None:
        self._children: dict[int, tuple[subprocess.Popen[bytes], Any, Any]] = {}

    def run(self, argv: list[str], seconds: float, stdin: str = "") -> dict[str, Any]:
        """Run a program to its end."""
        try:
            done = subprocess.run(argv, input=stdin.encode(), capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            return {"rc": None, "out": "", "err": f"still running after {seconds} s"}
        out = done.stdout.decode("utf-8", "replace")
        return {"rc": done.returncode, "out": out, "err": done.stderr.decode("utf-8", "replace")}

    def spawn(self, argv: list[str], on: list[int] | None = None) -> int:
        """Start a program on CPUs ``on`` (default: all); the answer is its process id."""
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed when reaped
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        os.sched_setaffinity(child.pid, range(os.cpu_count() or 1) if on is None else on)
        self._children[child.pid] = (child, out, err)
        return child.pid

    def reap(self, pid: int, seconds: float) -> dict[str, Any]:
        """Wait for a spawned program; ``rc`` is None when it still runs."""
        child, out, err = self._children[pid]
        try:
            rc: int | None = child.wait(seconds)
        except subprocess.TimeoutExpired:
            rc = None
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
        if rc is not None:
            del self._children[pid]
            out.close()
            err.close()
        return {"rc": rc, "out": texts[0], "err": texts[1]}

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        """Send a signal to a spawned program and its group."""
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            return

    def pin(self, pid: int, cpus: list[int]) -> None:
        """Pin a process."""
        os.sched_setaffinity(pid, cpus)

    def end_programs(self) -> int:
        """Kill every spawned program; return how many there were."""
        count = len(self._children)
        for pid in list(self._children):
            self.kill(pid)
            self.reap(pid, 5.0)
        return count
