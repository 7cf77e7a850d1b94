# SPDX-License-Identifier: BSD-3-Clause
"""The verb ``record``: a session with guest and card that becomes a bundle."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from harness import run
from harness.bundle import archive
from harness.deadline import Deadline
from harness.debug.command import hold, opened
from harness.errors import UsageError
from harness.options import chosen, engine_option, fault_option, lab_options, module_option
from harness.report.results import ExitStatus
from harness.verb import Verb, epilogue

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from harness.report.terminal import Progress

BUNDLE = Path("build/bundle.zip")
REPORT = Path("build/run/record")
COMMAND_S = 120.0


def declare(verb: argparse.ArgumentParser) -> None:
    """Declare the options."""
    verb.add_argument(
        "guest", nargs="*", metavar="WORD", help="a command for the guest; without any, a session as of debug"
    )
    verb.add_argument("--claims", default="", metavar="IDS", help="record the checks of these claims instead")
    verb.add_argument("--bundle", type=Path, default=BUNDLE, metavar="FILE", help="default: %(default)s")
    engine_option(verb)
    module_option(verb)
    fault_option(verb)
    lab_options(verb)


def command(arguments: argparse.Namespace, progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """Record as the options ask for."""
    file: Path = arguments.bundle.absolute()
    archive.make_room(file)
    claims = ",".join(claim.id for claim in chosen(arguments.claims))
    if claims and arguments.guest:
        raise UsageError(
            f"either claims or a command must be recorded, not {claims} and {shlex.join(arguments.guest)!r}"
        )
    if claims:
        status = _checks(arguments, claims, file)
    else:
        with opened(arguments, progress) as lab:
            if arguments.guest:
                deadline = Deadline.after(COMMAND_S)
                done = lab.bound.guest.run(shlex.join(arguments.guest), check=False, deadline=deadline)
                for line in (*done.stdout.splitlines(), *done.stderr.splitlines()):
                    say(line)
                status = ExitStatus.HOLDS if done.rc == 0 else ExitStatus.BROKEN
            else:
                status = hold(lab, None, say)
    if file.stat().st_size:
        say(f"{file}: {file.stat().st_size:,} bytes; hilnic replay {arguments.bundle}")
    return status


def _checks(arguments: argparse.Namespace, claims: str, file: Path) -> ExitStatus:
    return run.run(
        run.RunRequest(
            report=REPORT.absolute(),
            claim_ids=claims,
            accelerator=arguments.accel,
            kernel=arguments.kernel,
            smp=arguments.smp,
            engine=arguments.engine,
            module=arguments.module.absolute() if arguments.module else None,
            faults=tuple(arguments.fault),
            record=file,
        )
    )


VERB = Verb(
    "record",
    "make a bundle of a session, a command or checks",
    "Take down all that comes to the card and all that it does, and make one file of it that can be replayed.",
    declare,
    command,
    epilogue("recorded", "recorded, and the command or a check failed"),
)
