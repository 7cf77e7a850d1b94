# SPDX-License-Identifier: BSD-3-Clause
"""The results as KTAP, version 1 (Linux Documentation/dev-tools/ktap.rst): an area is a test, its claims are subtests.

Only the claims that the run meant to judge are in it. A waived claim and one whose checks were skipped is ``ok`` with
SKIP, one that a broken lab left unjudged is ``not ok`` with ERROR.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.report.results import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from harness.report.results import ClaimResult, RunResult

VERSION = "KTAP version 1"
INDENT = "  "
REASON_LINES = 12
"""Lines of a check's reason that are given as diagnostics; the report has the rest."""


def write(run: RunResult, path: Path) -> None:
    """Write the results to ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines(run)) + "\n", encoding="utf-8")


def lines(run: RunResult) -> Iterator[str]:
    """Yield the lines of ``run``."""
    areas: dict[str, list[ClaimResult]] = {}
    for result in run.claims:
        if result.selected:
            areas.setdefault(result.claim.area, []).append(result)
    yield VERSION
    yield f"1..{len(areas)}"
    for key, value in sorted(run.facts.items()):
        yield f"# {key}: {_plain(str(value))}"
    for number, (area, claims) in enumerate(areas.items(), 1):
        yield f"{INDENT}{VERSION}"
        yield f"{INDENT}1..{len(claims)}"
        for at, result in enumerate(claims, 1):
            yield from (f"{INDENT}{line}" for line in _claim(at, result))
        yield _area(number, area, claims)


def _claim(number: int, result: ClaimResult) -> Iterator[str]:
    """Yield the diagnostics of a claim that did not hold, then its result."""
    for check in result.checks:
        if check.outcome is not Outcome.PASSED:
            yield f"# {check.nodeid}: {check.outcome.value}"
            yield from (f"#   {line}" for line in check.reason.splitlines()[:REASON_LINES])
    outcome, directive = _outcome(result)
    told = f" # {directive} {_plain(result.reason)}".rstrip() if directive else ""
    yield f"{outcome} {number} {result.claim.id} {_plain(result.claim.title)}{told}"


def _outcome(result: ClaimResult) -> tuple[str, str]:
    if result.verdict is Verdict.HELD:
        return "ok", ""
    if result.verdict is Verdict.BROKEN:
        return "not ok", ""
    if any(check.outcome is Outcome.LAB_BROKEN for check in result.checks):
        return "not ok", "ERROR"
    return "ok", "SKIP"


def _area(number: int, area: str, claims: Sequence[ClaimResult]) -> str:
    outcomes = [_outcome(result) for result in claims]
    if any(outcome == "not ok" for outcome, _ in outcomes):
        return f"not ok {number} {area}"
    return f"ok {number} {area}" + (" # SKIP" if all(directive for _, directive in outcomes) else "")


def _plain(text: str) -> str:
    """Return ``text`` on one line, without the sign that begins a directive."""
    return " ".join(text.replace("#", "").split())
