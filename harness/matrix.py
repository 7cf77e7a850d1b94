# SPDX-License-Identifier: BSD-3-Clause
"""``hilnic matrix``: the checks over kernels, interrupt modes and numbers of CPUs, and one table of how they came out.

igb takes a queue pair for each CPU, eight at most, and one pair where it has no MSI-X; so a cell is a kernel, a mode
and a number of CPUs. In the usual cell (MSI-X, four CPUs) every check runs, in others those whose marks allow it
(``one_queue``, ``four_queues``).
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.compare import judge
from harness.errors import UsageError
from harness.report.results import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from harness.report.terminal import Progress

BACKPORTS = "linux-image-amd64/trixie-backports"
KERNELS = ("", BACKPORTS)
"""The packages that are tried by default: the guest's own and the newest that Debian 13 has."""

MODES = ("msix", "msi", "intx")
CPUS = (1, 2, 4, 8)
USUAL_CPUS = 4
MOST_QUEUES = 8
USUAL_MARK = "*"
VERDICTS = ("held", "broken", "not run", "not comparable", "waived")


@dataclass(frozen=True, slots=True)
class Cell:
    """One guest: a kernel package ("" is the default), an interrupt mode, and how many CPUs it has."""

    kernel: str
    mode: str
    cpus: int

    @property
    def queues(self) -> int:
        """How many queue pairs igb takes (igb_init_queue_configuration, igb_set_interrupt_capability)."""
        return min(self.cpus, MOST_QUEUES) if self.mode == "msix" else 1

    @property
    def name(self) -> str:
        """A name for a folder."""
        package = re.sub(r"[^\w.-]+", "_", self.kernel) or "default"
        return f"{package}-{self.mode}-{self.cpus}"

    def command(self, report: Path, options: Sequence[str]) -> list[str]:
        """Return the command that judges it."""
        argv = [sys.executable, "-m", "harness.cli", "run", "--report", str(report)]
        argv += ["--irq", self.mode, "--smp", str(self.cpus)]
        argv += ["--kernel", self.kernel] if self.kernel else []
        return [*argv, *options]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a cell came out: claims by verdict, those that broke, and the kernel that really ran."""

    cell: Cell
    release: str
    counts: Mapping[str, int]
    broken: tuple[str, ...]
    status: ExitStatus
    seconds: float


def cells(kernels: Sequence[str], modes: Sequence[str], cpus: Sequence[int]) -> list[Cell]:
    """Return the cells: a mode with one queue pair is tried with the usual number of CPUs alone, if that is asked for.

    Raises UsageError for a mode or a number that cannot be.
    """
    for mode in modes:
        if mode not in MODES:
            raise UsageError(f"--irq must name some of {', '.join(MODES)}, not {mode!r}")
    for number in cpus:
        if number < 1:
            raise UsageError(f"--smp must name numbers from 1 on, not {number}")
    single = [USUAL_CPUS] if USUAL_CPUS in cpus else list(cpus[:1])
    return [
        Cell(kernel, mode, number)
        for kernel in kernels
        for mode in modes
        for number in (cpus if mode == "msix" else single)
    ]


def shard(chosen: Sequence[Cell], part: str) -> list[Cell]:
    """Return every Nth cell from the Ith on for ``part`` "I/N", all for "". Raises UsageError."""
    if not part:
        return list(chosen)
    match = re.fullmatch(r"([0-9]+)/([0-9]+)", part)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard must look like 2/4, the first number at most the second, not {part!r}")
    return list(chosen[int(match[1]) - 1 :: int(match[2])])


def read(cell: Cell, found: Mapping[str, Any]) -> Outcome:
    """Return what the results.json of a cell's run says."""
    judged = [claim for claim in found["claims"] if claim["selected"]]
    counts = Counter(claim["verdict"] for claim in judged)
    broken = tuple(claim["id"] for claim in judged if claim["verdict"] == "broken")
    release = str(found["facts"].get("kernel", ""))
    return Outcome(cell, release, counts, broken, ExitStatus(found["exit_status"]), float(found.get("seconds", 0.0)))


def run(chosen: Sequence[Cell], options: Sequence[str], folder: Path, progress: Progress) -> Iterator[Outcome]:
    """Judge one cell after the other; each report lies in ``folder`` under the cell's name."""
    for cell in chosen:
        progress.start(cell.name)
        report = folder / cell.name
        outcome = read(cell, judge(cell.command(report, options), report, lambda line: progress.stage(line.strip())))
        progress.finish(f"  {line(outcome)}")
        yield outcome


def line(outcome: Outcome) -> str:
    """Return the row of a cell."""
    cell = outcome.cell
    usual = USUAL_MARK if (cell.mode, cell.cpus) == ("msix", USUAL_CPUS) else " "
    numbers = "".join(f"{outcome.counts.get(verdict, 0):>{len(verdict) + 2}}" for verdict in VERDICTS)
    broken = f"  {', '.join(outcome.broken)}" if outcome.broken else ""
    shape = f"{outcome.release:26}{cell.mode:6}{cell.cpus:>4}{cell.queues:>8}{usual}"
    return f"{shape}{numbers}{outcome.seconds:>7.0f} s{broken}"


def table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield the lines of the table."""
    heads = "".join(f"{verdict:>{len(verdict) + 2}}" for verdict in VERDICTS)
    yield f"  {'kernel':26}{'irq':6}{'CPUs':>4}{'queues':>8} {heads}{'time':>9}  broken"
    yield from (f"  {line(outcome)}" for outcome in outcomes)
    yield f"  {USUAL_MARK} the usual shape, where every check runs; elsewhere those that can do without it"


def status(outcomes: Sequence[Outcome]) -> ExitStatus:
    """Return the worst of the cells: broken before incomplete before held."""
    order = (ExitStatus.HOLDS, ExitStatus.LACKS, ExitStatus.USAGE, ExitStatus.BROKEN)
    return max((outcome.status for outcome in outcomes), key=order.index, default=ExitStatus.HOLDS)


def sentence(outcomes: Sequence[Outcome]) -> str:
    """Say in one sentence how the matrix came out."""
    whole = sum(outcome.status is ExitStatus.HOLDS for outcome in outcomes)
    mark = {ExitStatus.HOLDS: "OK", ExitStatus.BROKEN: "BROKEN"}.get(status(outcomes), "INCOMPLETE")
    return f"{mark}: every must-claim that was judged held in {whole} of {len(outcomes)} cells."


def as_json(outcomes: Sequence[Outcome]) -> str:
    """Return the cells as a JSON list of {kernel, irq, cpus, queues, verdicts, broken, status}."""
    return json.dumps(
        [
            {
                "kernel": outcome.release,
                "irq": outcome.cell.mode,
                "cpus": outcome.cell.cpus,
                "queues": outcome.cell.queues,
                "verdicts": dict(outcome.counts),
                "broken": list(outcome.broken),
                "status": outcome.status.value,
            }
            for outcome in outcomes
        ],
        indent=1,
    )
