# SPDX-License-Identifier: BSD-3-Clause
"""``python -m emulator.bundle LOG``: run a card on the log of another, and say whether it does the same."""

from __future__ import annotations

import argparse
import logging
import mmap
import select
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.bundle.entries import FIRST_OUTCOME, Kind, entries
from emulator.bundle.reader import Difference
from emulator.bundle.replay import Replay
from emulator.control import ControlServer
from emulator.errors import UsageError, WorldError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.bundle.reader import Reader

AROUND = 8
"""Entries that are shown before a difference."""

NS_PER_S = 1_000_000_000


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    made = argparse.ArgumentParser(prog="python -m emulator.bundle", description=__doc__, allow_abbrev=False)
    made.add_argument("log", type=Path, metavar="LOG", help="what --bundle-log wrote")
    made.add_argument("--engine", default="", metavar="NAME", help="native or python (default: the one that wrote it)")
    made.add_argument("--until", type=int, metavar="N", help="stand still at event N, counted from 0")
    made.add_argument(
        "--control", type=Path, metavar="PATH", help="unix socket for those who look at the card while it stands"
    )
    return made


def mapped(path: Path) -> memoryview:
    """Return the bytes of the file at ``path``."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if not size:
                return memoryview(b"")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise UsageError(f"a log must be a file that can be read, not {str(path)!r}: {error.strerror}") from error
    return memoryview(data)


def replay(given: argparse.Namespace, undo: ExitStack) -> int:
    """Replay; 1 if the card does something else."""
    if (given.until is None) != (given.control is None):
        raise UsageError("--until must come with --control, and --control with --until")
    if given.until is not None and given.until < 0:
        raise UsageError(f"--until must be the number of an event, from 0 on, not {given.until}")
    run = undo.enter_context(Replay(mapped(given.log), given.engine))
    if given.until is not None:
        run.stand_at(given.until)
        controls = ControlServer(str(given.control), run.card, run.events)
        undo.callback(controls.close)
        run.card.rules.halt.served_by(controls, None)
        print(f"hilnic: ready control={given.control}", flush=True)
        while not controls.connected:
            for fd in select.select(controls.filenos(), (), ())[0]:
                controls.ready(fd)
    began = time.monotonic()
    try:
        account = run.run()
    except Difference as difference:
        for line in told(run.log, difference):
            print(line)
        return 1
    if given.until is not None and not run.stood:
        raise UsageError(f"--until must be the number of an event of the bundle, 0 to {run.events.next - 1}")
    seconds = time.monotonic() - began
    print(
        f"the card does the same, byte for byte: {account.steps} steps, {account.size} bytes, "
        f"{account.card_ns / NS_PER_S:.2f} s of its time in {seconds:.2f} s ({run.engine}; recorded by "
        f"{run.log.header.engine})"
    )
    for line in missing(run.log):
        print(line)
    return 0


def missing(log: Reader) -> Iterator[str]:
    """Yield what a log does not hold."""
    if not log.closed:
        yield "the log was not closed, as when a card is killed: it was followed up to its last whole step"
    if log.lost_steps:
        yield f"the log was full: {log.lost_steps} more steps, {log.lost_bytes} bytes, were not kept"


def told(log: Reader, difference: Difference) -> Iterator[str]:
    """Yield where the card and its log part, and what comes before that."""
    here = log.number_of(difference.expected.at)
    near = [e for e in entries(log.data, log.start) if here - AROUND <= e.number <= here]
    expected = next((e.text() for e in near if e.number == here), f"{here:>6} end")
    yield f"the card does something else than the log has, in step {log.steps}, at entry {here}:"
    for entry in near:
        if entry.number < here:
            yield f"           {entry.text()}"
    yield f"  log has  {expected}"
    found = difference.found
    if found is None:
        yield "  card did nothing more in this step"
        return
    wants = found.kind is Kind.DMA_READ
    text = (
        f"  DMA read of {int.from_bytes(found.body[8:16], 'little')} bytes at {_address(found.body)}" if wants else ""
    )
    yield f"  card did {here:>6} {text or found.text()[7:]}"
    if FIRST_OUTCOME <= difference.expected.kind == found.kind and not wants and found.body != difference.expected.body:
        yield f"  first different byte: {_parting(difference.expected.body, found.body)}"


def _address(body: bytes) -> str:
    return hex(int.from_bytes(body[:8], "little"))


def _parting(one: bytes, other: bytes) -> str:
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return f"{at}, {left:#04x} in the log, {right:#04x} now"
    return f"none; the lengths are {len(one)} and {len(other)}"


def main(arguments: list[str] | None = None) -> int:
    """Replay, and turn errors into one sentence and an exit status."""
    given = parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="hilnic: %(levelname)s %(name)s: %(message)s")
    with ExitStack() as undo:
        try:
            return replay(given, undo)
        except UsageError as error:
            print(f"hilnic: {error}", file=sys.stderr)
            return 2
        except (WorldError, OSError) as error:
            print(f"hilnic: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130


if __name__ == "__main__":
    sys.exit(main())
