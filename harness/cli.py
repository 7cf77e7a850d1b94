# SPDX-License-Identifier: BSD-3-Clause
"""The command ``hilnic``: run the checks, read the claims, try mutants, compare, measure, soak, write the pages."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from guest_images.errors import UsageError as KernelError
from guest_images.own_kernel import PACKAGE_START, SEPARATOR, own_kernel
from harness import claims_command, compare, docs, matrix_command, mutants_command, run
from harness.bench.bench import Plan
from harness.bench.command import BenchRequest, bench
from harness.debug import command as debug_command
from harness.emulator import ENGINES
from harness.errors import UsageError, WorldError
from harness.explore import command as explore_command
from harness.report import terminal
from harness.report.results import ExitStatus
from harness.seeded import command as seeded_command
from harness.soak import command as soak_command
from harness.spec import catalogue
from harness.watch import command as watch_command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.spec.catalogue import Claim

EPILOGUE = """\
exit status:
  0  every must-claim (P0) of the run holds
  1  a must-claim is broken, or has neither a check nor a waiver
  2  the command is wrong
  3  the machine lacks something or the lab broke, so that a must-claim could not be judged
  130  interrupted
"""

OTHER_STATUS = """\
exit status:
  0  {holds}
  1  {broken}
  2  the command is wrong
  3  the machine lacks something
  130  interrupted
"""


COMPARE_EPILOGUE = """\
exit status:
  0  our card holds every claim, and every departure of severity H that the peer is expected to fail is told apart
  1  our card breaks a claim, or such a departure cannot be told
  2  the command is wrong
  3  the machine lacks something or the lab broke, so that one of these could not be judged
"""


SOAK_EPILOGUE = """\
exit status:
  0  every frame was accounted for, no process grew, the kernel did not complain
  2  the command is wrong
  3  one of these does not hold, or the machine lacks something
  130  interrupted
"""


DEBUG_EPILOGUE = """\
exit status:
  0  the session was ended
  1  without a screen: a line was refused or failed
  2  the command is wrong
  3  the machine lacks something, or the lab broke
  130  interrupted
