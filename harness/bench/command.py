# SPDX-License-Identifier: BSD-3-Clause
"""``hilnic bench``: open a lab, measure, print the table and save it, even if the run broke half-way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from guest_images.errors import EnvironmentLacks as SetUpLacks
from guest_images.errors import UsageError as SetUpUsage
from harness.bench.bars import means
from harness.bench.bench import Bench, Plan, line
from harness.bench.environment import environment
from harness.bench.figures import cpu_table, table, write
from harness.errors import EnvironmentLacks, UsageError
from harness.opening import open_lab
from harness.options import card_words, doorbells_option, engine_option, lab_options
from harness.report.results import ExitStatus
from harness.verb import Verb

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from harness.bench.figures import Row
    from harness.lab import Lab
    from harness.report.terminal import Progress
    from harness.soak.command import SoakRequest

FOLDER = Path("build/bench")


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """What one run is to measure, in which lab, and where it goes; logs lie in ``folder``."""

    plan: Plan
    json: Path
    folder: Path
    accelerator: str = "auto"
    kernel: str = ""
    smp: int = 4


def bench(request: BenchRequest, progress: Progress, say: Callable[[str], None]) -> None:
    """Measure; lines go to ``say``. Raises UsageError or a WorldError, after printing and saving what there was."""
    if request.smp < 1:
        raise UsageError(f"--smp must be 1 or more, not {request.smp}")
    rows: list[Row] = []

    def done(found: list[Row]) -> None:
        rows.extend(found)
        progress.finish("\n".join(line(row) for row in found))

    try:
        with opened(request, progress) as lab:
            around = environment(lab)
            try:
                Bench(lab, request.plan, request.folder, progress.start, done).run()
            finally:
                rows.extend(means(rows))
                if rows:
                    from harness.bench import page  # noqa: PLC0415 - it draws, and loads what draws

                    write(rows, around, request.json)
                    page.write(rows, around, request.json.with_suffix(".html"))
    finally:
        progress.close()
        if rows:
            where = (f"{name:12} {value}" for name, value in around.items())
            for text in ("", *table(rows), "", *cpu_table(rows), "", *where):
                say(text)
            say(f"{'saved in':12} {request.json}, drawn in {request.json.with_suffix('.html')}")


def opened(request: BenchRequest | SoakRequest, progress: Progress) -> Lab:
    """Open the lab of ``request``; what set-up lacks ends in the command's own errors."""
    progress.start("opening the lab")
    try:
        return open_lab(
            request.folder / "start",
            accelerator=request.accelerator,
            kernel=request.kernel,
            cpus=request.smp,
            say=progress.stage,
        )
    except SetUpLacks as error:
        raise EnvironmentLacks(str(error)) from error
    except SetUpUsage as error:
        raise UsageError(str(error)) from error


def declare(verb: argparse.ArgumentParser) -> None:
    """Declare the options."""
    verb.add_argument("-k", default="", metavar="TEXT", dest="expression", help="only workloads with this text")
    verb.add_argument("--rounds", type=int, default=3, metavar="N", help="samples of each; default: %(default)s")
    verb.add_argument("--json", type=Path, default=FOLDER / "bench.json", metavar="FILE", help="default: %(default)s")
    engine_option(verb)
    doorbells_option(verb)
    verb.add_argument("--least-gap", default="", metavar="US", help="between two messages of our card; default: auto")
    verb.add_argument("--threads", default="", metavar="N", help="that carry our card's packets; default: 1")
    verb.add_argument(
        "--pause",
        default="obeyed",
        choices=("ignored", "obeyed"),
        help="how our card's far end takes pause frames; default: obeyed, since QEMU's wires hold a sender back, too",
    )
    lab_options(verb)


def command(arguments: argparse.Namespace, progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """Measure as the options ask for."""
    card = card_words(arguments, "engine", "doorbells", "least_gap", "threads", "pause")
    request = BenchRequest(
        plan=Plan(arguments.rounds, arguments.expression, card),
        json=arguments.json,
        folder=FOLDER.absolute(),
        accelerator=arguments.accel,
        kernel=arguments.kernel,
        smp=arguments.smp,
    )
    bench(request, progress, say)
    return ExitStatus.HOLDS


VERB = Verb(
    "bench",
    "measure the card against QEMU's own igb",
    "Measure our card and QEMU's own igb in one guest, in turns; see docs/benchmarks.md.",
    declare,
    command,
)
