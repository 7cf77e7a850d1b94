# SPDX-License-Identifier: BSD-3-Clause
"""The pytest plugin that turns checks into verdicts on claims; load it with ``-p harness.plugin``.

Fixtures for checks and their conftest:

``evidence``      what this check saw: ``note(guest=…, device=…)``, ``attach(name, content)``, ``on_failure(name, f)``
``run_facts``     dict of the session, put into the report; the keys that the report knows are ``accelerator``
                  ("tcg: /dev/kvm does not exist"), ``kernel`` (``uname -r``), ``qemu``, ``host``, ``seed``
``run_options``   what the command line asked for (RunOptions)
``stage``         ``stage("booting the guest")`` says what a slow fixture is doing
"""

from __future__ import annotations

import inspect
import os
import platform
import shutil
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import pytest

from harness import claims
from harness.bundle.again import AGAIN, AGAIN_FOLDER, Again, repeat
from harness.errors import EnvironmentLacks, LabBroken, NotComparable, NotLoaded, UsageError
from harness.evidence import Evidence, slug
from harness.report import html, ktap, results, terminal
from harness.report.results import CheckResult, Outcome
from harness.spec import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from _pytest.terminal import TerminalReporter

RUN: pytest.StashKey[Run] = pytest.StashKey()
EVIDENCE: pytest.StashKey[Evidence] = pytest.StashKey()


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line asked of the lab. ``kernel`` and ``card_patch`` are empty when nothing was asked."""

    accelerator: str
    kernel: str
    smp: int
    card_patch: str
    report: Path
    bundles: bool = False
    """Whether each check that fails gets a bundle."""


class CheckTerminal:
    """The terminal as the progress needs it: lines get through while pytest captures the output of a check."""

    def __init__(self, reporter: TerminalReporter) -> None:
        """Write beside ``reporter``, through a duplicate of the descriptor that pytest is about to redirect."""
        self._reporter = reporter
        try:
            self._stream: TextIO = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", errors="replace")
        except (OSError, ValueError):  # stdout is not a file: pytest runs inside a test
            self._stream = sys.stdout

    @property
    def is_tty(self) -> bool:
        """Whether a line can be rewritten in place."""
        return self._stream.isatty()

    def line(self, text: str) -> None:
        """Write one whole line."""
        self._reporter.flush()
        self._stream.write(text + "\n")
        self._stream.flush()

    def rewrite(self, text: str) -> None:
        """Replace the line at the cursor."""
        columns = shutil.get_terminal_size().columns
        self._stream.write(f"\r\x1b[2K{text[: columns - 1]}")
        self._stream.flush()


class Run:
    """One run of the checks: everything that happens between collection and report."""

    def __init__(self, options: RunOptions, book: catalogue.Catalogue, *, accounts: bool) -> None:
        """Judge by the claims of ``book``; with ``accounts``, claims without a check make the run red."""
        self.options = options
        self.book = book
        started = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        host = f"{platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}"
        self.facts: dict[str, Any] = {"host": host, "started": started}
        self.progress: terminal.Progress | None = None
        self.cited: dict[str, list[str]] = {}
        self.selected: frozenset[str] = frozenset()
        self.wanted: frozenset[str] = frozenset()
        self._accounts = accounts
        self._checks: dict[str, CheckResult] = {}
        self._started = time.monotonic()

    def cite(self, items: Sequence[pytest.Item]) -> None:
        """Remember which check cites which claim; UsageError for an id that the catalogue does not hold."""
        for item in items:
            for claim_id in claim_ids_of(item):
                self.cited.setdefault(claim_id, []).append(item.nodeid)
        unknown = claims.unknown_ids(self.book, self.cited)
        if unknown:
            raise pytest.UsageError(*unknown)

    def must(self, claim_id: str) -> bool:
        """Say whether this is a claim that must hold."""
        return results.is_must(self.book.get(claim_id))

    def title(self, item_ids: Sequence[str], nodeid: str) -> str:
        """Return the words by which progress calls a check."""
        name = nodeid.rpartition("::")[2]
        if not item_ids:
            return name
        return f"{', '.join(item_ids)}  {self.book.get(item_ids[0]).title}  [{name}]"

    def add(self, check: CheckResult) -> None:
        """Put down how a check, or a part of it, ended; the worst part counts."""
        order = (Outcome.PASSED, Outcome.SKIPPED, Outcome.NOT_COMPARABLE, Outcome.LAB_BROKEN, Outcome.FAILED)
        before = self._checks.get(check.nodeid)
        if before is not None and order.index(before.outcome) > order.index(check.outcome):
            check = replace(check, outcome=before.outcome, reason=before.reason)
        self._checks[check.nodeid] = check

    def result(self) -> results.RunResult:
        """Judge what is known so far."""
        problems = claims.accounting_problems(self.book, self.cited) if self._accounts else []
        seconds = time.monotonic() - self._started
        return results.judge_all(
            self.book, list(self._checks.values()), self.cited, self.selected, self.facts, problems, seconds
        )


def claim_ids_of(item: pytest.Item) -> tuple[str, ...]:
    """Return the ids that the marks of ``item`` cite, nearest mark first, each once."""
    return tuple(dict.fromkeys(claim_id for mark in item.iter_markers("claim") for claim_id in mark.args))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare what ``hilnic run`` passes on."""
    group = parser.getgroup("hilnic", "checks of claims about a guest's network stack")
    group.addoption("--claims", default="", metavar="IDS", help="run only checks of these claims, comma-separated")
    group.addoption("--must-claims", action="store_true", help="run only checks of claims that must hold (P0)")
    group.addoption("--claim-accounts", action="store_true", help="claims without an account make the run red")
    group.addoption("--report-dir", default="build/report", metavar="DIR", help="where the report goes")
    group.addoption("--ktap", default="", metavar="FILE", help="write the results as KTAP, too")
    group.addoption("--spec-dir", default=str(catalogue.SPEC_DIRECTORY), metavar="DIR", help="where the claims are")
    group.addoption("--accel", default="auto", choices=("auto", "tcg", "kvm"), help="accelerator of the guest")
    group.addoption("--kernel", default="", metavar="KERNEL", help="package, bzImage or bzImage:modules")
    group.addoption("--module", type=Path, default=None, metavar="FILE", help="an igb.ko instead of the guest's own")
    group.addoption(
        "--go-fd", type=int, default=None, metavar="N", help="wait for a byte here before taking the module"
    )
    group.addoption(
        "--falls-away", action="append", default=[], metavar="ID=WHY", help="a claim that this kernel cannot show"
    )
    group.addoption("--fault", action="append", default=[], metavar="TEXT", help="a fault of every card of the lab")
    group.addoption("--bundles", action="store_true", help="make a bundle of each check that fails: run it once more")
    group.addoption("--smp", type=int, default=4, metavar="N", help="virtual CPUs of the guest")
    group.addoption(
        "--card-patch",
        default=os.environ.get("HILNIC_CARD_PATCH", ""),
        metavar="FILE:FUNC",
        help="a deliberate fault that the card loads when it starts (also HILNIC_CARD_PATCH)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Load the claims and register the mark."""
    config.addinivalue_line("markers", "claim(*ids): the claims that this check can refute")
    config.addinivalue_line("markers", "one_queue: one queue pair will do, in any interrupt mode")
    config.addinivalue_line("markers", "four_queues: just four queue pairs, with a vector for each direction")
    options = RunOptions(
        accelerator=config.getoption("--accel"),
        kernel=config.getoption("--kernel"),
        smp=config.getoption("--smp"),
        card_patch=config.getoption("--card-patch"),
        report=Path(config.getoption("--report-dir")).absolute(),
        bundles=config.getoption("--bundles"),
    )
    try:
        book = catalogue.load(Path(config.getoption("--spec-dir")))
        run = Run(options, book, accounts=config.getoption("--claim-accounts"))
        parts = [part.strip() for part in config.getoption("--claims").split(",")]
        run.wanted = frozenset(book.get(part).id for part in parts if part)
        if config.getoption("--must-claims"):
            run.wanted = frozenset(claim.id for claim in book if results.is_must(claim))
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[RUN] = run


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Account for every check that there is, before -k and --claims narrow the run."""
    run = config.stash[RUN]
    run.cite(items)
    if run.wanted:
        dropped = [item for item in items if not run.wanted.intersection(claim_ids_of(item))]
        items[:] = [item for item in items if run.wanted.intersection(claim_ids_of(item))]
        config.hook.pytest_deselected(items=dropped)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Claims of this run: those asked for, else those of the chosen checks, else (nothing narrowed) all."""
    run = session.config.stash[RUN]
    if run.wanted:
        run.selected = run.wanted
    elif session.config.getoption("keyword"):
        run.selected = frozenset(claim_id for item in session.items for claim_id in claim_ids_of(item))
    else:
        run.selected = frozenset(
            claim.id for claim in run.book if claim.id in run.cited or claim.waived or results.is_must(claim)
        )
    cited = {claim_id for item in session.items for claim_id in claim_ids_of(item) if claim_id in run.book}
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None and session.items:
        reporter.write_line(
            f"{len(session.items)} checks of {len(cited)} claims, {sum(map(run.must, cited))} of them P0"
        )


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Take over the terminal: one line a check, titles instead of dots."""
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:
        reporter.showfspath = False
        reporter._show_progress_info = False  # noqa: SLF001 - percentages belong to dots, and there are none
        session.config.stash[RUN].progress = terminal.Progress(CheckTerminal(reporter))


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Print no letters: the progress has its own lines."""
    if report.when == "call" or report.outcome != "passed":
        outcome = "error" if report.when != "call" and report.failed else report.outcome
        return outcome, "", outcome.upper()
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Say what runs, and how it ended; run a check that failed once more for its bundle."""
    run = item.config.stash[RUN]
    ids = claim_ids_of(item)
    item.user_properties.extend(("claim", claim_id) for claim_id in ids)
    directory = run.options.report / "artefacts" / slug(item.nodeid.rpartition("/")[2])
    item.stash[EVIDENCE] = Evidence(directory, run.options.report)
    started = time.monotonic()
    if run.progress is not None:
        run.progress.start(run.title(ids, item.nodeid))
    outcome = yield
    check = run._checks.get(item.nodeid)  # noqa: SLF001 - same module
    if run.progress is not None and check is not None:
        seconds = time.monotonic() - started
        run.progress.finish(f"  {check.outcome.value:10} {run.title(ids, item.nodeid)}  {seconds:.1f} s")
    if run.options.bundles and check is not None and check.outcome is Outcome.FAILED:
        _make_bundle(run, item, nextitem, check, directory)
    return outcome


def _make_bundle(
    run: Run, item: pytest.Item, nextitem: pytest.Item | None, check: CheckResult, directory: Path
) -> None:
    """Run a check that failed once more, recorded, and put the bundle among what it left behind."""
    evidence = item.stash[EVIDENCE]
    if run.progress is not None:
        run.progress.start(f"once more, for a bundle: {run.title(check.claim_ids, item.nodeid)}")
    item.stash[EVIDENCE] = Evidence(directory / AGAIN_FOLDER, run.options.report)
    name = repeat(item, nextitem, Again(check, evidence, item.stash[EVIDENCE], directory))
    item.stash[EVIDENCE] = evidence
    run._checks[item.nodeid] = replace(check, artefacts=evidence.artefacts)  # noqa: SLF001 - same module
    if run.progress is not None:
        run.progress.finish(f"             {directory / name}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a check whose claim the guest's kernel cannot show: it was built without what the check needs."""
    gone = dict(text.split("=", 1) for text in item.config.getoption("--falls-away"))
    why = next((gone[claim_id] for claim_id in claim_ids_of(item) if claim_id in gone), "")
    if why:
        pytest.skip(why)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Skip a check whose claims speak of other kernels than the one that booted."""
    run = item.config.stash[RUN]
    kernel = str(run.facts.get("kernel", ""))
    cited = [run.book.get(claim_id) for claim_id in claim_ids_of(item)]
    if kernel and cited and not any(claim.kernels.admits(kernel) for claim in cited):
        pytest.skip(f"speaks of kernels {cited[0].kernels.text}, this guest runs {kernel}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put down each phase of a check; the setup of the lab can end it without judging anything."""
    report = yield
    run, evidence = item.config.stash[RUN], item.stash[EVIDENCE]
    outcome, reason = Outcome.PASSED, ""
    if report.skipped:
        outcome = Outcome.SKIPPED
        words = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(getattr(report, "wasxfail", ""))
        reason = words.removeprefix("Skipped: ")
    elif report.failed and call.excinfo is not None and isinstance(call.excinfo.value, NotComparable):
        outcome, reason = Outcome.NOT_COMPARABLE, str(call.excinfo.value)
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1] or 0, reason)
    elif report.failed:
        error = call.excinfo.value if call.excinfo is not None else None
        outcome = Outcome.LAB_BROKEN if isinstance(error, (EnvironmentLacks, LabBroken)) else Outcome.FAILED
        reason = _reason(call)
        evidence.collect_failure()
        if isinstance(error, NotLoaded):
            item.session.shouldstop = "the driver under test does not load"
        if outcome is Outcome.LAB_BROKEN:
            report.longrepr = reason  # the same for every check of the lab: a traceback each would bury the sentence
        elif report.longreprtext:
            evidence.attach(f"traceback-{report.when}", report.longreprtext)
    if (again := item.stash.get(AGAIN, None)) is not None:
        again.took(outcome, reason)
        return report
    before = run._checks.get(item.nodeid)  # noqa: SLF001 - same module
    seconds = report.duration + (before.seconds if before is not None else 0.0)
    ids = claim_ids_of(item)
    run.add(
        CheckResult(
            item.nodeid,
            outcome,
            seconds,
            ids,
            reason,
            evidence.notes,
            evidence.artefacts,
            evidence.plots,
            inspect.getdoc(getattr(item, "obj", None)) or "",
        )
    )
    return report


