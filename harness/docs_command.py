# SPDX-License-Identifier: BSD-3-Clause
"""The verb ``docs``: write the generated pages, or say which are stale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import docs, run
from harness.console import complain
from harness.report.results import ExitStatus
from harness.verb import Verb, epilogue

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from harness.report.terminal import Progress


def declare(verb: argparse.ArgumentParser) -> None:
    """Declare the options."""
    verb.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a page is stale")


def command(arguments: argparse.Namespace, _progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """Write the pages, or with ``--check`` say which are stale."""
    root = run.CHECKS.parent.parent
    pages = docs.pages(root, run.CHECKS)
    if arguments.check:
        old = docs.stale(root, pages)
        for page in old:
            complain(f"{page.path} must be what hilnic docs writes, and is stale")
        return ExitStatus.BROKEN if old else ExitStatus.HOLDS
    for path in docs.regenerate(root, pages):
        say(f"wrote {path}")
    return ExitStatus.HOLDS


VERB = Verb(
    "docs",
    "regenerate the generated pages",
    "Regenerate docs/claims.md and docs/registers.md.",
    declare,
    command,
    epilogue("the pages are written or fresh", "with --check: a page is stale"),
)
