# SPDX-License-Identifier: BSD-3-Clause
"""The verb ``replay``: a card run on a bundle, without QEMU."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from harness.bundle.archive import Bundle
from harness.bundle.lines import ReplayLines
from harness.card import Card
from harness.child import Child
from harness.deadline import Deadline, wait_until
from harness.debug.card_lines import Finished
from harness.debug.lines import talk
from harness.emulator import READY, READY_S, REPOSITORY
from harness.errors import LabBroken, UsageError
from harness.options import engine_option
from harness.report.results import ExitStatus
from harness.verb import Verb, epilogue

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from harness.report.terminal import Progress

PATIENCE_S = 3600.0
"""A replay may take so long to the next event at which it is to stand."""

END_S = 5.0
PROMPT = "replay> "
ENVIRONMENT = {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}


def declare(verb: argparse.ArgumentParser) -> None:
    """Declare the options."""
    verb.add_argument("bundle", type=Path, metavar="BUNDLE", help="what a failed check or record wrote")
    verb.add_argument(
        "--until", type=int, metavar="N", help="stand still at event N, counted from 0, and look at the card"
    )
    verb.add_argument("--card", type=int, metavar="N", help="which card of the bundle; default: the last")
    engine_option(verb, "the one that the bundle was written by")


def command(arguments: argparse.Namespace, _progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """Replay as the options ask for. BROKEN if the card does something else."""
    if arguments.until is not None and arguments.until < 0:
        raise UsageError(f"--until must be the number of an event, from 0 on, not {arguments.until}")
    bundle = Bundle.read(arguments.bundle)
    with tempfile.TemporaryDirectory(prefix="hilnic-") as made:
        folder = Path(made)
        card = arguments.card if arguments.card is not None else max(bundle.cards, default=0)
        log = bundle.extract(card, folder)
        argv = [sys.executable, "-m", "emulator.bundle", str(log)]
        argv += ["--engine", arguments.engine] if arguments.engine else []
        if arguments.until is None:
            status = subprocess.run(argv, env={**os.environ, **ENVIRONMENT}, check=False).returncode
            return _meaning(status)
        return _look(argv, arguments.until, folder, say)


def _look(argv: list[str], until: int, folder: Path, say: Callable[[str], None]) -> ExitStatus:
    """Run to event ``until`` and carry out what is typed."""
    control = folder / "control"
    argv = [*argv, "--until", str(until), "--control", str(control)]
    with Child("the replay", argv, folder / "replay.log", env=ENVIRONMENT) as child:

        def ready() -> bool:
            return not child.running or READY in child.log.read_bytes()

        wait_until(ready, Deadline.after(READY_S), "the replay being ready")
        failed = 0
        if child.running:
            try:
                with Card(control, PATIENCE_S) as card:
                    lines = ReplayLines(card)
                    say(lines.where())
                    failed = talk(lines, _typed(), say)
            except (Finished, LabBroken):
                pass
        return _ended(child, failed, say)


def _ended(child: Child, failed: int, say: Callable[[str], None]) -> ExitStatus:
    """Tell what the replay has said, if it has ended by itself, and stop it otherwise."""
    try:
        status = child.wait_ended(Deadline.after(END_S if _said(child) else 0.0))
    except LabBroken:
        return ExitStatus.BROKEN if failed else ExitStatus.HOLDS
    for line in _said(child):
        if status == ExitStatus.USAGE.value:
            raise UsageError(line.removeprefix("hilnic: "))
        say(line)
    meaning = _meaning(status)
    return ExitStatus.BROKEN if failed and meaning is ExitStatus.HOLDS else meaning


def _said(child: Child) -> list[str]:
    return [line for line in child.log.read_text(errors="replace").splitlines() if READY.decode() not in line]


def _typed() -> Iterator[str]:
    """Yield the lines of standard input, with a prompt where somebody types."""
    if not sys.stdin.isatty():
        yield from iter(sys.stdin.readline, "")
        return
    while True:
        try:
            yield input(PROMPT)
        except EOFError:
            return


def _meaning(status: int) -> ExitStatus:
    if status == 0:
        return ExitStatus.HOLDS
    if status == ExitStatus.USAGE.value:
        return ExitStatus.USAGE
    if status in (-2, 130):
        raise KeyboardInterrupt
    return ExitStatus.BROKEN if status == 1 else ExitStatus.LACKS


VERB = Verb(
    "replay",
    "run the card on a bundle again, without QEMU",
    "Run the card on what a bundle holds: it must give every answer, DMA write, frame and interrupt again.",
    declare,
    command,
    epilogue("the card does the same, byte for byte", "it does something else, or a line was refused"),
)
