# SPDX-License-Identifier: BSD-3-Clause
"""Runs the checks under pytest with our plugin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.errors import UsageError
from harness.guest.driver import DriverFile
from harness.kernel.config import find_config
from harness.kernel.needs import lacks, must_serve, reasons, told
from harness.opening import materials
from harness.report import results
from harness.report.results import ExitStatus
from harness.spec import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.kernel.config import Config
    from harness.kernel.needs import Lack
    from harness.snapshot import Materials

CHECKS = Path(__file__).parent / "checks"

#: One check may take this long; a check that needs longer carries its own ``@pytest.mark.timeout``.
CHECK_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What one run of the checks is to do. Empty texts mean "no restriction" or "the lab's default".

    ``record`` becomes a bundle of the whole run; with ``bundles`` each check that fails is run once more for one.

    A run that is not narrowed judges the must-claims, or with ``every_claim`` all that have a check.
    """

    report: Path
    expression: str = ""
    claim_ids: str = ""
    accelerator: str = "auto"
    kernel: str = ""
    smp: int = 4
    card_patch: str = ""
    interrupts: str = ""
    card: str = ""
    engine: str = ""
    checks: Path = CHECKS
    every_claim: bool = False
    ktap: Path | None = None
    module: Path | None = None
    go_fd: int | None = None
    faults: tuple[str, ...] = ()
    sanitize: str = ""
    record: Path | None = None
    bundles: bool = False
    trace: bool = False


class Interruption:
    """Tells Ctrl-C from a run that has ended itself."""

    pressed = False

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Take note of what interrupted pytest."""
        self.pressed = not isinstance(excinfo.value, pytest.Session.Interrupted)


def pytest_arguments(request: RunRequest) -> list[str]:
    """Return pytest's arguments for ``request``. Accounts are kept on every run that is not narrowed."""
    arguments = [
        str(request.checks),
        "-p", "harness.plugin",
        "-o", "addopts=",
        "-o", "python_files=test_*.py check_*.py",
        "-o", f"timeout={CHECK_TIMEOUT_S}",
        "-q", "--strict-markers", "--tb=short", "-rN", "--no-header",
        f"--rootdir={CHECKS.parent.parent}",
        f"--report-dir={request.report}",
        f"--junitxml={request.report / 'junit.xml'}",
        f"--accel={request.accelerator}",
        f"--smp={request.smp}",
    ]  # fmt: skip
    arguments += [f"-k={request.expression}"] if request.expression else []
    arguments += [f"--claims={request.claim_ids}"] if request.claim_ids else []
    arguments += [f"--kernel={request.kernel}"] if request.kernel else []
    arguments += [f"--irq={request.interrupts}"] if request.interrupts else []
    arguments += [f"--card={request.card}"] if request.card else []
    arguments += [f"--engine={request.engine}"] if request.engine else []
    arguments += [f"--card-patch={request.card_patch}"] if request.card_patch else []
    arguments += [f"--module={request.module}"] if request.module else []
    if request.go_fd is not None:  # whoever waits for a person does not wait within a check's time
        arguments += [f"--go-fd={request.go_fd}", "-o", "timeout_func_only=true"]
    arguments += [f"--fault={text}" for text in request.faults]
    arguments += [f"--sanitize={request.sanitize}"] if request.sanitize else []
    arguments += [f"--record={request.record}"] if request.record else []
    arguments += ["--time-lines"] if request.trace else []
    arguments += ["--bundles"] if request.bundles else []
    arguments += [f"--ktap={request.ktap}"] if request.ktap else []
    if not request.expression and not request.claim_ids:
        arguments += ["--claim-accounts", *([] if request.every_claim else ["--must-claims"])]
    return arguments


def check_config(kernel: str, say: Callable[[str], None]) -> ExitStatus:
    """Say what the checks need of a kernel and what it lacks; LACKS if a must-claim could not be judged."""
    parts = materials(kernel)
    config, found = wanting(kernel, parts)
    for line in told(config, found, parts.image.kernel_release):
        say(line)
    book = catalogue.load()
    gone = any(lack.need.lab or any(results.is_must(book.get(name)) for name in lack.claims) for lack in found)
    return ExitStatus.LACKS if gone or config is None else ExitStatus.HOLDS


def wanting(kernel: str, parts: Materials) -> tuple[Config | None, tuple[Lack, ...]]:
    """Return a kernel's configuration, if it is known, and what the checks need that is not in it."""
    config = find_config(kernel, parts.image.kernel_release, parts.cache)
    return config, lacks(config, CHECKS) if config else ()


def falls_away(kernel: str, parts: Materials) -> dict[str, str]:
    """Return the claims that cannot be judged on a kernel, with the reason. Raises EnvironmentLacks if none can."""
    _, found = wanting(kernel, parts)
    must_serve(found)
    return dict(reasons(found))


def run(request: RunRequest) -> ExitStatus:
    """Run the checks and return what the run found; results.json, index.html and junit.xml lie in the report.

    With ``ktap`` the results are written to that file, too.
    """
    if request.smp < 1:
        raise UsageError(f"--smp must be 1 or more, not {request.smp}")
    parts = materials(request.kernel)
    if request.module is not None and request.go_fd is None:
        DriverFile.read(request.module).must_fit(parts.image.kernel_release)
    if request.ktap is not None:
        _make_room(request.ktap)
    outcome = request.report / "results.json"
    outcome.unlink(missing_ok=True)
    gone = falls_away(request.kernel, parts)
    arguments = pytest_arguments(request) + [f"--falls-away={name}={reason}" for name, reason in gone.items()]
    interruption = Interruption()
    try:
        code = pytest.main(arguments, plugins=[interruption])
    finally:
        if interruption.pressed:  # whatever a lab in the middle of its work says of that
            raise KeyboardInterrupt
    if code == pytest.ExitCode.USAGE_ERROR:
        return ExitStatus.USAGE
    if code == pytest.ExitCode.NO_TESTS_COLLECTED and (request.expression or request.claim_ids):
        asked = f"-k {request.expression}" if request.expression else f"--claims {request.claim_ids}"
        raise UsageError(f"the selection must match a check, and {asked!r} matches none")
    if code == pytest.ExitCode.INTERRUPTED or not outcome.is_file():
        return ExitStatus.LACKS
    return ExitStatus(results.read(outcome)["exit_status"])


def _make_room(path: Path) -> None:
    """Leave an empty file at ``path``, so that a run learns at once whether it can be written, and old results go."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--ktap must name a file that can be written, not {str(path)!r}: {error.strerror}") from error
