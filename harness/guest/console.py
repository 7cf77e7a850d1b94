# SPDX-License-Identifier: BSD-3-Clause
"""The guest's serial console, read line by line by pexpect, watched for the kernel's cries."""

from __future__ import annotations

import contextlib
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pexpect
from pexpect import fdpexpect

from harness.errors import GuestFault, LabBroken

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from harness.deadline import Deadline

FAULTS = tuple(
    re.compile(pattern)
    for pattern in (
        r"Kernel panic - not syncing",
        r"\bOops\b",
        r"\bBUG\b[: ]",
        r"kernel BUG at",
        r"general protection fault",
        r"WARNING: ",
        r"INFO: task .* blocked for more than",
        r"INFO: possible recursive locking|possible circular locking|inconsistent lock state|suspicious RCU usage",
        r"rcu: INFO: .*stall|detected stalls on CPUs",
        r"soft lockup|hard LOCKUP",
        r"nobody cared|Disabling IRQ #",
        r"exceeding its budget|hw csum failure|NETDEV WATCHDOG|Detected Tx Unit Hang",
        r"PCIe link lost|page allocation failure|list_(add|del) corruption|UBSAN:|KASAN:|DMA-API:",
        r"unregister_netdevice: waiting for|scheduling while atomic|invoked oom-killer|segfault at",
    )
)
LAST_LINE = re.compile(r"---\[ end (trace|Kernel panic)|</TASK>")
REPORT_LINES = 120
COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\x00")
POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Fault:
    """One cry of the kernel: the number of its first line."""

    line: int
    text: str


class Console:
    """Reads the console to its end in a thread of its own, into ``log`` and into memory.

    A line that looks like a kernel fault makes every later ``check`` raise GuestFault with the text, unless it was
    expected when it came.
    """

    def __init__(self, line: socket.socket, log: Path) -> None:
        self._spawn = fdpexpect.fdspawn(line.fileno(), encoding="utf-8", codec_errors="replace", timeout=POLL_S)
        self._file = log.open("a", encoding="utf-8")
        self._spawn.logfile_read = self._file
        self._lines: list[str] = []
        self._faults: list[Fault] = []
        self._expected: list[re.Pattern[str]] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._ended = False
        self._thread = threading.Thread(target=self._read, name="console", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        patterns = self._spawn.compile_pattern_list(["\n", pexpect.TIMEOUT, pexpect.EOF])
        while not self._stopping:
            try:
                found = self._spawn.expect_list(patterns)
            except (OSError, ValueError):
                break
            if found == 0:
                self._take(COLOURS.sub("", self._spawn.before or ""))
                self._file.flush()
            elif found == 2:
                break
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self, line: str) -> None:
        with self._changed:
            number = len(self._lines)
            self._lines.append(line)
            if any(pattern.search(line) for pattern in FAULTS) and not self._allowed(line):
                self._faults.append(Fault(number, line))
            self._changed.notify_all()

    def _allowed(self, line: str) -> bool:
        return any(pattern.search(line) for pattern in self._expected)

    @property
    def lines(self) -> tuple[str, ...]:
        """Every line so far."""
        with self._changed:
            return tuple(self._lines)

    def mark(self) -> int:
        """Return the number of lines so far."""
        with self._changed:
            return len(self._lines)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Every unexpected fault so far."""
        with self._changed:
            return tuple(self._faults)

    def check(self, since: int = 0) -> None:
        """Raise GuestFault with the console's text if the kernel has cried since line ``since``."""
        with self._changed:
            faults = [fault for fault in self._faults if fault.line >= since]
            if not faults:
                return
            text = self._report(faults[0].line)
        raise GuestFault(f"the guest's kernel must be quiet, but it said:\n{text}")

    def _report(self, line: int) -> str:
        taken = []
        for text in self._lines[max(0, line - 2) : line + REPORT_LINES]:
            taken.append(text)
            if len(taken) > 3 and LAST_LINE.search(text):
                break
        return "\n".join(taken)

    def forgive(self) -> None:
        """Forget the faults so far: whoever judged them has done so."""
        with self._changed:
            self._faults.clear()

    @contextlib.contextmanager
    def expecting(self, *patterns: str) -> Iterator[None]:
        """Take lines that match one of ``patterns`` (searched, as regular expressions) for part of the plan."""
        compiled = [re.compile(pattern) for pattern in patterns]
        with self._changed:
            self._expected.extend(compiled)
        try:
            yield
        finally:
            with self._changed:
                for pattern in compiled:
                    self._expected.remove(pattern)

    def wait_line(self, pattern: str, deadline: Deadline, since: int = 0) -> str:
        """Wait for a line after number ``since`` that matches; a fault or the end of the console ends the wait."""
        wanted = re.compile(pattern)

        def found() -> str | None:
            return next((line for line in self._lines[since:] if wanted.search(line)), None)

        def settled() -> bool:
            return found() is not None or self._ended or any(fault.line >= since for fault in self._faults)

        with self._changed:
            self._changed.wait_for(settled, deadline.remaining)
            line = found()
            ended = self._ended
        if line is not None:
            return line
        self.check(since)
        why = "the console ended" if ended else f"it did not within {deadline.seconds:g} s"
        raise LabBroken(f"the guest must print a line like {pattern!r}, but {why}; last lines:\n{self.last()}")

    def last(self, count: int = 20) -> str:
        """Return the last lines."""
        with self._changed:
            return "\n".join(self._lines[-count:])

    def send(self, text: str) -> None:
        """Type ``text`` on the console."""
        self._spawn.send(text)

    def close(self) -> None:
        """Stop reading; the log file is whole."""
        self._stopping = True
        self._thread.join(POLL_S * 4)
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
