# SPDX-License-Identifier: BSD-3-Clause
"""The comparison: which claims, what is run, the table, the JSON and the exit status."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from harness import cli, compare
from harness.compare import CameOut, CompareRequest, Row, chosen, command, judge, rows, sentence, status, table
from harness.emulator import CardOptions
from harness.errors import EnvironmentLacks, NotComparable, UsageError
from harness.lab import Bound, Lab
from harness.report.results import LAYOUT, ExitStatus
from harness.spec import catalogue

from .test_report_run import start

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

BOOK = catalogue.load()
HOLDS, FAILS, NOT_COMPARABLE, NOT_JUDGED, WAIVED = CameOut
HIGH, MEDIUM, REPAIRED, OTHER = "DEV-07", "DEV-16", "DEV-06", "RSS-03"
"""A departure of severity H that QEMU's igb fails, one of M, one that cannot be told, and a claim of another area."""


def row(claim_id: str, ours: CameOut, peer: CameOut) -> Row:
    return Row(BOOK.get(claim_id), ours, peer)


def run_of(verdicts: Mapping[str, str], *, dropped: Sequence[str] = ()) -> dict[str, Any]:
    """Return what a run leaves; ``dropped`` claims were not selected."""
    claims = [{"id": key, "verdict": word, "selected": key not in dropped} for key, word in verdicts.items()]
    return {"layout": LAYOUT, "exit_status": 0, "claims": claims}


def test_the_stand_ins_are_what_they_are_taken_for() -> None:
    found = {claim_id: BOOK.get(claim_id).departure for claim_id in (HIGH, MEDIUM, REPAIRED, OTHER)}
    told = {claim_id: departure and departure.must_be_told for claim_id, departure in found.items()}
    assert told == {HIGH: True, MEDIUM: False, REPAIRED: False, OTHER: None}


@pytest.mark.parametrize(
    ("request_", "first", "count"),
    [
        (CompareRequest("qemu-igb"), "DEV-01", 25),
        (CompareRequest("qemu-igb", claim_ids=("RSS-03", "DEV-04")), "RSS-03", 2),
        (CompareRequest("qemu-igb", expression="sync"), None, 0),
    ],
)
def test_without_a_choice_the_departures_are_compared(request_: CompareRequest, first: str | None, count: int) -> None:
    ids = chosen(request_, BOOK)
    assert (ids[0] if ids else None, len(ids)) == (first, count)


def test_all_is_every_claim_that_has_a_check_and_every_departure() -> None:
    ids = chosen(CompareRequest("qemu-igb", every_claim=True), BOOK)
    assert {"IRQ-01", "RSS-03", "DEV-01", "DEV-10"} < set(ids)
    assert list(ids) == [claim.id for claim in BOOK if claim.id in set(ids)], "in the order of the catalogue"


def test_both_cards_get_the_same_command(tmp_path: Path) -> None:
    request = CompareRequest("qemu-igb", expression="sync", accelerator="tcg", kernel="linux-image-x", smp=2)
    ours, peer = (command(request, card, ("DEV-04",), tmp_path) for card in ("hilnic", "qemu-igb"))
    assert [one for one, other in zip(ours, peer, strict=True) if one != other] == ["hilnic"]
    said = " ".join(ours)
    for words in ("--claims DEV-04", "-k sync", "--accel tcg", "--smp 2", "--kernel linux-image-x"):
        assert words in said


