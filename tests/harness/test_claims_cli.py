# SPDX-License-Identifier: BSD-3-Clause
"""The command hilnic: what it prints, how it refuses, and how it tries mutants."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import cli, mutants, run
from harness.errors import LabBroken, UsageError
from harness.mutants import Fate, Mutant, Table
from harness.report.results import ExitStatus
from harness.run import RunRequest
from harness.spec import catalogue

TABLE = """
MUTANTS: dict[str, str] = {"RSS-03": "always_queue_zero", "NAPI-02": "message_for_every_frame"}

def always_queue_zero(card): ...
def message_for_every_frame(card): ...
"""


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Return the one line that a refused command writes."""
    try:
        status: object = cli.main(argv)
    except SystemExit as end:  # argparse leaves this way
        status = end.code
    assert status == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("explain", "RSS-3"), "hilnic: error: a claim must be a known one, not 'RSS-3' (nearest: RSS-03)"),
        (("claims", "--area", "foo"), "an area must be one of IRQ, ING, "),
        (("run", "--claims", "RSS-03,TXX-01"), "not 'TXX-01' (nearest: TX-01)"),
        (("run", "--smp", "0"), "--smp must be 1 or more, not 0"),
        (("run", "--smp", "two"), "invalid int value: 'two'"),
        (("run", "--accel", "xen"), "invalid choice: 'xen'"),
        (("run", "--claims", "RSS-03", "--ktap", "/"), "--ktap must name a file that can be written, not '/': "),
        (("mutants", "--table", "/nonexistent/m.py"), "/nonexistent/m.py: a table of mutants must be readable Python"),
        (("fly",), "invalid choice: 'fly'"),
        ((), "the following arguments are required: VERB"),
    ],
)
def test_a_wrong_command_is_one_line(capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], words: str) -> None:
    line = refused(capsys, *argv)
    assert words in line
    assert line.startswith("hilnic")


def test_claims_of_an_area_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["claims", "--area", "rfs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "RFS  Receive flow steering"
    assert [line.split()[0] for line in lines[1:-1]] == ["RFS-01", "RFS-02", "RFS-03", "RFS-04", "RFS-06"]
    assert lines[-1].startswith("5 claims, 0 of them P0")


def test_claims_as_json_hold_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["claims", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert len(table) == len(catalogue.load())
    [claim] = [entry for entry in table if entry["id"] == "IRQ-16"]
    assert (claim["priority"], claim["kernels"]) == ("P0", ">=6.12,<7")


def test_explain_takes_any_case_and_prints_both_witnesses(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", "bql-08"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("BQL-08 (P0, ")
    assert all(label in text for label in ("Source:", "Guest:", "Device:", "Turns it red:"))


@pytest.mark.parametrize("verb", ["", "run", "mutants", "docs"])
def test_help_documents_the_exit_status(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    with pytest.raises(SystemExit):
        cli.main([verb, "--help"] if verb else ["--help"])
    text = capsys.readouterr().out
    lines = text.partition("exit status:")[2].splitlines()
    documented = [int(line.split()[0]) for line in lines if line.startswith("  ")]
    assert documented == [*(status.value for status in ExitStatus), cli.INTERRUPTED]


def test_a_run_that_is_not_narrowed_keeps_accounts(tmp_path: Path) -> None:
    assert "--claim-accounts" in run.pytest_arguments(RunRequest(tmp_path))
    for narrowed in (RunRequest(tmp_path, expression="rss"), RunRequest(tmp_path, claim_ids="RSS-03")):
        assert "--claim-accounts" not in run.pytest_arguments(narrowed)


def test_options_reach_pytest(tmp_path: Path) -> None:
    request = RunRequest(
        tmp_path, accelerator="tcg", kernel="linux-image-6.12", smp=2, card_patch="m.py:f", card="qemu-igb"
    )
    arguments = run.pytest_arguments(request)
    for argument in ("--accel=tcg", "--kernel=linux-image-6.12", "--smp=2", "--card-patch=m.py:f", "--card=qemu-igb"):
        assert argument in arguments


def test_the_table_of_mutants_is_read_without_running_it(tmp_path: Path) -> None:
    table = tmp_path / "mutants.py"
    table.write_text("raise SystemExit\n" + TABLE, encoding="utf-8")
    found = (Mutant("RSS-03", "always_queue_zero", table), Mutant("NAPI-02", "message_for_every_frame", table))
    assert mutants.read_table(table) == Table(found, {})


def test_a_folder_of_mutants_is_one_table(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text("x = 1", encoding="utf-8")
    (tmp_path / "rss.py").write_text('def f(card): ...\nMUTANTS = {"RSS-03": "f"}', encoding="utf-8")
    (tmp_path / "napi.py").write_text('MUTANTS = {}\nNO_MUTANT = {"NAPI-01": "no card has a say"}', encoding="utf-8")
    table = mutants.read_table(tmp_path)
    assert table.mutants == (Mutant("RSS-03", "f", tmp_path / "rss.py"),)
    assert table.reasons == {"NAPI-01": "no card has a say"}
    assert table.claim_ids == {"RSS-03", "NAPI-01"}


def test_a_claim_in_two_files_of_mutants_is_refused(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text('def f(card): ...\nMUTANTS = {"RSS-03": "f"}', encoding="utf-8")
    with pytest.raises(UsageError, match=r"RSS-03 must be in one file, not in .*a\.py and .*b\.py"):
        mutants.read_table(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('MUTANTS = {"RSS-03": "absent"}', r"MUTANTS\['RSS-03'\] must name a function there, not 'absent'"),
        ("MUTANTS = dict(a=1)", r"MUTANTS must be a literal dict, not dict\(a=1\)"),
        ("x = 1", "MUTANTS must be a literal dict, not absent"),
        ("MUTANTS = {", "must be readable Python"),
        ('MUTANTS = {}\nNO_MUTANT = {"RSS-03": " "}', r"NO_MUTANT\['RSS-03'\] must be a sentence, not ' '"),
    ],
)
def test_a_malformed_table_is_refused(tmp_path: Path, text: str, words: str) -> None:
    table = tmp_path / "mutants.py"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=words):
        mutants.read_table(table)


@pytest.mark.parametrize(
    ("verdict", "fate"), [("broken", Fate.KILLED), ("held", Fate.SURVIVED), ("not run", Fate.UNJUDGED)]
)
def test_a_mutant_is_killed_only_by_a_broken_claim(verdict: str, fate: Fate) -> None:
    found = {"claims": [{"id": "RSS-03", "verdict": verdict, "reason": "why"}, {"id": "TX-01", "verdict": "broken"}]}
    assert mutants.fate_of(Mutant("RSS-03", "f", Path("m.py")), found) == (fate, "why")


def test_a_broken_lab_leaves_one_mutant_unjudged_and_tries_the_next() -> None:
    def attempt(mutant: Mutant) -> tuple[Fate, str]:
        if mutant.claim_id == "RSS-03":
            raise LabBroken("QEMU must run, and ended with 1")
        return Fate.KILLED, "assert 0 == 3"

    said: list[str] = []
    table = Path("m.py")
    fates = mutants.try_mutants([Mutant("RSS-03", "a", table), Mutant("TX-01", "b", table)], attempt, said.append)
    assert list(fates.values()) == [Fate.UNJUDGED, Fate.KILLED]
    assert said == [
        "  unjudged RSS-03   a  (QEMU must run, and ended with 1)",
        "  killed   TX-01    b  (assert 0 == 3)",
    ]
