# SPDX-License-Identifier: BSD-3-Clause
"""The verb ``matrix``: its options, and what it prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import matrix
from harness.errors import UsageError
from harness.verb import RUN_EPILOGUE, Verb

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from harness.report.results import ExitStatus
    from harness.report.terminal import Progress


def declare(verb: argparse.ArgumentParser) -> None:
    """Add the options."""
    verb.add_argument(
        "--kernels",
        default=",".join(matrix.KERNELS),
        metavar="LIST",
        help="Debian kernel packages; an empty one is the default; default: %(default)r",
    )
    verb.add_argument("--irq", default=",".join(matrix.MODES), metavar="LIST", help="default: %(default)s")
    verb.add_argument(
        "--smp", default=",".join(map(str, matrix.CPUS)), metavar="LIST", help="numbers of CPUs; default: %(default)s"
    )
    verb.add_argument("--shard", default="", metavar="I/N", help="only every Nth cell from the Ith on")
    verb.add_argument("--all", action="store_true", help="all claims that have a check, not just those that must hold")
    verb.add_argument("--accel", default="auto", choices=("auto", "tcg", "kvm"), help="as for run")
    verb.add_argument("--report", type=Path, default=Path("build/matrix"), metavar="DIR", help="default: %(default)s")
    verb.add_argument("--json", type=Path, default=None, metavar="FILE", help="the table as data")


def command(arguments: argparse.Namespace, progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """Run the cells, print the table, write it as data if asked to."""
    cells = matrix.cells(listed(arguments.kernels), listed(arguments.irq), listed(arguments.smp, int))
    options = [f"--accel={arguments.accel}", *(["--all"] if arguments.all else [])]
    try:
        outcomes = list(
            matrix.run(matrix.shard(cells, arguments.shard), options, arguments.report.absolute(), progress)
        )
    finally:
        progress.close()
    for line in matrix.table(outcomes):
        say(line)
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(matrix.as_json(outcomes), encoding="utf-8")
    say(matrix.sentence(outcomes))
    return matrix.status(outcomes)


def listed(text: str, convert: Callable[[str], Any] = str) -> list[Any]:
    """Return the parts of a list with commas; UsageError names one that cannot be read."""
    parts = []
    for part in text.split(","):
        try:
            parts.append(convert(part.strip()))
        except ValueError as error:
            raise UsageError(f"a list with commas must hold numbers, not {part!r}") from error
    return parts


VERB = Verb(
    "matrix",
    "run the checks over kernels, interrupt modes and numbers of CPUs",
    "Run the checks once for each kernel, interrupt mode and number of CPUs, and print one table.",
    declare,
    command,
    RUN_EPILOGUE,
)
