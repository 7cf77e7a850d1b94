# SPDX-License-Identifier: BSD-3-Clause
"""A whole run of small checks, with every way that one can end, from the command's arguments to the report."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from harness import plots, run
from harness.report import results

if TYPE_CHECKING:
    from pathlib import Path

SPEC = {"rss": ["RSS-03"], "napi": ["NAPI-02", "NAPI-03"], "tx": ["TX-01", "TX-02"], "irq": ["IRQ-16", "IRQ-17"]}

CHECKS = """
import pytest
from harness.claims import claim
from harness.errors import EnvironmentLacks, LabBroken
from harness.plots import Bar, Source

@pytest.fixture(scope="session")
def lab(run_facts, stage):
    stage("booting")
    run_facts["kernel"] = "7.3.4-1~bpo13+1"
    run_facts["accelerator"] = "tcg: no /dev/kvm"

@pytest.fixture(scope="session")
def bridge():
    raise EnvironmentLacks("ip must be installed: apt install iproute2")

@claim("RSS-03")
def test_queue(lab, evidence):
    \"\"\"Flow 7 of 9.\"\"\"
    evidence.bars("Spread", [3, 4], [Bar("guest", Source.GUEST, (7, 2))], x="queue", y="flows")
    evidence.note(what="flow 7", guest={"queue": 3}, device={"queue": 3})
    evidence.on_failure("never", lambda: 1 / 0)

@claim("NAPI-02")
@pytest.mark.parametrize("frames", [63, 64])
def test_polls(frames, evidence):
    evidence.note(guest=[frames])
    evidence.on_failure("ring snapshot", lambda: "head 3, tail 9")
    evidence.on_failure("register trace", lambda: 1 / 0)
    assert frames == 63

@claim("TX-01")
def test_needs_a_bridge(bridge): ...

@claim("TX-02")
def test_needs_kvm():
    pytest.skip("no /dev/kvm")

@claim("IRQ-16")
def test_of_another_kernel(lab):
    raise AssertionError("must not run")

@claim("IRQ-17")
def test_held_by_one_check(): ...

@claim("IRQ-17")
def test_broken_by_teardown(request):
    request.addfinalizer(lambda: (_ for _ in ()).throw(RuntimeError("left over")))

