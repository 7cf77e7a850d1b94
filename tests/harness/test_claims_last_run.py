# SPDX-License-Identifier: BSD-3-Clause
"""The verbs claims and explain beside a run's results: how a claim is checked, what the last run saw of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from harness import cli
from harness.report import results
from harness.report.results import Artefact, CheckResult, Outcome
from harness.spec import catalogue

if TYPE_CHECKING:
    from pathlib import Path

NODE = "harness/checks/test_rss.py::test_4096_flows_spread_as_the_table_weighs_them[weights0]"
SAID = {"guest": {"frames": list(range(500)), "who": "eth0"}, "device": [1, 2]}


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A run of two claims: one held, one broken with artefacts; all others were not meant to be judged."""
    kept = tuple(Artefact(name, f"artefacts/b/{name}.txt") for name in ("console", "events"))
    checks = [
        CheckResult(NODE, Outcome.PASSED, 1.5, ("RSS-07",), "", (SAID,)),
        CheckResult("t.py::test_b", Outcome.FAILED, 0.5, ("BQL-05",), "assert 3 == 4", (), kept),
    ]
    chosen = frozenset({"RSS-07", "BQL-05"})
    facts = {"kernel": "6.12.117+deb13-amd64", "started": "2026-11-25 10:00 UTC"}
    found = results.judge_all(catalogue.load(), checks, {}, chosen, facts)
    results.write(found, tmp_path / "results.json")
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert cli.main(argv) == 0
    return capsys.readouterr().out


def test_explain_says_how_and_what_was_seen(capsys: pytest.CaptureFixture[str], report: Path) -> None:
    text = said(capsys, "explain", "rss-07", "--report", str(report))
    assert "Check:        test_rss.py::test_4096_flows_spread_as_the_table_weighs_them" in text
    assert "more or less are over five standard deviations" in text
    assert "Last run:     held (2026-11-25 10:00 UTC, 6.12.117+deb13-amd64)" in text
    assert "guest   frames: [0, 1, 2" in text
    assert "device  [1, 2]" in text
    assert "lines more in results.json" in text
    assert max(map(len, text.splitlines())) <= 100


def test_explain_names_reason_and_artefacts_of_a_failure(capsys: pytest.CaptureFixture[str], report: Path) -> None:
    text = said(capsys, "explain", "BQL-05", "--report", str(report))
    assert "Last run:     broken" in text
    assert "assert 3 == 4" in text
    assert "kept in artefacts/b: console.txt, events.txt" in text


@pytest.mark.parametrize(("claim", "words"), [("RSS-03", "did not judge it"), ("BQL-05", "there is none")])
def test_explain_says_that_there_was_no_run(
    capsys: pytest.CaptureFixture[str], report: Path, tmp_path: Path, claim: str, words: str
) -> None:
    folder = report if claim == "RSS-03" else tmp_path / "absent"
    assert words in said(capsys, "explain", claim, "--report", str(folder))


def test_claims_are_filtered_by_ids_and_areas_in_any_case(capsys: pytest.CaptureFixture[str], report: Path) -> None:
    lines = said(capsys, "claims", "rfs", "bql-05,RSS-07", "--report", str(report)).splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == [
        "RSS-07", *("RFS-01", "RFS-02", "RFS-03", "RFS-04", "RFS-06"), "BQL-05"
    ]  # fmt: skip
    assert any(line.split()[:4] == ["BQL-05", "P0", "checked", "broken"] for line in lines)
    assert lines[-1].startswith("7 claims, 2 of them P0")


def test_claims_as_json_have_verdict_and_evidence_of_the_last_run(
    capsys: pytest.CaptureFixture[str], report: Path, tmp_path: Path
) -> None:
    table = {entry["id"]: entry for entry in json.loads(said(capsys, "claims", "--json", "--report", str(report)))}
    assert list(table) == [claim.id for claim in catalogue.load()]
    assert list(table["RSS-07"])[:6] == ["id", "priority", "state", "verdict", "checks", "evidence"]
    assert (table["RSS-07"]["verdict"], table["RSS-07"]["evidence"]) == ("held", [SAID])
    assert table["RSS-07"]["checks"] == ["test_rss.py::test_4096_flows_spread_as_the_table_weighs_them"]
    assert (table["BQL-05"]["verdict"], table["BQL-05"]["evidence"]) == ("broken", [])
    assert (table["RSS-03"]["verdict"], table["RSS-03"]["evidence"]) == (None, None)
    [alone] = json.loads(said(capsys, "claims", "RSS-07", "--json", "--report", str(tmp_path / "absent")))
    assert (alone["verdict"], alone["evidence"]) == (None, None)


def test_results_that_are_none_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{}", encoding="utf-8")
    assert cli.main(["claims", "--report", str(tmp_path)]) == 2
    assert "must be results of layout 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "words"), [("RSX", "an area must be one of"), ("RSS-99", "a claim must be a known one")]
)
def test_what_is_neither_area_nor_claim_is_refused(capsys: pytest.CaptureFixture[str], word: str, words: str) -> None:
    assert cli.main(["claims", word]) == 2
    assert words in capsys.readouterr().err
