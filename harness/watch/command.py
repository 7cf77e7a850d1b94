# SPDX-License-Identifier: BSD-3-Clause
"""``hilnic watch``: judge a driver again each time that it is built, and show what has changed."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from harness.errors import LabBroken, UsageError
from harness.guest.driver import DriverFile
from harness.opening import materials
from harness.options import engine_option, lab_options
from harness.report.results import ExitStatus
from harness.verb import Verb
from harness.watch.ready import WAITS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from harness.report.terminal import Progress

LOOK_S = 0.05
SETTLED_LOOKS = 3
"""A file that is the same in so many looks has been written to its end."""

PREPARE_S = 120.0
END_S = 20.0
OUTCOMES = ("passed", "failed", "lab broken", "skipped")
Stamp = tuple[int, int, int]


def declare(verb: argparse.ArgumentParser) -> None:
    """Declare the options."""
    verb.add_argument("--module", type=Path, required=True, metavar="FILE", help="the igb.ko that you build")
    verb.add_argument("-k", default="", metavar="EXPR", dest="expression", help="only checks that match, as in pytest")
    verb.add_argument("--claims", default="", metavar="IDS", help="only checks of these claims, such as RSS-03,NAPI-02")
    engine_option(verb)
    verb.add_argument("--runs", type=int, default=0, metavar="N", help="end after so many; default: at Ctrl-C")
    verb.add_argument("--report", type=Path, default=Path("build/watch"), metavar="DIR", help="default: %(default)s")
    lab_options(verb)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run: seconds from the driver's being there to the first verdict, each claim's verdict and reason.

    ``unjudged`` says why a claim was not judged; empty if all were.
    """

    first_s: float
    verdicts: dict[str, tuple[str, str]]
    unjudged: str = ""


class Prepared:
    """A run in a process of its own whose guest waits for the driver. Leaving the context ends it."""

    def __init__(self, words: Sequence[str], report: Path) -> None:
        self._report = report
        ours, theirs = os.pipe()
        (report / "results.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", "harness.cli", "run", *words, "--report", str(report), "--go-fd", str(ours)]
        self._go = theirs
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=(ours,), text=True, bufsize=1
        )
        os.close(ours)
        self._said: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._go)
        try:
            self._process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def wait_ready(self) -> None:
        """Wait until nothing but the driver is missing. Raises LabBroken with the run's last words if it ends first."""
        deadline = time.monotonic() + PREPARE_S
        for line in self._lines(deadline):
            if WAITS in line:
                return
        raise LabBroken(f"the run must come to wait for the driver, but: {''.join(self._said[-12:]).strip()}")

    def judge(self, show: Callable[[str], None]) -> Outcome:
        """Let the run take the driver, and return what it found; each check's line is shown as it comes."""
        began = time.monotonic()
        first = 0.0
        os.write(self._go, b"g")
        for line in self._lines(None):
            if line.strip().startswith(OUTCOMES):
                first = first or time.monotonic() - began
                show(line.rstrip())
        self._process.wait()
        results = self._report / "results.json"
        if not results.is_file():
            raise LabBroken(f"the run must end with results, but: {''.join(self._said[-12:]).strip()}")
        table: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
        verdicts = {claim["id"]: (claim["verdict"], _reason(claim)) for claim in table["claims"] if claim["checks"]}
        judged = {name: told for name, told in verdicts.items() if told[0] != "not run"}
        unjudged = [reason for verdict, reason in verdicts.values() if verdict == "not run"]
        return Outcome(first, judged, unjudged[0] if unjudged else "")

    def _lines(self, deadline: float | None) -> Sequence[str] | Any:  # noqa: ANN401 - a generator of lines
        stream: IO[str] | None = self._process.stdout
        assert stream is not None
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while deadline is None or selector.select(max(0.0, deadline - time.monotonic())):
                line = stream.readline()
                if not line:
                    return
                self._said.append(line)
                yield line


def command(arguments: argparse.Namespace, _progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """Judge the driver now and after each change, until interrupted or ``--runs`` are done."""
    if arguments.runs < 0:
        raise UsageError(f"--runs must be 0 or more, not {arguments.runs}")
    release = materials(arguments.kernel).image.kernel_release
    module: Path = arguments.module.absolute()
    DriverFile.read(module).must_fit(release)
    words = ["--module", str(module), f"--accel={arguments.accel}", f"--smp={arguments.smp}"]
    for option, value in (("-k", arguments.expression), ("--claims", arguments.claims)):
        words += [option, value] if value else []
    words += [f"--engine={arguments.engine}"] if arguments.engine else []
    words += [f"--kernel={arguments.kernel}"] if arguments.kernel else []
    seen: Stamp | None = None
    before: Outcome | None = None
    done = 0
    while True:
        with Prepared(words, arguments.report.absolute()) as run:
            run.wait_ready()
            if seen is not None:
                say(f"watching {module}; Ctrl-C ends")
            seen = wait_changed(module, seen)
            try:
                driver = DriverFile.read(module)
                driver.must_fit(release)
            except UsageError as error:
                say(f"not judged: {error}")
                continue
            say(f"{time.strftime('%H:%M:%S')}  {driver}")
            outcome = run.judge(say)
        for line in difference(before, outcome):
            say(line)
        before = outcome
        done += 1
        if arguments.runs and done >= arguments.runs:
            if not outcome.verdicts:
                return ExitStatus.LACKS
            broken = any(verdict == "broken" for verdict, _ in outcome.verdicts.values())
            return ExitStatus.BROKEN if broken else ExitStatus.HOLDS


def wait_changed(path: Path, seen: Stamp | None) -> Stamp:
    """Return the stamp of ``path`` once it is another than ``seen`` and stays so for a while.

    This waits for a person, so it has no deadline; Ctrl-C ends it.
    """
    looks: list[Stamp | None] = []
    with selectors.DefaultSelector() as nothing:
        while True:
            now = stamp(path)
            looks = [*looks, now][-SETTLED_LOOKS:]
            if now is not None and now != seen and looks == [now] * SETTLED_LOOKS:
                return now
            nothing.select(LOOK_S)


def stamp(path: Path) -> Stamp | None:
    """Return what tells one version of a file from another; None while there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def difference(before: Outcome | None, now: Outcome) -> list[str]:
    """Return the lines that say what a run found, against the run before."""
    if not now.verdicts:
        return [f"no claim was judged: {now.unjudged}"]
    held = sum(verdict == "held" for verdict, _ in now.verdicts.values())
    lines = [f"{held} of {len(now.verdicts)} claims held; first verdict after {now.first_s:.1f} s"]
    for claim, (verdict, reason) in now.verdicts.items():
        old = before.verdicts.get(claim, ("", ""))[0] if before else ""
        if before is not None and verdict != old:
            lines.append(f"  {claim}: {old or 'new'} → {verdict}{f'  {reason}' if reason else ''}")
        elif before is None and verdict == "broken":
            lines.append(f"  {claim}: broken  {reason}")
    if before is not None and len(lines) == 1:
        lines.append("  nothing changed since the last run")
    return lines


def _reason(claim: dict[str, Any]) -> str:
    reasons = [check["reason"] for check in claim["checks"] if check["reason"] and check["outcome"] != "passed"]
    return " ".join(reasons[0].split())[:140] if reasons else ""


VERB = Verb(
    "watch",
    "judge a driver again each time that it is built",
    "Wait for an igb.ko to change, judge it in a guest that is ready, and show what has changed.",
    declare,
    command,
)