def test_rows_are_the_claims_that_both_runs_meant_to_judge() -> None:
    ours = run_of({OTHER: "held", HIGH: "held", MEDIUM: "broken", "DEV-10": "waived"}, dropped=["DEV-10"])
    peer = run_of({OTHER: "not comparable", HIGH: "broken", MEDIUM: "not run", "DEV-10": "waived"})
    found = [(one.claim.id, one.ours, one.peer) for one in rows(BOOK, ours, peer)]
    assert found == [(OTHER, HOLDS, NOT_COMPARABLE), (HIGH, HOLDS, FAILS), (MEDIUM, FAILS, NOT_JUDGED)]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([(HIGH, HOLDS, FAILS), (OTHER, HOLDS, NOT_COMPARABLE), ("DEV-10", WAIVED, WAIVED)], ExitStatus.HOLDS),
        ([(MEDIUM, HOLDS, HOLDS), (REPAIRED, HOLDS, FAILS), (OTHER, HOLDS, FAILS)], ExitStatus.HOLDS),
        ([(MEDIUM, HOLDS, NOT_JUDGED), (OTHER, HOLDS, NOT_JUDGED)], ExitStatus.HOLDS),
        ([(HIGH, HOLDS, HOLDS)], ExitStatus.BROKEN),
        ([(HIGH, HOLDS, NOT_COMPARABLE)], ExitStatus.BROKEN),
        ([(HIGH, HOLDS, FAILS), (OTHER, FAILS, FAILS)], ExitStatus.BROKEN),
        ([(HIGH, HOLDS, NOT_JUDGED)], ExitStatus.LACKS),
        ([(MEDIUM, NOT_JUDGED, FAILS)], ExitStatus.LACKS),
        ([(OTHER, FAILS, HOLDS), (HIGH, HOLDS, NOT_JUDGED)], ExitStatus.BROKEN),
    ],
)
def test_ours_must_hold_and_what_linux_sees_must_be_told(
    found: list[tuple[str, CameOut, CameOut]], expected: ExitStatus
) -> None:
    assert status([row(*one) for one in found]) is expected


def test_the_table_has_both_columns_what_was_expected_and_a_mark_at_a_surprise() -> None:
    head, *lines = table(
        [row(HIGH, HOLDS, FAILS), row(MEDIUM, HOLDS, HOLDS), row(OTHER, HOLDS, NOT_COMPARABLE)], "qemu-igb"
    )
    assert head.split() == ["claim", "ours", "qemu-igb", "expected", "of", "it", "what", "the", "claim", "says"]
    at = [head.index(word) for word in ("claim", "ours", "qemu-igb", "expected", "what")]
    cells = [[line[start:end].strip() for start, end in zip(at, [*at[1:], None], strict=True)] for line in lines]
    assert [cell[:4] for cell in cells] == [
        [f"{HIGH}   H", "holds", "fails", "fails"],
        [f"{MEDIUM}   M", "holds", "holds", "fails"],
        [OTHER, "holds", "not comparable", "-"],
    ]
    assert [line[0] for line in lines] == [" ", "!", " "]
    assert cells[0][4] == BOOK.get(HIGH).title


def test_the_sentence_names_what_is_wrong() -> None:
    said = sentence([row(HIGH, HOLDS, HOLDS), row(OTHER, FAILS, NOT_COMPARABLE), row("DEV-10", WAIVED, WAIVED)])
    assert said.startswith("BROKEN: ours holds 1 of 2 claims; 0 tell the two cards apart")
    for words in (f"broken on ours: {OTHER}", f"though Linux sees it: {HIGH}", f"expected: {HIGH}", "1 not comparable"):
        assert words in said


def test_json_is_a_list_of_four_words_a_claim() -> None:
    found = json.loads(compare.as_json([row(HIGH, HOLDS, FAILS), row(OTHER, HOLDS, NOT_COMPARABLE)]))
    assert found == [
        {"id": HIGH, "ours": "holds", "peer": "fails", "expected": "fails"},
        {"id": OTHER, "ours": "holds", "peer": "not comparable", "expected": None},
    ]


RUN = """
import json, sys
from pathlib import Path
print("24 checks", "  passed     DEV-07 short  0.1 s", "  not comparable RSS-03 queue  0.1 s", "a table", sep="\\n")
table = {table!r}
if table: Path({report!r}, "results.json").write_text(json.dumps(table))
print("hilnic: error: it was so", file=sys.stderr)
sys.exit({code})
"""


def test_a_run_says_what_it_does_and_leaves_its_results(tmp_path: Path) -> None:
    said: list[str] = []
    left = run_of({HIGH: "held"})
    argv = [sys.executable, "-c", RUN.format(table=left, report=str(tmp_path), code=1)]
    assert judge(argv, tmp_path, said.append) == left
    assert said == ["  passed     DEV-07 short  0.1 s", "  not comparable RSS-03 queue  0.1 s"]
    assert "a table" in (tmp_path / "output.txt").read_text()


