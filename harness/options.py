# SPDX-License-Identifier: BSD-3-Clause
"""Options that several verbs have, and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from guest_images.errors import UsageError as KernelError
from guest_images.own_kernel import PACKAGE_START, SEPARATOR, own_kernel
from harness.emulator import ENGINES
from harness.errors import UsageError
from harness.sanitizer import MODES
from harness.spec import catalogue

if TYPE_CHECKING:
    import argparse

    from harness.spec.catalogue import Claim

REPORT = Path("build/report")


def lab_options(verb: argparse.ArgumentParser) -> None:
    """Add which guest it is to be."""
    verb.add_argument(
        "--kernel", default="", metavar="PACKAGE|FILE", help="the guest's: a Debian kernel package, or a bzImage"
    )
    verb.add_argument(
        "--modules", default="", metavar="DIR", help="modules of that bzImage: a build tree, or installed"
    )
    verb.add_argument(
        "--accel", default="auto", choices=("auto", "tcg", "kvm"), help="default: kvm where guests run in it"
    )
    verb.add_argument("--smp", type=int, default=4, metavar="N", help="virtual CPUs of the guest; default: %(default)s")


def engine_option(verb: argparse.ArgumentParser, default: str = "native") -> None:
    """Add what runs the card."""
    verb.add_argument("--engine", default="", choices=ENGINES, help=f"what runs the card; default: {default}")


def module_option(verb: argparse.ArgumentParser) -> None:
    """Add whose driver it is to be."""
    verb.add_argument("--module", type=Path, metavar="FILE", help="an igb.ko instead of the guest's own")


def doorbells_option(verb: argparse.ArgumentParser) -> None:
    """Add how the card learns of doorbells."""
    verb.add_argument(
        "--doorbells", default="", choices=("trap", "mmap"), help="how the card learns of them; default: trap"
    )


def fault_option(verb: argparse.ArgumentParser) -> None:
    """Add what the card is to do wrong."""
    verb.add_argument(
        "--fault", action="append", default=[], metavar="TEXT", help="of the card, as 'hold_interrupts vector=3'"
    )


def sanitize_option(verb: argparse.ArgumentParser) -> None:
    """Add whether the driver's DMA is watched."""
    verb.add_argument(
        "--sanitize",
        nargs="?",
        default="",
        const=MODES[0],
        choices=MODES,
        metavar="MODE",
        help=f"hold the driver to its DMA mappings: {' or '.join(MODES)}; without MODE: {MODES[0]}",
    )


def last_report(verb: argparse.ArgumentParser) -> None:
    """Add where the last run's report is."""
    verb.add_argument(
        "--report", type=Path, default=REPORT, metavar="DIR", help="of the last run; default: %(default)s"
    )


def json_beside(arguments: argparse.Namespace) -> bool:
    """Return whether standard output is for ``--json -`` alone."""
    return bool(arguments.json == "-")


def card_words(arguments: argparse.Namespace, *names: str) -> tuple[str, ...]:
    """Return those of the options ``names`` that were given, as words for the card's own command line."""
    values = {f"--{name.replace('_', '-')}": getattr(arguments, name) for name in names}
    return tuple(word for option, value in values.items() if value for word in (option, value))


def chosen(text: str) -> list[Claim]:
    """Return the claims of a list with commas. Raises UsageError for one that there is not."""
    book = catalogue.load()
    return [book.get(part.strip().upper()) for part in text.split(",") if part.strip()]


def join_kernel(arguments: argparse.Namespace) -> None:
    """Make one word of a kernel and its modules, as guest_images.own_kernel reads it; paths become absolute."""
    kernel, modules = getattr(arguments, "kernel", ""), getattr(arguments, "modules", "")
    if kernel and not kernel.startswith(PACKAGE_START):
        arguments.kernel = str(Path(kernel).absolute())
    elif modules:
        raise UsageError(f"--modules must come with --kernel and a bzImage, not with {kernel or 'the usual kernel'!r}")
    if modules:
        arguments.kernel += f"{SEPARATOR}{Path(modules).absolute()}"
    try:
        own_kernel(arguments.kernel if kernel else "")
    except KernelError as error:
        raise UsageError(str(error)) from error