def test_without_claim(): ...
"""


@dataclass(frozen=True, slots=True)
class Finished:
    code: int
    output: str
    report: Path
    table: dict[str, Any]

    def claim(self, claim_id: str) -> dict[str, Any]:
        [found] = [claim for claim in self.table["claims"] if claim["id"] == claim_id]
        return found  # type: ignore[no-any-return]


def start(directory: Path, checks: str, *options: str, **request: str | bool | Path) -> Finished:
    spec, report, place = directory / "spec", directory / "report", directory / "checks"
    for path in (spec, place):
        path.mkdir()
    for area, ids in SPEC.items():
        words = [f'area = "{area.upper()}"\nchapter = "Chapter {area}"\n']
        for claim_id in ids:
            fields = ("title", "statement", "source", "guest_witness", "device_witness", "fault")
            words.append(f'[[claim]]\nid = "{claim_id}"\npriority = "P0"\n')
            words.append("".join(f'{field} = "{field} of {claim_id}"\n' for field in fields))
            words.append('kernels = ">=6.12,<7"\n' if claim_id == "IRQ-16" else "")
        (spec / f"{area}.toml").write_text("".join(words), encoding="utf-8")
    (place / "test_small.py").write_text(checks, encoding="utf-8")
    arguments = run.pytest_arguments(run.RunRequest(report=report, checks=place, **request))  # type: ignore[arg-type]
    command = [sys.executable, "-m", "pytest", *arguments, f"--spec-dir={spec}", *options]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p pytest_timeout"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    outcome = report / "results.json"
    return Finished(
        done.returncode, done.stdout + done.stderr, report, results.read(outcome) if outcome.is_file() else {}
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("run")
    return start(folder, CHECKS, every_claim=True, ktap=folder / "report" / "results.ktap")


@pytest.mark.parametrize(
    ("claim_id", "verdict", "reason"),
    [
        ("RSS-03", "held", ""),
        ("NAPI-02", "broken", "assert 64 == 63"),
        ("NAPI-03", "not run", "no check of it ran"),
        ("TX-01", "not run", "EnvironmentLacks: ip must be installed: apt install iproute2"),
        ("TX-02", "not run", "no /dev/kvm"),
        ("IRQ-16", "waived", "speaks of kernels >=6.12,<7, this guest runs 7.3.4-1~bpo13+1"),
        ("IRQ-17", "broken", "RuntimeError: left over"),
    ],
)
def test_each_end_of_a_check_gives_its_verdict(finished: Finished, claim_id: str, verdict: str, reason: str) -> None:
    claim = finished.claim(claim_id)
    assert (claim["verdict"], claim["reason"]) == (verdict, reason), finished.output


def test_both_witnesses_are_recorded(finished: Finished) -> None:
    assert finished.claim("RSS-03")["evidence"] == [{"what": "flow 7", "guest": {"queue": 3}, "device": {"queue": 3}}]


def test_how_a_check_looks_and_what_it_drew_are_recorded(finished: Finished) -> None:
    [check] = finished.claim("RSS-03")["checks"]
    assert check["how"] == "Flow 7 of 9."
    assert [plots.from_json(plot) for plot in check["plots"]] == [
        plots.Bars("Spread", "queue", "flows", ("3", "4"), (plots.Bar("guest", plots.Source.GUEST, (7, 2)),))
    ]
    page = (finished.report / "index.html").read_text(encoding="utf-8")
    assert page.count('<svg class="plot"') == 2, "in the gallery and beside the check"


def test_ktap_is_written_beside_the_report(finished: Finished) -> None:
    lines = (finished.report / "results.ktap").read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["KTAP version 1", "1..4"]
    assert "  ok 1 RSS-03 title of RSS-03" in lines
    assert "not ok 2 NAPI" in lines or "not ok 1 NAPI" in lines


def test_artefacts_are_collected_from_failures_only(finished: Finished) -> None:
    passed, failed = finished.claim("NAPI-02")["checks"]
    assert (passed["outcome"], passed["artefacts"]) == ("passed", [])
    names = [artefact["name"] for artefact in failed["artefacts"]]
    assert names == ["ring snapshot", "register trace", "traceback-call"]
    texts = [(finished.report / artefact["path"]).read_text(encoding="utf-8") for artefact in failed["artefacts"]]
    assert texts[0] == "head 3, tail 9"
    assert texts[1] == "could not be collected: ZeroDivisionError: division by zero\n"
    assert "test_small.py" in texts[2]


def test_a_claim_without_account_makes_the_run_red(finished: Finished) -> None:
    assert finished.table["problems"] == ["NAPI-03 (P0) must have a check or a waiver, and has none"]
    assert finished.table["exit_status"] == 1


def test_facts_of_the_environment_are_kept(finished: Finished) -> None:
    assert finished.table["facts"]["accelerator"] == "tcg: no /dev/kvm"
    assert "CPUs" in finished.table["facts"]["host"]


def test_the_terminal_names_each_claim_and_ends_with_the_report(finished: Finished) -> None:
    lines = finished.output.splitlines()
    assert "9 checks of 6 claims, 6 of them P0" in lines
    assert any(line.startswith("  passed     RSS-03  title of RSS-03  [test_queue]") for line in lines), finished.output
    assert "  broken  NAPI-02  P0  title of NAPI-02" in finished.output
    [sentence] = [line for line in lines if line.startswith("BROKEN: ")]
    assert sentence.startswith(
        "BROKEN: 1 of 7 must-claims held; broken: IRQ-17, NAPI-02; could not be judged: TX-01, TX-02"
    )
    assert f"Report: {finished.report / 'index.html'}" in lines


def test_junit_names_the_claims(finished: Finished) -> None:
    tree = ET.parse(finished.report / "junit.xml")  # noqa: S314 - our own file
    claims = [node.get("value") for node in tree.iter("property") if node.get("name") == "claim"]
    assert sorted(set(claims) - {None}) == ["IRQ-16", "IRQ-17", "NAPI-02", "RSS-03", "TX-01", "TX-02"]  # type: ignore[type-var]


def test_a_check_without_claim_is_kept_apart(finished: Finished) -> None:
    [check] = finished.table["unclaimed_checks"]
    assert check["nodeid"].endswith("test_without_claim")


def test_narrowing_by_claim_runs_and_judges_only_its_checks(tmp_path: Path) -> None:
    done = start(tmp_path, CHECKS, claim_ids="RSS-03")
    assert done.table["exit_status"] == 0, done.output
    assert done.table["problems"] == []
    assert [claim["id"] for claim in done.table["claims"] if claim["selected"]] == ["RSS-03"]
    assert "OK: 1 of 1 must-claims held" in done.output


def test_a_run_that_is_not_narrowed_judges_the_must_claims_only(tmp_path: Path) -> None:
    done = start(tmp_path, CHECKS)
    chosen = {claim["priority"] for claim in done.table["claims"] if claim["selected"]}
    assert chosen == {"P0"}
    assert "test_without_claim" not in done.output


def test_a_check_of_an_unknown_claim_stops_the_run_at_collection(tmp_path: Path) -> None:
    done = start(tmp_path, 'from harness.claims import claim\n@claim("RSS-3")\ndef test_a(): ...\n')
    assert done.code == pytest.ExitCode.USAGE_ERROR
    assert "test_small.py::test_a: @claim must cite a known claim, not 'RSS-3' (nearest: RSS-03)" in done.output