@pytest.mark.parametrize(("code", "error"), [(2, UsageError), (3, EnvironmentLacks)])
def test_a_run_without_results_is_an_error_with_its_last_words(
    tmp_path: Path, code: int, error: type[Exception]
) -> None:
    (tmp_path / "results.json").write_text(json.dumps(run_of({HIGH: "held"})))
    argv = [sys.executable, "-c", RUN.format(table={}, report=str(tmp_path), code=code)]
    with pytest.raises(error, match="it was so"):
        judge(argv, tmp_path, lambda _line: None)


@pytest.mark.parametrize(
    ("peer", "code"),
    [({HIGH: "broken", MEDIUM: "held"}, 0), ({HIGH: "held", MEDIUM: "broken"}, 1), ({HIGH: "not run"}, 3)],
)
@pytest.mark.parametrize("target", ["-", "file"])
def test_the_command_shows_saves_and_ends_as_it_should(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    peer: dict[str, str],
    code: int,
    target: str,
) -> None:
    ran: list[str] = []

    def judged(argv: Sequence[str], _report: Path, tell: Any) -> dict[str, Any]:
        card = argv[argv.index("--card") + 1]
        ran.append(card)
        tell(f"  passed     a check on {card}")
        return run_of(dict.fromkeys(peer, "held") if card == "hilnic" else peer)

    monkeypatch.setattr(compare, "judge", judged)
    saved = tmp_path / "deep" / "rows.json"
    place = target if target == "-" else str(saved)
    argv = ["compare", "--claims", ",".join(peer), "--json", place, "--report", str(tmp_path)]
    assert cli.main(argv) == code
    out, err = capsys.readouterr()
    assert ran == ["hilnic", "qemu-igb"]
    shown, data = (err, out) if target == "-" else (out, saved.read_text())
    assert [found["id"] for found in json.loads(data)] == list(peer)
    assert "expected of it" in shown
    assert "qemu-igb   passed     a check on qemu-igb" in shown


def test_an_unknown_peer_and_an_unknown_claim_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["compare", "--peer", "e1000"])
    assert cli.main(["compare", "--claims", "DEV-77"]) == ExitStatus.USAGE.value
    assert "not 'DEV-77'" in capsys.readouterr().err


CHECKS = """
from harness.claims import claim
from harness.errors import LabBroken, NotComparable

@claim("RSS-03")
def test_asks_the_control_socket(evidence):
    evidence.on_failure("never", lambda: 1 / 0)
    raise NotComparable("the card must have a control socket, and qemu-igb has none")

@claim("TX-01")
def test_in_a_broken_lab():
    raise LabBroken("the wire is cut")

@claim("TX-01")
def test_asks_it_too():
    raise NotComparable("the card must have a control socket, and qemu-igb has none")
"""


def test_what_another_card_cannot_be_asked_is_not_comparable_and_no_failure(tmp_path: Path) -> None:
    finished = start(tmp_path, CHECKS)
    found = {claim_id: finished.claim(claim_id) for claim_id in ("RSS-03", "TX-01")}
    assert {claim_id: claim["verdict"] for claim_id, claim in found.items()} == {
        "RSS-03": "not comparable",
        "TX-01": "not run",
    }
    assert "control socket" in found["RSS-03"]["reason"]
    assert [check["artefacts"] for check in found["RSS-03"]["checks"]] == [[]]
    assert "  not comparable RSS-03" in finished.output
    assert 'class="verdict not-comparable"' in (finished.report / "index.html").read_text()


def test_a_card_without_a_control_socket_says_so() -> None:
    bound = Bound(None, None, None, None, CardOptions("qemu-igb"), None)  # type: ignore[arg-type]
    with pytest.raises(NotComparable, match="control socket, and qemu-igb has none"):
        _ = bound.card


@pytest.mark.parametrize("options", [CardOptions(), CardOptions("qemu-igb", interrupts="msi"), CardOptions(rate="10")])
def test_a_lab_of_the_peers_cards_plugs_no_other(options: CardOptions) -> None:
    lab = Lab.__new__(Lab)
    lab.default = CardOptions("qemu-igb")
    with pytest.raises(NotComparable, match="the card must be as qemu-igb is, not"):
        lab.plug(options)
