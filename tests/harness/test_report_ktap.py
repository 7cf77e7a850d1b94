# SPDX-License-Identifier: BSD-3-Clause
"""The results as KTAP: verdicts, directives, plans that add up."""

from __future__ import annotations

import re
from dataclasses import replace

from harness.claims import State
from harness.report import ktap, results
from harness.report.results import CheckResult, ClaimResult, Outcome, RunResult
from harness.spec.catalogue import Claim, Priority

CLAIM = Claim("RSS-03", Priority.P0, "A title # with a hash", "Says so.", "src", "guest?", "device?", "fault")
PASSED = CheckResult("t.py::test_a", Outcome.PASSED, 0.5, ("RSS-03",))
FAILED = replace(PASSED, nodeid="t.py::test_b", outcome=Outcome.FAILED, reason="assert 3 == 4\nmore # of it")
LOST = replace(PASSED, outcome=Outcome.LAB_BROKEN, reason="QEMU must run, and ended with 1")
SKIPPED = replace(PASSED, outcome=Outcome.SKIPPED, reason="no /dev/kvm")
RESULT = re.compile(
    r"^(?P<indent> *)(?P<outcome>(?:not )?ok) (?P<number>\d+) (?P<what>[^#]*)(?: # (?P<directive>[A-Z]+)|$)"
)


def claimed(name: str, *checks: CheckResult, selected: bool = True, waived: str = "") -> ClaimResult:
    claim = replace(CLAIM, id=name, waived=waived)
    verdict, reason = results.judge(claim, checks)
    return ClaimResult(claim, "Scaling", State.CHECKED, verdict, checks, selected, reason)


def written(*claims: ClaimResult) -> list[str]:
    return list(ktap.lines(RunResult(claims, {"kernel": "6.12 #1 SMP"})))


def test_every_verdict_has_its_line() -> None:
    lines = written(
        claimed("RSS-01", PASSED),
        claimed("RSS-02", PASSED, FAILED),
        claimed("RSS-03", LOST),
        claimed("RSS-04", SKIPPED),
        claimed("RSS-05", waived="QEMU cannot"),
        claimed("RSS-06", PASSED, selected=False),
    )
    assert lines == [
        "KTAP version 1",
        "1..1",
        "# kernel: 6.12 1 SMP",
        "  KTAP version 1",
        "  1..5",
        "  ok 1 RSS-01 A title with a hash",
        "  # t.py::test_b: failed",
        "  #   assert 3 == 4",
        "  #   more # of it",
        "  not ok 2 RSS-02 A title with a hash",
        "  # t.py::test_a: lab broken",
        "  #   QEMU must run, and ended with 1",
        "  not ok 3 RSS-03 A title with a hash # ERROR QEMU must run, and ended with 1",
        "  # t.py::test_a: skipped",
        "  #   no /dev/kvm",
        "  ok 4 RSS-04 A title with a hash # SKIP no /dev/kvm",
        "  ok 5 RSS-05 A title with a hash # SKIP QEMU cannot",
        "not ok 1 RSS",
    ]


def test_plans_and_numbers_add_up() -> None:
    lines = written(
        claimed("RSS-01", PASSED), claimed("TX-01", SKIPPED), claimed("TX-02", SKIPPED), claimed("BQL-01", LOST)
    )
    plans = {"": 3, "  ": [1, 2, 1]}
    found = [match for line in lines if (match := RESULT.match(line))]
    assert [int(match["number"]) for match in found if not match["indent"]] == list(range(1, 1 + 3))
    assert [int(line.strip()[3:]) for line in lines if line.startswith("  1..")] == plans["  "]
    assert [(match["outcome"], match["what"], match["directive"]) for match in found if not match["indent"]] == [
        ("ok", "RSS", None),
        ("ok", "TX", "SKIP"),
        ("not ok", "BQL", None),
    ]
