# SPDX-License-Identifier: BSD-3-Clause
"""The matrix: which cells, what is run in each, the table, the JSON and the exit status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from harness import cli, matrix
from harness.errors import UsageError
from harness.matrix import Cell, Outcome
from harness.report.results import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def outcome(status: ExitStatus, broken: Sequence[str] = (), *, cell: Cell | None = None) -> Outcome:
    counts = {"held": 80 - len(broken), "broken": len(broken)}
    return Outcome(cell or Cell("", "msix", 4), "6.12.1-amd64", counts, tuple(broken), status, 130.4)


def test_every_number_of_cpus_is_tried_with_msix_and_one_with_a_single_vector() -> None:
    found = matrix.cells(["", "linux-image-amd64/trixie-backports"], ["msix", "intx"], [1, 4, 16])
    assert [(cell.mode, cell.cpus, cell.queues) for cell in found[:4]] == [
        ("msix", 1, 1), ("msix", 4, 4), ("msix", 16, 8), ("intx", 4, 1),
    ]  # fmt: skip
    assert len(found) == 8
    assert len({cell.name for cell in found}) == 8
    assert all("/" not in cell.name for cell in found)


def test_a_single_vector_takes_the_first_number_where_the_usual_one_is_not_asked_for() -> None:
    assert [cell.cpus for cell in matrix.cells([""], ["msi"], [2, 8])] == [2]


@pytest.mark.parametrize(
    ("modes", "cpus", "words"), [(["msix", "irq"], [4], "not 'irq'"), (["msi"], [4, 0], "numbers from 1 on, not 0")]
)
def test_a_cell_that_cannot_be_is_refused(modes: list[str], cpus: list[int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        matrix.cells([""], modes, cpus)


def test_shards_together_are_the_matrix() -> None:
    whole = matrix.cells(list(matrix.KERNELS), list(matrix.MODES), list(matrix.CPUS))
    parts = [matrix.shard(whole, f"{part}/5") for part in range(1, 6)]
    assert sorted((cell for part in parts for cell in part), key=whole.index) == whole
    assert {len(part) for part in parts} <= {2, 3}
    assert matrix.shard(whole, "") == whole


@pytest.mark.parametrize("part", ["0/4", "5/4", "2", "a/b", "1/0"])
def test_an_impossible_shard_is_refused(part: str) -> None:
    with pytest.raises(UsageError, match=part):
        matrix.shard([], part)


def test_a_cell_is_run_by_the_command_that_people_use(tmp_path: Path) -> None:
    argv = Cell("linux-image-amd64/sid", "msi", 4).command(tmp_path, ["--accel=tcg"])
    arguments = cli.parser().parse_args(argv[argv.index("run") :])
    assert (arguments.kernel, arguments.irq, arguments.smp) == ("linux-image-amd64/sid", "msi", 4)
    assert (arguments.accel, arguments.report) == ("tcg", tmp_path)


def test_a_cells_results_are_counted_where_they_were_asked_for() -> None:
    claims = [
        {"id": "RSS-01", "verdict": "held", "selected": True},
        {"id": "RSS-02", "verdict": "broken", "selected": True},
        {"id": "RSS-03", "verdict": "broken", "selected": False},
    ]
    table: dict[str, Any] = {"claims": claims, "facts": {"kernel": "7.3.4"}, "exit_status": 1, "seconds": 12.5}
    found = matrix.read(Cell("", "msix", 4), table)
    assert (found.release, dict(found.counts), found.broken) == ("7.3.4", {"held": 1, "broken": 1}, ("RSS-02",))
    assert (found.status, found.seconds) == (ExitStatus.BROKEN, 12.5)


def test_the_table_has_a_row_a_cell_and_marks_the_usual_one() -> None:
    usual, other = outcome(ExitStatus.HOLDS), outcome(ExitStatus.BROKEN, ["TX-01"], cell=Cell("", "msi", 4))
    head, first, second, foot = matrix.table([usual, other])
    assert head.split()[:4] == ["kernel", "irq", "CPUs", "queues"]
    assert first.split()[:5] == ["6.12.1-amd64", "msix", "4", "4*", "80"]
    assert second.split()[:5] == ["6.12.1-amd64", "msi", "4", "1", "79"]
    assert second.endswith("TX-01")
    assert foot.lstrip().startswith("*")
    assert len(first.partition("80")[0]) == head.index("held") + len("held") - len("80")


@pytest.mark.parametrize(
    ("statuses", "whole", "mark"),
    [
        ([ExitStatus.HOLDS, ExitStatus.HOLDS], ExitStatus.HOLDS, "OK: every must-claim that was judged held in 2 of 2"),
        ([ExitStatus.LACKS, ExitStatus.HOLDS], ExitStatus.LACKS, "INCOMPLETE: "),
        ([ExitStatus.BROKEN, ExitStatus.LACKS], ExitStatus.BROKEN, "BROKEN: "),
    ],
)
def test_the_worst_cell_decides(statuses: list[ExitStatus], whole: ExitStatus, mark: str) -> None:
    outcomes = [outcome(status) for status in statuses]
    assert matrix.status(outcomes) is whole
    assert matrix.sentence(outcomes).startswith(mark)


def test_the_table_as_data() -> None:
    [row] = json.loads(matrix.as_json([outcome(ExitStatus.BROKEN, ["TX-01"])]))
    assert row == {
        "kernel": "6.12.1-amd64", "irq": "msix", "cpus": 4, "queues": 4,
        "verdicts": {"held": 79, "broken": 1}, "broken": ["TX-01"], "status": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--smp", "4,many"), "must hold numbers, not 'many'"),
        (("--irq", "pin"), "not 'pin'"),
        (("--shard", "9/3"), "not '9/3'"),
    ],
)
def test_wrong_words_end_in_one_line(capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], words: str) -> None:
    assert cli.main(["matrix", *argv]) == ExitStatus.USAGE.value
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
