# SPDX-License-Identifier: BSD-3-Clause
"""The verb ``mutants``: its options, which mutants they choose, and what it prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness import mutants
from harness.engine_build import read_mistakes
from harness.errors import UsageError
from harness.opening import materials
from harness.options import engine_option, lab_options
from harness.report.results import ExitStatus
from harness.spec import catalogue
from harness.verb import Verb, epilogue

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from harness.report.terminal import Progress
    from harness.spec.catalogue import Catalogue


MISTAKES = "engine.toml"
"""Beside the tables: for claims whose mutant patches what the native engine does in C, a mistake there."""


def declare(verb: argparse.ArgumentParser) -> None:
    """Add the options."""
    verb.add_argument("-k", default="", metavar="TEXT", dest="expression", help="only claims or faults with this text")
    verb.add_argument("--table", type=Path, default=Path("tests/mutants"), help="default: %(default)s")
    engine_option(verb, "python")
    verb.add_argument("--report", type=Path, default=Path("build/mutants"), help="default: %(default)s")
    lab_options(verb)


def command(arguments: argparse.Namespace, progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """Try the chosen mutants; HOLDS if each was killed and no must-claim lacks one."""
    book = catalogue.load()
    table = mutants.read_table(arguments.table)
    for claim_id in table.claim_ids:
        book.get(claim_id)
    chosen = choose(arguments, book, table, say)
    options = [f"--accel={arguments.accel}", f"--smp={arguments.smp}"]
    options += [f"--kernel={arguments.kernel}"] if arguments.kernel else []
    options += [f"--engine={arguments.engine}"] if arguments.engine else []

    mistakes = read_mistakes(arguments.table / MISTAKES) if arguments.engine == "native" else {}
    for mistake in mistakes.values():
        mistake.text()  # before the first guest is booted
    report = arguments.report.absolute()

    def attempt(mutant: mutants.Mutant) -> tuple[mutants.Fate, str]:
        progress.start(f"{mutant.claim_id} {mutant.function}")
        mistake = mistakes.get(mutant.claim_id)
        engine = mistake.build(report / "engines") if mistake else None
        return mutants.try_mutant(mutant, report, options, engine)

    try:
        fates = mutants.try_mutants(chosen, attempt, progress.finish)
    finally:
        progress.close()
    killed = sum(fate is mutants.Fate.KILLED for fate in fates.values())
    say(f"{killed} of {len(fates)} mutants killed; what each run said is in {arguments.report}")
    must = [claim.id for claim in book if claim.priority.value == "P0" and not claim.waived]
    missing = [claim_id for claim_id in must if claim_id not in table.claim_ids]
    if missing and not arguments.expression:
        say(f"{len(missing)} must-claims have no mutant: {', '.join(missing)}")
        return ExitStatus.BROKEN
    return ExitStatus.HOLDS if killed == len(fates) else ExitStatus.BROKEN


def choose(
    arguments: argparse.Namespace, book: Catalogue, table: mutants.Table, say: Callable[[str], None]
) -> list[mutants.Mutant]:
    """Return the mutants with the text that was asked for whose claims speak of the guest's kernel."""
    text = arguments.expression.lower()
    release = materials(arguments.kernel).image.kernel_release
    matching = [mutant for mutant in table.mutants if text in f"{mutant.claim_id} {mutant.function}".lower()]
    chosen = [mutant for mutant in matching if book.get(mutant.claim_id).kernels.admits(release)]
    foreign = [mutant.claim_id for mutant in matching if mutant not in chosen]
    if foreign:
        say(f"left out, since they speak of other kernels than {release}: {', '.join(foreign)}")
    if not chosen:
        raise UsageError(f"-k must match a claim or a fault of {arguments.table}, not {arguments.expression!r}")
    return chosen


VERB = Verb(
    "mutants",
    "prove that the checks can fail",
    "For each claim load a deliberate fault into the card and expect the claim's check to go red.",
    declare,
    command,
    epilogue("every mutant was killed", "a mutant survived or was not judged, or a must-claim has none"),
)
