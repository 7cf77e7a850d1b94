# SPDX-License-Identifier: BSD-3-Clause
"""What a verb of the command line is: its words, its options, what it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from harness.report.results import ExitStatus
    from harness.report.terminal import Progress

RUN_EPILOGUE = """\
exit status:
  0  every must-claim (P0) of the run holds
  1  a must-claim is broken, or has neither a check nor a waiver
  2  the command is wrong
  3  the machine lacks something or the lab broke, so that a must-claim could not be judged
  130  interrupted
"""


def epilogue(holds: str, broken: str = "", lacks: str = "the machine lacks something, or the lab broke") -> str:
    """Return what ``--help`` ends with: the meaning of each exit status."""
    lines = ["exit status:", f"  0  {holds}", *([f"  1  {broken}"] if broken else [])]
    return "\n".join([*lines, "  2  the command is wrong", f"  3  {lacks}", "  130  interrupted", ""])


def _never(_arguments: argparse.Namespace) -> bool:
    return False


def always(_arguments: argparse.Namespace) -> bool:
    """Return True: standard output is for the answers, whatever was asked."""
    return True


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: ``declare`` adds its options; ``command`` gets them, a progress, and where lines go (standard output).

    ``beside`` says whether standard output has something else to carry, so that progress goes to standard error.
    """

    name: str
    help: str
    description: str
    declare: Callable[[argparse.ArgumentParser], None]
    command: Callable[[argparse.Namespace, Progress, Callable[[str], None]], ExitStatus]
    epilog: str = ""
    beside: Callable[[argparse.Namespace], bool] = _never
