# SPDX-License-Identifier: BSD-3-Clause
"""The results of a run as data: one record a check, one a claim, and the verdicts that follow."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from harness import plots
from harness.claims import State, state_of
from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness.plots import Plot
    from harness.spec.catalogue import Catalogue, Claim

#: Version of the layout of results.json.
LAYOUT = 1


class Outcome(Enum):
    """How one check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    LAB_BROKEN = "lab broken"
    """The lab or the machine failed it: nothing was judged."""
    NOT_COMPARABLE = "not comparable"
    """It asks what the card that is plugged cannot answer: nothing was judged."""


class Verdict(Enum):
    """What the checks of a claim say together."""

    HELD = "held"
    BROKEN = "broken"
    WAIVED = "waived"
    NOT_RUN = "not run"
    NOT_COMPARABLE = "not comparable"


class ExitStatus(Enum):
    """What ``hilnic run`` returns to its caller."""

    HOLDS = 0
    BROKEN = 1
    USAGE = 2
    LACKS = 3


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file beside the report; ``path`` is relative to the report's directory."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check: its pytest node, how it ended, what the two witnesses said; ``how`` is its docstring."""

    nodeid: str
    outcome: Outcome
    seconds: float
    claim_ids: tuple[str, ...] = ()
    reason: str = ""
    evidence: tuple[Mapping[str, Any], ...] = ()
    artefacts: tuple[Artefact, ...] = ()
    plots: tuple[Plot, ...] = ()
    how: str = ""


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """One claim of the run and its checks; ``selected`` says whether this run meant to judge it."""

    claim: Claim
    chapter: str
    state: State
    verdict: Verdict
    checks: tuple[CheckResult, ...]
    selected: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RunResult:
    """A whole run. ``facts`` is what the environment was; ``problems`` are claims whose account is not in order."""

    claims: tuple[ClaimResult, ...]
    facts: Mapping[str, Any]
    problems: tuple[str, ...] = ()
    seconds: float = 0.0
    unclaimed: tuple[CheckResult, ...] = field(default=())

    def count(self, verdict: Verdict, *, must_only: bool = False) -> int:
        """Count the selected claims of this verdict, or only the P0 claims among them."""
        counted = [result for result in self.claims if result.selected and (is_must(result.claim) or not must_only)]
        return sum(result.verdict is verdict for result in counted)

    @property
    def exit_status(self) -> ExitStatus:
        """Broken must-claims (or accounts, or checks without a claim) weigh more than claims that could not run."""
        if self.count(Verdict.BROKEN, must_only=True) or self.problems:
            return ExitStatus.BROKEN
        if any(check.outcome is Outcome.FAILED for check in self.unclaimed):
            return ExitStatus.BROKEN
        if self.count(Verdict.NOT_RUN, must_only=True) or not any(claim.checks for claim in self.claims):
            return ExitStatus.LACKS
        judged = self.count(Verdict.HELD) + self.count(Verdict.BROKEN)
        if not judged and self.count(Verdict.NOT_COMPARABLE) + self.count(Verdict.NOT_RUN):
            return ExitStatus.LACKS
        return ExitStatus.HOLDS


def is_must(claim: Claim) -> bool:
    """Say whether the run fails when this claim does."""
    return claim.priority.value == "P0"


def judge(claim: Claim, checks: Sequence[CheckResult], kernel: str = "") -> tuple[Verdict, str]:
    """Return the verdict on a claim and, where it did not hold, why.

    All checks must pass; one that could not run leaves the claim unjudged, one that failed breaks it. ``kernel`` is
    the guest's release, empty when unknown.
    """
    if claim.waived and not checks:
        return Verdict.WAIVED, claim.waived
    if kernel and not claim.kernels.admits(kernel):
        return Verdict.WAIVED, f"speaks of kernels {claim.kernels.text}, this guest runs {kernel}"
    for outcome, verdict in (
        (Outcome.FAILED, Verdict.BROKEN),
        (Outcome.LAB_BROKEN, Verdict.NOT_RUN),
        (Outcome.NOT_COMPARABLE, Verdict.NOT_COMPARABLE),
        (Outcome.SKIPPED, Verdict.NOT_RUN),
    ):
        for check in checks:
            if check.outcome is outcome:
                return verdict, check.reason
    return (Verdict.HELD, "") if checks else (Verdict.NOT_RUN, "no check of it ran")


def judge_all(
    catalogue: Catalogue,
    checks: Sequence[CheckResult],
    cited: Mapping[str, Sequence[str]],
    selected: frozenset[str],
    facts: Mapping[str, Any],
    problems: Sequence[str] = (),
    seconds: float = 0.0,
) -> RunResult:
    """Put the checks of a run together into one result a claim, in the order of the catalogue."""
    kernel = str(facts.get("kernel", ""))
    by_claim: dict[str, list[CheckResult]] = {}
    for check in checks:
        for claim_id in check.claim_ids:
            by_claim.setdefault(claim_id, []).append(check)
    results = []
    for chapter in catalogue.chapters:
        for claim in chapter.claims:
            own = tuple(by_claim.get(claim.id, ()))
            verdict, reason = judge(claim, own, kernel)
            state = state_of(claim, checked=claim.id in cited)
            results.append(ClaimResult(claim, chapter.title, state, verdict, own, claim.id in selected, reason))
    unclaimed = tuple(check for check in checks if not check.claim_ids)
    return RunResult(tuple(results), dict(facts), tuple(problems), seconds, unclaimed)


def as_json(run: RunResult) -> dict[str, Any]:
    """Return the run in the layout of ``results.json``."""
    return {
        "layout": LAYOUT,
        "facts": dict(run.facts),
        "seconds": round(run.seconds, 3),
        "exit_status": run.exit_status.value,
        "problems": list(run.problems),
        "claims": [_claim_json(result) for result in run.claims],
        "unclaimed_checks": [_check_json(check) for check in run.unclaimed],
    }


def write(run: RunResult, path: Path) -> None:
    """Write ``results.json``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(as_json(run), indent=1, default=str) + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """Read a ``results.json`` back, as plain data; UsageError when it is not one."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: must be the results of a run: {error}") from error
    if not isinstance(table, dict) or table.get("layout") != LAYOUT:
        raise UsageError(f"{path}: must be results of layout {LAYOUT}")
    return table


def _claim_json(result: ClaimResult) -> dict[str, Any]:
    return {
        "id": result.claim.id,
        "priority": result.claim.priority.value,
        "title": result.claim.title,
        "state": result.state.value,
        "verdict": result.verdict.value,
        "selected": result.selected,
        "reason": result.reason,
        "checks": [_check_json(check) for check in result.checks],
        "evidence": [dict(note) for check in result.checks for note in check.evidence],
    }


def _check_json(check: CheckResult) -> dict[str, Any]:
    return {
        "nodeid": check.nodeid,
        "outcome": check.outcome.value,
        "seconds": round(check.seconds, 3),
        "how": check.how,
        "reason": check.reason,
        "evidence": [dict(note) for note in check.evidence],
        "plots": [plots.as_json(plot) for plot in check.plots],
        "artefacts": [asdict(artefact) for artefact in check.artefacts],
    }