def _reason(call: pytest.CallInfo[None]) -> str:
    """Return why a check failed: the assertion's words, or the error's name without its module."""
    assert call.excinfo is not None
    text = str(call.excinfo.exconly(tryshort=True))
    name = call.excinfo.type.__name__
    return name + text.partition(name)[2] if text.partition(":")[0].endswith(f".{name}") else text


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Print the table of claims, what was found and where the report is."""
    run = config.stash[RUN]
    found = run.result()
    if not found.problems and not any(claim.checks for claim in found.claims) and not found.unclaimed:
        return  # nothing ran, and pytest says so
    for line in terminal.table(found):
        terminalreporter.write_line(line)
    for line in terminal.summary(found, str(run.options.report / "index.html")):
        terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write results.json and the page."""
    run = session.config.stash[RUN]
    if run.progress is not None:
        run.progress.close()
    if session.config.getoption("collectonly"):
        return
    found = run.result()
    results.write(found, run.options.report / "results.json")
    html.write(found, run.options.report / "index.html")
    if session.config.getoption("--ktap"):
        ktap.write(found, Path(session.config.getoption("--ktap")))


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """Collect what the two witnesses say, and files for whoever reads a failure."""
    node: pytest.Item = request.node
    return node.stash[EVIDENCE]


@pytest.fixture(scope="session")
def run_facts(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Hold what the environment was: accelerator and why, kernel, qemu, host, seed."""
    return request.config.stash[RUN].facts


@pytest.fixture(scope="session")
def run_options(request: pytest.FixtureRequest) -> RunOptions:
    """Hold what the command line asked of the lab."""
    return request.config.stash[RUN].options


@pytest.fixture(scope="session")
def stage(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return a function that says what a slow fixture is doing."""
    progress = request.config.stash[RUN].progress
    return progress.stage if progress is not None else (lambda _text: None)
