# SPDX-License-Identifier: BSD-3-Clause
"""The run: turns, choice of workloads, and what the command prints and saves."""

from __future__ import annotations

import json
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from guest_images import errors as set_up
from harness import cli
from harness.bench import command
from harness.bench.bench import OURS, THEIRS, WORKLOADS, Bench, Plan, in_turns
from harness.bench.command import BenchRequest, bench
from harness.bench.environment import commit
from harness.bench.figures import Quantity, Row, Spread
from harness.errors import EnvironmentLacks, GuestFault, UsageError
from harness.machine import Machine
from harness.report.terminal import Progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.lab import Lab

NUMBERS = SimpleNamespace(name="numbers", quantities=(Quantity("first", "u"), Quantity("second", "u")))


def test_the_cards_take_turns_and_who_begins_changes() -> None:
    order: list[int] = []

    def measure(which: int) -> tuple[float, ...]:
        order.append(which)
        return (float(len(order)), 100.0 * len(order))

    rows = in_turns(NUMBERS, 3, measure, lambda _text: None)
    assert order == [OURS, THEIRS, THEIRS, OURS, OURS, THEIRS]
    assert rows == [
        Row(NUMBERS.quantities[0], Spread(4.0, 1.0, 5.0), Spread(3.0, 2.0, 6.0)),
        Row(NUMBERS.quantities[1], Spread(400.0, 100.0, 500.0), Spread(300.0, 200.0, 600.0)),
    ]


def test_progress_names_workload_round_and_card() -> None:
    told: list[str] = []
    in_turns(NUMBERS, 1, lambda _which: (1.0, 2.0), told.append)
    assert told == ["numbers: round 1 of 1, our card", "numbers: round 1 of 1, QEMU's igb"]


def test_a_sample_that_lacks_a_quantity_is_a_mistake_that_shows() -> None:
    with pytest.raises(ValueError, match="shorter"):
        in_turns(NUMBERS, 1, lambda _which: (1.0,), lambda _text: None)


def test_every_quantity_has_a_name_of_its_own() -> None:
    names = [quantity.name for workload in WORKLOADS for quantity in workload.quantities]
    assert len(set(names)) == len(names)
    assert all(quantity.name.startswith(workload.name) for workload in WORKLOADS for quantity in workload.quantities)


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [("", len(WORKLOADS)), ("BURST 32", 6), ("tcp from", 2), ("ping", 1), ("receive 64 B, 64 flows, ", 3)],
)
def test_a_plan_wants_what_its_text_is_part_of(expression: str, chosen: int) -> None:
    plan = Plan(expression=expression)
    assert sum(plan.wants(workload) for workload in WORKLOADS) == chosen


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--rounds", "0"), "--rounds must be 1 or more, not 0"),
        (("--smp", "0"), "--smp must be 1 or more, not 0"),
        (("-k", "sctp"), "not 'sctp' (there are: card alone, transmit 64 B;"),
    ],
)
def test_a_bench_of_nothing_is_refused(capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], words: str) -> None:
    assert cli.main(["bench", *argv]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert words in line


class Screen:
    is_tty = False

    def line(self, text: str) -> None:
        """Show nothing."""

    def rewrite(self, text: str) -> None:
        """Show nothing."""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Row], Exception | None], None]:
    """Return what makes every run yield ``rows`` and then, perhaps, break."""

    def make(rows: list[Row], error: Exception | None) -> None:
        class Broken:
            def __init__(self, _lab: object, _plan: object, _folder: object, _tell: object, done: object) -> None:
                self._done = done

            def run(self) -> None:
                self._done(rows)  # type: ignore[operator]
                if error is not None:
                    raise error

        monkeypatch.setattr(command, "open_lab", lambda *_args, **_options: nullcontext())
        monkeypatch.setattr(command, "environment", lambda _lab: {"commit": "0123456789"})
        monkeypatch.setattr(command, "Bench", Broken)

    return make


def test_what_was_measured_is_printed_and_saved_although_the_run_broke(
    world: Callable[[list[Row], Exception | None], None], tmp_path: Path
) -> None:
    said: list[str] = []
    request = BenchRequest(Plan(), tmp_path / "bench.json", tmp_path)
    world([Row(Quantity("first", "u"), Spread(1.0, 1.0, 1.0), Spread(2.0, 2.0, 2.0))], GuestFault("it died"))
    with pytest.raises(GuestFault, match="it died"):
        bench(request, Progress(Screen()), said.append)
    [entry] = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert (entry["workload"], entry["ratio"], entry["environment"]) == ("first", 0.5, {"commit": "0123456789"})
    assert any(line.startswith("first") for line in said)
    assert "commit       0123456789" in said


def test_a_run_that_broke_before_its_first_row_leaves_older_results_alone(
    world: Callable[[list[Row], Exception | None], None], tmp_path: Path
) -> None:
    (tmp_path / "bench.json").write_text("[1]")
    world([], GuestFault("it died"))
    with pytest.raises(GuestFault):
        bench(BenchRequest(Plan(), tmp_path / "bench.json", tmp_path), Progress(Screen()), lambda _text: None)
    assert (tmp_path / "bench.json").read_text() == "[1]"


def test_workloads_that_need_root_are_skipped_with_the_reason_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("harness.bench.bench.snapshot", lambda *_args: tmp_path)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    machine = Machine(tmp_path, None, None, "")
    lab, rows = SimpleNamespace(materials=None, machine=machine), list[Row]()
    Bench(cast("Lab", lab), Plan(expression="ping"), tmp_path, lambda _text: None, rows.extend).run()
    assert [(row.quantity.name, row.ours, row.theirs) for row in rows] == [
        ("ping p50", None, None),
        ("ping p99", None, None),
    ]
    assert {row.skipped for row in rows} == {"TAP interfaces in a network namespace of our own need root"}


@pytest.mark.parametrize(
    ("raised", "expected"), [(set_up.EnvironmentLacks("gcc"), EnvironmentLacks), (set_up.UsageError("x"), UsageError)]
)
def test_what_set_up_lacks_ends_in_the_command_s_own_errors(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, raised: Exception, expected: type[Exception]
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise raised

    monkeypatch.setattr(command, "open_lab", refuse)
    with pytest.raises(expected, match=str(raised)):
        bench(BenchRequest(Plan(), tmp_path / "bench.json", tmp_path), Progress(Screen()), lambda _text: None)


def test_the_commit_of_something_else_than_a_repository_is_unknown(tmp_path: Path) -> None:
    assert commit(tmp_path) == "unknown"
