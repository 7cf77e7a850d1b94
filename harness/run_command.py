# SPDX-License-Identifier: BSD-3-Clause
"""The verb ``run``: its options."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness import run
from harness.options import REPORT, chosen, engine_option, fault_option, lab_options, module_option, sanitize_option
from harness.verb import RUN_EPILOGUE, Verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.report.results import ExitStatus
    from harness.report.terminal import Progress


def declare(verb: argparse.ArgumentParser) -> None:
    """Declare the options."""
    verb.add_argument("-k", default="", metavar="EXPR", dest="expression", help="only checks that match, as in pytest")
    verb.add_argument("--claims", default="", metavar="IDS", help="only checks of these claims, such as RSS-03,NAPI-02")
    verb.add_argument("--all", action="store_true", help="all claims that have a check, not just those that must hold")
    verb.add_argument("--report", type=Path, default=REPORT, metavar="DIR", help="default: %(default)s")
    verb.add_argument("--ktap", type=Path, metavar="FILE", help="write the results as KTAP too, for kernel CI")
    verb.add_argument("--trace", action="store_true", help="put a time line of both witnesses around each check")
    verb.add_argument(
        "--no-bundles", action="store_true", help="do not run a check that fails once more to make a bundle of it"
    )
    verb.add_argument("--card-patch", default="", metavar="FILE:FUNC", help="a deliberate fault for the card to load")
    verb.add_argument(
        "--irq", default="", choices=("msix", "msi", "intx"), help="interrupts of the card; default: msix"
    )
    verb.add_argument(
        "--card", default="", choices=("hilnic", "qemu-igb"), help="default: hilnic; the other, to compare"
    )
    engine_option(verb)
    module_option(verb)
    fault_option(verb)
    sanitize_option(verb)
    verb.add_argument(
        "--kernel-config-check",
        action="store_true",
        help="say what the checks need of the kernel, what it lacks and which claims fall away; run nothing",
    )
    verb.add_argument("--go-fd", type=int, help=argparse.SUPPRESS)
    lab_options(verb)


def command(arguments: argparse.Namespace, _progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """Run the checks as the options ask for; pytest's plugin shows the progress."""
    if arguments.kernel_config_check:
        return run.check_config(arguments.kernel, say)
    return run.run(
        run.RunRequest(
            report=arguments.report.absolute(),
            expression=arguments.expression,
            claim_ids=",".join(claim.id for claim in chosen(arguments.claims)),
            accelerator=arguments.accel,
            kernel=arguments.kernel,
            smp=arguments.smp,
            card_patch=arguments.card_patch,
            interrupts=arguments.irq,
            card=arguments.card,
            engine=arguments.engine,
            every_claim=arguments.all,
            ktap=arguments.ktap.absolute() if arguments.ktap else None,
            module=arguments.module.absolute() if arguments.module else None,
            go_fd=arguments.go_fd,
            faults=tuple(arguments.fault),
            trace=arguments.trace,
            sanitize=arguments.sanitize,
            bundles=not arguments.no_bundles and arguments.go_fd is None and arguments.card != "qemu-igb",
        )
    )


VERB = Verb(
    "run",
    "boot a guest on the card and check the claims",
    "Boot a guest on the card, check the claims and write the report.",
    declare,
    command,
    RUN_EPILOGUE,
)
