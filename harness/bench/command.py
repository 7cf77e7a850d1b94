# SPDX-License-Identifier: BSD-3-Clause
"""``hilnic bench``: open a lab, measure, print the table and save it, even if the run broke half-way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from guest_images.errors import EnvironmentLacks as SetUpLacks
from guest_images.errors import UsageError as SetUpUsage
from harness.bench.bars import means
from harness.bench.bench import Bench, Plan, line
from harness.bench.environment import environment
from harness.bench.figures import cpu_table, table, write
from harness.errors import EnvironmentLacks, UsageError
from harness.opening import open_lab

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.bench.figures import Row
    from harness.lab import Lab
    from harness.report.terminal import Progress
    from harness.soak.command import SoakRequest


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
