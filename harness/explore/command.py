# SPDX-License-Identifier: BSD-3-Clause
"""``hilnic explore``: other legal orders of write-backs and interrupts, and the smallest that a driver cannot bear."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from harness.emulator import CardOptions
from harness.errors import UsageError
from harness.explore.explorer import Explorer
from harness.explore.moves import move_of, text_of
from harness.opening import open_lab, own_folder
from harness.options import engine_option, lab_options, module_option
from harness.report.results import ExitStatus
from harness.verb import Verb, epilogue

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from harness.explore.schedule import Schedule
    from harness.report.terminal import Progress

FOLDER = Path("build/run/explore")


def declare(verb: argparse.ArgumentParser) -> None:
    """Declare the options."""
    verb.add_argument("--schedules", type=int, default=50, metavar="N", help="how many to try; default: %(default)s")
    verb.add_argument("--seed", type=int, default=1, metavar="N", help="number of the first; default: %(default)s")
    verb.add_argument(
        "--move", action="append", default=[], metavar="TEXT", help="run just these moves, as a finding names them"
    )
    verb.add_argument(
        "--times",
        type=int,
        default=5,
        metavar="N",
        help="with --move: runs at most, until one does harm; default: %(default)s",
    )
    engine_option(verb)
    module_option(verb)
    verb.add_argument(
        "--json", type=Path, default=Path("build/explore.json"), metavar="FILE", help="default: %(default)s"
    )
    lab_options(verb)


def command(arguments: argparse.Namespace, progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """Explore as the options ask for. BROKEN if some schedule does harm."""
    if arguments.schedules < 1 or arguments.seed < 0:
        raise UsageError(
            f"--schedules must be 1 or more and --seed 0 or more, not {arguments.schedules} and {arguments.seed}"
        )
    if arguments.times < 1:
        raise UsageError(f"--times must be 1 or more, not {arguments.times}")
    moves = tuple(move_of(text) for text in arguments.move)
    try:
        progress.start("opening the lab")
        with open_lab(
            own_folder(FOLDER.absolute()),
            accelerator=arguments.accel,
            kernel=arguments.kernel,
            cpus=arguments.smp,
            default=CardOptions(engine=arguments.engine),
            say=progress.stage,
            module=arguments.module,
        ) as lab:
            progress.start("exploring")
            explorer = Explorer(lab, progress.stage)
            if moves:
                owed = explorer.repeat(moves, arguments.times).owed
                found: dict[str, object] = {"moves": arguments.move, "runs": explorer.runs, "owed": owed}
            else:
                finding = explorer.explore(arguments.seed, arguments.schedules)
                owed = finding.owed if finding else ()
                found = {"first": arguments.seed, "schedules": arguments.schedules, "runs": explorer.runs}
                if finding:
                    moves = finding.smallest
                    found |= {"seed": finding.seed, "found": _texts(finding.found)}
                    found |= {"moves": _texts(moves), "owed": owed}
    finally:
        progress.close()
    for seed, sentences in explorer.once:
        say(f"schedule {seed} did harm once and not again, which may be the machine: {'; '.join(sentences)}")
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if not owed:
        say(f"no harm: the driver did its work in {explorer.runs} runs with {explorer.acted} moves; {arguments.json}")
        return ExitStatus.HOLDS
    if "seed" in found:
        say(f"schedule {found['seed']} does harm; the smallest that does, after {explorer.runs} runs:")
    for move in moves:
        say(f"  {text_of(move)}")
        for rule in move.rules():
            say(f"    {rule}")
    for sentence in owed:
        say(f"  then {sentence}")
    again = " ".join(f"--move '{text_of(move)}'" for move in moves)
    say(f"again: hilnic explore {again}; {arguments.json}")
    return ExitStatus.BROKEN


def _texts(schedule: Schedule) -> list[str]:
    return [text_of(move) for move in schedule]


VERB = Verb(
    "explore",
    "try other legal orders of write-backs and interrupts on a driver",
    "Run a fixed workload under schedules chosen by seed, and find the smallest that does harm.",
    declare,
    command,
    epilogue("no schedule did harm", "one did"),
)
