# SPDX-License-Identifier: BSD-3-Clause
"""Runs the checks under pytest with our plugin, and runs them again on deliberately faulty cards (mutants)."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.errors import LabBroken, UsageError
from harness.report import results
from harness.report.results import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

CHECKS = Path(__file__).parent / "checks"

#: One check may take this long; a check that needs longer carries its own ``@pytest.mark.timeout``.
CHECK_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What one run of the checks is to do. Empty texts mean "no restriction" or "the lab's default"."""

    report: Path
    expression: str = ""
    claim_ids: str = ""
    accelerator: str = "auto"
    kernel: str = ""
    smp: int = 4
    card_patch: str = ""
    interrupts: str = ""
    card: str = ""
    checks: Path = CHECKS


class Fate(Enum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    UNJUDGED = "unjudged"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A deliberate fault of the card, a function of the table's file, and the claim whose check must notice it."""

    claim_id: str
    function: str


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
    arguments += [f"--card-patch={request.card_patch}"] if request.card_patch else []
    arguments += [] if request.expression or request.claim_ids else ["--claim-accounts"]
    return arguments


def run(request: RunRequest) -> ExitStatus:
    """Run the checks and return what the run found; results.json, index.html and junit.xml lie in the report."""
    if request.smp < 1:
        raise UsageError(f"--smp must be 1 or more, not {request.smp}")
    outcome = request.report / "results.json"
    outcome.unlink(missing_ok=True)
    code = pytest.main(pytest_arguments(request))
    if code == pytest.ExitCode.USAGE_ERROR:
        return ExitStatus.USAGE
    if code == pytest.ExitCode.NO_TESTS_COLLECTED and (request.expression or request.claim_ids):
        asked = f"-k {request.expression}" if request.expression else f"--claims {request.claim_ids}"
        raise UsageError(f"the selection must match a check, and {asked!r} matches none")
    if code == pytest.ExitCode.INTERRUPTED or not outcome.is_file():
        return ExitStatus.LACKS
    return ExitStatus(results.read(outcome)["exit_status"])


def read_mutants(path: Path) -> tuple[Mutant, ...]:
    """Read the literal dict ``MUTANTS`` of ``path``: claim id to the name of a function there. Nothing is imported."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: a table of mutants must be readable Python: {error}") from error
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    table = next((value for name, value in _assignments(tree) if name == "MUTANTS"), None)
    if not isinstance(table, ast.Dict):
        raise UsageError(f"{path}: MUTANTS must be a literal dict, not {ast.unparse(table) if table else 'absent'}")
    mutants = []
    for key, value in zip(table.keys, table.values, strict=True):
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
            raise UsageError(f"{path}: a key of MUTANTS must be a claim id, not {ast.unparse(key) if key else '**'}")
        name = value.value if isinstance(value, ast.Constant) else getattr(value, "id", None)
        if not isinstance(name, str) or name not in functions:
            entry = f"MUTANTS[{key.value!r}]"
            raise UsageError(f"{path}: {entry} must name a function of the file, not {ast.unparse(value)}")
        mutants.append(Mutant(key.value, name))
    return tuple(mutants)


def _assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr | None]]:
    for node in tree.body:
        if isinstance(node, ast.Assign):
            yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.value


def mutant_command(mutant: Mutant, table: Path, report: Path, options: Sequence[str]) -> list[str]:
    """Return the command that runs the claim's checks against the faulty card."""
    return [
        sys.executable, "-m", "harness.cli", "run",
        "--claims", mutant.claim_id,
        "--card-patch", f"{table}:{mutant.function}",
        "--report", str(report),
        *options,
    ]  # fmt: skip


def fate_of(mutant: Mutant, found: Mapping[str, object]) -> tuple[Fate, str]:
    """Read from the results of its run what became of ``mutant``, and why."""
    claims = found["claims"]
    assert isinstance(claims, list)
    for claim in claims:
        if claim["id"] == mutant.claim_id:
            fate = {"broken": Fate.KILLED, "held": Fate.SURVIVED}.get(claim["verdict"], Fate.UNJUDGED)
            return fate, str(claim["reason"])
    return Fate.UNJUDGED, "the claim is not in the catalogue"


def try_mutant(mutant: Mutant, table: Path, directory: Path, options: Sequence[str] = ()) -> tuple[Fate, str]:
    """Run one mutant in a process of its own; what it printed stays in ``directory``/output.txt."""
    report = directory / mutant.claim_id
    report.mkdir(parents=True, exist_ok=True)
    outcome = report / "results.json"
    outcome.unlink(missing_ok=True)
    with (report / "output.txt").open("wb") as output:
        command = mutant_command(mutant, table, report, options)
        code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False).returncode
    if not outcome.is_file():
        return Fate.UNJUDGED, f"its run ended with {code} and no results: see {report / 'output.txt'}"
    return fate_of(mutant, results.read(outcome))


def try_mutants(
    mutants: Sequence[Mutant],
    attempt: Callable[[Mutant], tuple[Fate, str]],
    say: Callable[[str], None],
) -> dict[Mutant, Fate]:
    """Run every mutant with ``attempt`` and say one line for each; LabBroken of one does not stop the others."""
    fates = {}
    for mutant in mutants:
        try:
            fate, reason = attempt(mutant)
        except LabBroken as error:
            fate, reason = Fate.UNJUDGED, str(error)
        fates[mutant] = fate
        detail = " ".join(reason.split())[:100]
        say(f"  {fate.value:9}{mutant.claim_id:8} {mutant.function}" + (f"  ({detail})" if detail else ""))
    return fates
