# SPDX-License-Identifier: BSD-3-Clause
"""What a run says in a terminal: who is running now, then the table of claims with their verdicts."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

from harness.claims import State
from harness.report.results import ExitStatus, Verdict, is_must

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.report.results import CheckResult, ClaimResult, RunResult


class Terminal(Protocol):
    """Where lines go. ``rewrite`` replaces the line at the cursor and may be a no-op where that cannot be."""

    @property
    def is_tty(self) -> bool:
        """Whether a line can be rewritten in place."""

    def line(self, text: str) -> None:
        """Write one whole line."""

    def rewrite(self, text: str) -> None:
        """Replace the line at the cursor by ``text`` and stay on it."""


class Progress:
    """Says what is running: every second in place on a TTY, else in plain lines at 2, 10, 30 s and then each minute."""

    def __init__(self, terminal: Terminal, now: Callable[[], float] = time.monotonic) -> None:
        """Write to ``terminal``; ``now`` is a clock in seconds."""
        self._terminal = terminal
        self._now = now
        self._lock = threading.Lock()
        self._label = ""
        self._stage = ""
        self._started = 0.0
        self._next_s = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, label: str) -> None:
        """Begin a piece of work called ``label``."""
        with self._lock:
            self._label, self._stage, self._started = label, "", self._now()
            self._next_s = 1.0 if self._terminal.is_tty else 2.0
        if self._thread is None:
            self._thread = threading.Thread(target=self._beat, name="progress", daemon=True)
            self._thread.start()

    def stage(self, text: str) -> None:
        """Say what the piece of work is doing now, such as "booting the guest"; shown with the next beat."""
        with self._lock:
            self._stage = text

    def finish(self, line: str) -> None:
        """End the piece of work with one line that stays."""
        with self._lock:
            self._label = ""
            if self._terminal.is_tty:
                self._terminal.rewrite("")
            self._terminal.line(line)

    def close(self) -> None:
        """End the thread that beats."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def beat(self) -> None:
        """Write a line if one is due."""
        with self._lock:
            elapsed = self._now() - self._started
            if not self._label or elapsed < self._next_s:
                return
            text = f"  … {self._label}  {elapsed:.0f} s" + (f"  {self._stage}" if self._stage else "")
            if self._terminal.is_tty:
                self._next_s = elapsed + 1.0
                self._terminal.rewrite(text)
            else:
                self._next_s = next((due for due in (10.0, 30.0) if due > elapsed), elapsed + 60.0)
                self._terminal.line(text)

    def _beat(self) -> None:
        while not self._stop.wait(0.5):
            self.beat()


def table(run: RunResult) -> Iterator[str]:
    """Yield the lines of the final table: chapters, a line for each selected claim, and why one did not hold."""
    chapter = ""
    for result in run.claims:
        if not result.selected or (result.verdict is Verdict.NOT_RUN and not result.checks):
            continue
        if result.chapter != chapter:
            chapter = result.chapter
            yield ""
            yield chapter
        claim = result.claim
        yield f"  {result.verdict.value:8}{claim.id:8} {claim.priority.value}  {claim.title}{_seconds(result)}"
        if result.verdict in {Verdict.BROKEN, Verdict.NOT_RUN} and result.reason:
            yield f"             {_one_line(result.reason)}"
            yield from (f"             {path}" for check in result.checks for path in _bundles(check))
    if run.problems:
        yield ""
        yield "Claims without an account"
        yield from (f"  {problem}" for problem in run.problems)


def summary(run: RunResult, report: str) -> Iterator[str]:
    """Yield what was found, in a few lines, and where to read on."""
    yield ""
    yield sentence(run)
    everywhere = ", ".join(f"{run.count(verdict)} {verdict.value}" for verdict in Verdict)
    todo = sum(result.state in {State.TODO, State.UNACCOUNTED} for result in run.claims)
    yield f"All claims of this run: {everywhere} ({todo} of the catalogue's {len(run.claims)} still have no check)."
    if run.facts:
        yield "Environment: " + "; ".join(f"{key} {_one_line(str(value))}" for key, value in sorted(run.facts.items()))
    yield f"Report: {report}"


def sentence(run: RunResult) -> str:
    """Say in one sentence how the must-claims fared."""
    must = [result for result in run.claims if result.selected and is_must(result.claim)]
    held = run.count(Verdict.HELD, must_only=True)
    lead = f"{held} of {len(must)} must-claims held"
    broken = [result.claim.id for result in must if result.verdict is Verdict.BROKEN]
    not_run = [result.claim.id for result in must if result.verdict is Verdict.NOT_RUN and result.checks]
    waived = [result.claim.id for result in must if result.verdict is Verdict.WAIVED]
    parts = [lead]
    parts += [f"broken: {_names(broken)}"] if broken else []
    parts += [f"could not be judged: {_names(not_run)}"] if not_run else []
    parts += [f"waived: {_names(waived)}"] if waived else []
    parts += [f"{len(run.problems)} claims without an account"] if run.problems else []
    mark = {ExitStatus.HOLDS: "OK", ExitStatus.BROKEN: "BROKEN"}.get(run.exit_status, "INCOMPLETE")
    return f"{mark}: {'; '.join(parts)} ({run.seconds:.0f} s)."


def _bundles(check: CheckResult) -> list[str]:
    return [artefact.path for artefact in check.artefacts if artefact.path.endswith(".zip")]


def _names(ids: list[str], most: int = 12) -> str:
    return ", ".join(ids[:most]) + (f" and {len(ids) - most} more" if len(ids) > most else "")


def _seconds(result: ClaimResult) -> str:
    seconds = sum(check.seconds for check in result.checks)
    return f"  ({seconds:.1f} s)" if seconds >= 0.1 else ""


def _one_line(text: str, width: int = 160) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"