"""


class Parser(argparse.ArgumentParser):
    """argparse, with one line for an error."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with 2."""
        self.exit(ExitStatus.USAGE.value, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


@dataclass(frozen=True, slots=True)
class Console:
    """Standard output as the progress needs it."""

    is_tty: bool
    beside: bool = False
    """Write to standard error: standard output has something else to carry."""

    def line(self, text: str) -> None:
        """Write one whole line."""
        print(text, flush=True, file=sys.stderr if self.beside else sys.stdout)

    def rewrite(self, text: str) -> None:
        """Replace the line at the cursor."""
        print(f"\r\x1b[2K{text}", end="", flush=True, file=sys.stderr if self.beside else sys.stdout)


REPORT = Path("build/report")

INTERRUPTED = 130
"""The exit status of a program that SIGINT ended (128 + 2)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    arguments = parser().parse_args(argv)
    try:
        _join_kernel(arguments)
        status: ExitStatus = arguments.command(arguments)
    except UsageError as error:
        print(f"hilnic: error: {error}", file=sys.stderr)
        return ExitStatus.USAGE.value
    except WorldError as error:
        print(f"hilnic: error: {error}", file=sys.stderr)
        return ExitStatus.LACKS.value
    except KeyboardInterrupt:
        print("hilnic: interrupted; the guest and the card have ended", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has left, and Python would complain again at exit
        return ExitStatus.HOLDS.value
    return status.value


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = Parser(
        prog="hilnic",
        description="A NIC made of a Python process, a guest with its own driver, and checks of what the guest does.",
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(required=True, metavar="VERB", parser_class=Parser)

    runs = verbs.add_parser(
        "run",
        help="boot a guest on the card and check the claims",
        description="Boot a guest on the card, check the claims and write the report.",
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    runs.add_argument("-k", default="", metavar="EXPR", dest="expression", help="only checks that match, as in pytest")
    runs.add_argument("--claims", default="", metavar="IDS", help="only checks of these claims, such as RSS-03,NAPI-02")
    runs.add_argument("--all", action="store_true", help="all claims that have a check, not just those that must hold")
    runs.add_argument("--report", type=Path, default=REPORT, metavar="DIR", help="default: %(default)s")
    runs.add_argument("--ktap", type=Path, metavar="FILE", help="write the results as KTAP too, for kernel CI")
    runs.add_argument("--card-patch", default="", metavar="FILE:FUNC", help="a deliberate fault for the card to load")
    runs.add_argument(
        "--irq", default="", choices=("msix", "msi", "intx"), help="interrupts of the card; default: msix"
    )
    runs.add_argument(
        "--card", default="", choices=("hilnic", "qemu-igb"), help="default: hilnic; the other, to compare"
    )
    runs.add_argument("--engine", default="", choices=ENGINES, help="what runs the card; default: native")
    runs.add_argument("--module", type=Path, metavar="FILE", help="an igb.ko instead of the guest's own")
    _fault_option(runs)
    runs.add_argument("--go-fd", type=int, help=argparse.SUPPRESS)
    _lab_options(runs)
    runs.set_defaults(command=_run)

    lists = verbs.add_parser(
        "claims",
        help="list the claims",
        description="List the claims, where each stands, and what the last run found.",
    )
    lists.add_argument("what", nargs="*", metavar="AREA|ID", help="only these, such as RSS or NAPI-02")
    lists.add_argument("--area", default="", help="only this area, such as RSS")
    lists.add_argument(
        "--json", action="store_true", help="as JSON, with every field; verdict and evidence may be null"
    )
    _last_report(lists)
    lists.set_defaults(command=_claims)

    explains = verbs.add_parser(
        "explain",
        help="explain one claim",
        description="Print one claim in full, how it is checked, and what the last run saw of it.",
    )
    explains.add_argument("claim", metavar="ID", help="such as RSS-03")
    _last_report(explains)
    explains.set_defaults(command=_explain)

    mutates = verbs.add_parser(
        "mutants",
        help="prove that the checks can fail",
        description="For each claim load a deliberate fault into the card and expect the claim's check to go red.",
        epilog=OTHER_STATUS.format(
            holds="every mutant was killed", broken="a mutant survived or was not judged, or a must-claim has none"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    mutants_command.declare(mutates)
    _lab_options(mutates)
    mutates.set_defaults(command=_mutants)

    watches = verbs.add_parser(
        "watch",
        help="judge a driver again each time that it is built",
        description="Wait for an igb.ko to change, judge it in a guest that is ready, and show what has changed.",
    )
    watch_command.declare(watches)
    _lab_options(watches)
    watches.set_defaults(command=_watch)

    seeds = verbs.add_parser(
        "seeded",
        help="prove that the checks catch a driver's bugs",
        description="Sow bugs into igb, build it for the guest, and expect the claims named for each to notice.",
        epilog=OTHER_STATUS.format(
            holds="every bug was caught, and the driver without any holds", broken="a bug was missed, or it does not"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    seeded_command.declare(seeds)
    _lab_options(seeds)
    seeds.set_defaults(command=_seeded)

    compares = verbs.add_parser(
        "compare",
        help="judge the same claims on our card and on QEMU's own igb",
        description="Run checks on both cards, each in a guest of its own; see docs/comparison.md.",
        epilog=COMPARE_EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compares.add_argument("--peer", default=compare.PEERS[0], choices=compare.PEERS, help="default: %(default)s")
    compares.add_argument("-k", default="", metavar="EXPR", dest="expression", help="only checks that match")
    compares.add_argument("--claims", default="", metavar="IDS", help="these claims; default: those of the area DEV")
    compares.add_argument("--all", action="store_true", help="every claim that has a check")
    compares.add_argument("--json", default="", metavar="FILE", help="save the rows; - writes them to standard output")
    compares.add_argument(
        "--report", type=Path, default=Path("build/compare"), metavar="DIR", help="default: %(default)s"
    )
    _lab_options(compares)
    compares.set_defaults(command=_compare)

    tables = verbs.add_parser(
        "matrix",
        help="run the checks over kernels, interrupt modes and numbers of CPUs",
        description="Run the checks once for each kernel, interrupt mode and number of CPUs, and print one table.",
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    matrix_command.declare(tables)
    tables.set_defaults(command=_matrix)

    measures = verbs.add_parser(
        "bench",
        help="measure the card against QEMU's own igb",
        description="Measure our card and QEMU's own igb in one guest, in turns; see docs/benchmarks.md.",
    )
    measures.add_argument("-k", default="", metavar="TEXT", dest="expression", help="only workloads with this text")
    measures.add_argument("--rounds", type=int, default=3, metavar="N", help="samples of each; default: %(default)s")
    measures.add_argument(
        "--json", type=Path, default=Path("build/bench/bench.json"), metavar="FILE", help="default: %(default)s"
    )
    measures.add_argument("--engine", default="", choices=ENGINES, help="what runs our card; default: native")
    measures.add_argument(
        "--doorbells", default="", choices=("trap", "mmap"), help="how our card learns of them; default: trap"
    )
    measures.add_argument(
        "--least-gap", default="", metavar="US", help="between two messages of our card; default: auto"
    )
    measures.add_argument(
        "--pause",
        default="obeyed",
        choices=("ignored", "obeyed"),
        help="how our card's far end takes pause frames; default: obeyed, since QEMU's wires hold a sender back, too",
    )
    _lab_options(measures)
    measures.set_defaults(command=_bench)

    soaks = verbs.add_parser(
        "soak",
        help="change everything about the interface under traffic, and account for every frame",
        description="Traffic and changes at random for as long as is asked for; see docs/benchmarks.md.",
        epilog=SOAK_EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    soak_command.declare(soaks)
    _lab_options(soaks)
    soaks.set_defaults(command=_soak)

    debugs = verbs.add_parser(
        "debug",
        help="keep guest and card, and look at both from one terminal",
        description="Bind a guest to the card and stay: console, shell, monitor, gdb stub and card in one terminal.",
        epilog=DEBUG_EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    debug_command.declare(debugs)
    _fault_option(debugs)
    _lab_options(debugs)
    debugs.set_defaults(command=_debug)

    shells = verbs.add_parser(
        "shell",
        help="Python with guest, card and link partner ready",
        description=f"Bind a guest to the card and give Python, with these names ready: {debug_command.NAMES}.",
    )
    debug_command.declare_shell(shells)
    _fault_option(shells)
    _lab_options(shells)
    shells.set_defaults(command=_shell)

    explores = verbs.add_parser(
        "explore",
        help="try other legal orders of write-backs and interrupts on a driver",
        description="Run a fixed workload under schedules chosen by seed, and find the smallest that does harm.",
        epilog=OTHER_STATUS.format(holds="no schedule did harm", broken="one did"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    explore_command.declare(explores)
    _lab_options(explores)
    explores.set_defaults(command=_explore)

    writes = verbs.add_parser(
        "docs",
        help="regenerate the generated pages",
        description="Regenerate docs/claims.md and docs/registers.md.",
        epilog=OTHER_STATUS.format(holds="the pages are written or fresh", broken="with --check: a page is stale"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    writes.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a page is stale")
    writes.set_defaults(command=_docs)
    return top


def _last_report(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--report", type=Path, default=REPORT, metavar="DIR", help="of the last run; default: %(default)s"
    )


def _fault_option(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--fault", action="append", default=[], metavar="TEXT", help="of the card, as 'hold_interrupts vector=3'"
    )


def _lab_options(verb: argparse.ArgumentParser) -> None:
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


def _join_kernel(arguments: argparse.Namespace) -> None:
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


def _run(arguments: argparse.Namespace) -> ExitStatus:
    request = run.RunRequest(
        report=arguments.report.absolute(),
        expression=arguments.expression,
        claim_ids=",".join(claim.id for claim in _chosen(arguments.claims)),
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
    )
    return run.run(request)


def _chosen(text: str) -> list[Claim]:
    book = catalogue.load()
    return [book.get(part.strip().upper()) for part in text.split(",") if part.strip()]


def _claims(arguments: argparse.Namespace) -> ExitStatus:
    book = catalogue.load()
    words = [*arguments.what, *([book.chapter(arguments.area).area] if arguments.area else [])]
    what = claims_command.known(book, arguments.report)
    if arguments.json:
        print(claims_command.in_json(words, what))
        return ExitStatus.HOLDS
    for line in claims_command.listing(words, what):
        print(line)
    return ExitStatus.HOLDS


def _explain(arguments: argparse.Namespace) -> ExitStatus:
    book = catalogue.load()
    claim = book.get(arguments.claim.upper())
    for line in claims_command.explained(claim, claims_command.known(book, arguments.report)):
        print(line)
    return ExitStatus.HOLDS


def _mutants(arguments: argparse.Namespace) -> ExitStatus:
    return mutants_command.command(arguments, terminal.Progress(Console(sys.stdout.isatty())), print)


def _seeded(arguments: argparse.Namespace) -> ExitStatus:
    console = Console(sys.stderr.isatty(), beside=arguments.json == seeded_command.STANDARD_OUTPUT)
    return seeded_command.command(arguments, terminal.Progress(console), console.line)


def _watch(arguments: argparse.Namespace) -> ExitStatus:
    return watch_command.command(arguments, Console(is_tty=False).line)


def _compare(arguments: argparse.Namespace) -> ExitStatus:
    request = compare.CompareRequest(
        peer=arguments.peer,
        claim_ids=tuple(claim.id for claim in _chosen(arguments.claims)),
        expression=arguments.expression,
        every_claim=arguments.all,
        accelerator=arguments.accel,
        kernel=arguments.kernel,
        smp=arguments.smp,
    )
    beside = arguments.json == "-"
    console = Console((sys.stderr if beside else sys.stdout).isatty(), beside)
    progress = terminal.Progress(console)
    try:
        found = compare.compare(request, arguments.report.absolute(), progress)
    finally:
        progress.close()
    for line in ("", *compare.table(found, request.peer), "", compare.sentence(found)):
        console.line(line)
    if beside:
        print(compare.as_json(found))
    elif arguments.json:
        path = Path(arguments.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(compare.as_json(found) + "\n", encoding="utf-8")
    return compare.status(found)


def _matrix(arguments: argparse.Namespace) -> ExitStatus:
    return matrix_command.command(arguments, terminal.Progress(Console(sys.stdout.isatty())), print)


def _bench(arguments: argparse.Namespace) -> ExitStatus:
    words = {
        "--engine": arguments.engine,
        "--doorbells": arguments.doorbells,
        "--least-gap": arguments.least_gap,
        "--pause": arguments.pause,
    }
    card = tuple(word for name, value in words.items() if value for word in (name, value))
    request = BenchRequest(
        plan=Plan(arguments.rounds, arguments.expression, card),
        json=arguments.json,
        folder=Path("build/bench").absolute(),
        accelerator=arguments.accel,
        kernel=arguments.kernel,
        smp=arguments.smp,
    )
    bench(request, terminal.Progress(Console(sys.stdout.isatty())), print)
    return ExitStatus.HOLDS


def _soak(arguments: argparse.Namespace) -> ExitStatus:
    return soak_command.command(arguments, terminal.Progress(Console(sys.stdout.isatty())), print)


def _debug(arguments: argparse.Namespace) -> ExitStatus:
    return debug_command.debug(arguments, terminal.Progress(Console(sys.stderr.isatty(), beside=True)), print)


def _shell(arguments: argparse.Namespace) -> ExitStatus:
    return debug_command.shell(arguments, terminal.Progress(Console(sys.stderr.isatty(), beside=True)), print)


def _explore(arguments: argparse.Namespace) -> ExitStatus:
    return explore_command.command(arguments, terminal.Progress(Console(sys.stdout.isatty())), print)


def _docs(arguments: argparse.Namespace) -> ExitStatus:
    root = run.CHECKS.parent.parent
    pages = docs.pages(root, run.CHECKS)
    if arguments.check:
        old = docs.stale(root, pages)
        for page in old:
            print(f"{page.path} must be what hilnic docs writes, and is stale", file=sys.stderr)
        return ExitStatus.BROKEN if old else ExitStatus.HOLDS
    for path in docs.regenerate(root, pages):
        print(f"wrote {path}")
    return ExitStatus.HOLDS


if __name__ == "__main__":
    sys.exit(main())
