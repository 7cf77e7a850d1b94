# SPDX-License-Identifier: BSD-3-Clause
"""The command ``hilnic``: its verbs, each from a module of its own, and what ends in which exit status."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, NoReturn

from harness import claims_command, compare_command, docs_command, matrix_command, mutants_command, run_command
from harness.bench import command as bench_command
from harness.bundle import record, replay
from harness.console import Console, complain, say
from harness.debug import command as debug_command
from harness.errors import UsageError, WorldError
from harness.explore import command as explore_command
from harness.options import join_kernel
from harness.report.results import ExitStatus
from harness.report.terminal import Progress
from harness.seeded import command as seeded_command
from harness.soak import command as soak_command
from harness.timeline import command as timeline_command
from harness.top import command as top_command
from harness.verb import RUN_EPILOGUE
from harness.watch import command as watch_command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.verb import Verb

VERBS = (
    run_command.VERB,
    claims_command.CLAIMS,
    claims_command.EXPLAIN,
    mutants_command.VERB,
    watch_command.VERB,
    seeded_command.VERB,
    compare_command.VERB,
    matrix_command.VERB,
    bench_command.VERB,
    soak_command.VERB,
    debug_command.DEBUG,
    debug_command.SHELL,
    top_command.VERB,
    explore_command.VERB,
    record.VERB,
    replay.VERB,
    timeline_command.VERB,
    docs_command.VERB,
)

INTERRUPTED = 130
"""The exit status of a program that SIGINT ended (128 + 2)."""


class Parser(argparse.ArgumentParser):
    """argparse, with one line for an error."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with 2."""
        self.exit(ExitStatus.USAGE.value, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    arguments = parser().parse_args(argv)
    verb: Verb = arguments.verb
    try:
        join_kernel(arguments)
        return verb.command(arguments, Progress(Console(verb.beside(arguments))), say).value
    except (UsageError, WorldError) as error:
        if _interrupted(error):
            return _say_interrupted()
        complain(f"hilnic: error: {error}")
        status = ExitStatus.USAGE if isinstance(error, UsageError) else ExitStatus.LACKS
        return int(status.value)
    except KeyboardInterrupt:
        return _say_interrupted()
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has left, and Python would complain again at exit
        return ExitStatus.HOLDS.value


def _interrupted(error: BaseException | None) -> bool:
    """Say whether an error only came since Ctrl-C cut something short that had to be taken back."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _say_interrupted() -> int:
    complain("hilnic: interrupted; the guest and the card have ended")
    return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = Parser(
        prog="hilnic",
        description="A NIC made of a Python process, a guest with its own driver, and checks of what the guest does.",
        epilog=RUN_EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(required=True, metavar="VERB", parser_class=Parser)
    for verb in VERBS:
        one = verbs.add_parser(
            verb.name,
            help=verb.help,
            description=verb.description,
            epilog=verb.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        verb.declare(one)
        one.set_defaults(verb=verb)
    return top


if __name__ == "__main__":
    sys.exit(main())
