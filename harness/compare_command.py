# SPDX-License-Identifier: BSD-3-Clause
"""The verb ``compare``: its options, and what it prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness import compare
from harness.console import complain
from harness.options import chosen, json_beside, lab_options
from harness.verb import Verb, epilogue

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from harness.report.results import ExitStatus
    from harness.report.terminal import Progress


def declare(verb: argparse.ArgumentParser) -> None:
    """Declare the options."""
    verb.add_argument("--peer", default=compare.PEERS[0], choices=compare.PEERS, help="default: %(default)s")
    verb.add_argument("-k", default="", metavar="EXPR", dest="expression", help="only checks that match")
    verb.add_argument("--claims", default="", metavar="IDS", help="these claims; default: those of the area DEV")
    verb.add_argument("--all", action="store_true", help="every claim that has a check")
    verb.add_argument("--json", default="", metavar="FILE", help="save the rows; - writes them to standard output")
    verb.add_argument("--report", type=Path, default=Path("build/compare"), metavar="DIR", help="default: %(default)s")
    lab_options(verb)


def command(arguments: argparse.Namespace, progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """Judge both cards, print the table, write it as data if asked to."""
    request = compare.CompareRequest(
        peer=arguments.peer,
        claim_ids=tuple(claim.id for claim in chosen(arguments.claims)),
        expression=arguments.expression,
        every_claim=arguments.all,
        accelerator=arguments.accel,
        kernel=arguments.kernel,
        smp=arguments.smp,
    )
    try:
        found = compare.compare(request, arguments.report.absolute(), progress)
    finally:
        progress.close()
    for line in ("", *compare.table(found, request.peer), "", compare.sentence(found)):
        (complain if json_beside(arguments) else say)(line)
    if json_beside(arguments):
        say(compare.as_json(found))
    elif arguments.json:
        path = Path(arguments.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(compare.as_json(found) + "\n", encoding="utf-8")
    return compare.status(found)


VERB = Verb(
    "compare",
    "judge the same claims on our card and on QEMU's own igb",
    "Run checks on both cards, each in a guest of its own; see docs/comparison.md.",
    declare,
    command,
    epilogue(
        "our card holds every claim, and every departure of severity H that the peer is expected to fail is told apart",
        "our card breaks a claim, or such a departure cannot be told",
        "the machine lacks something or the lab broke, so that one of these could not be judged",
    ),
    json_beside,
)
