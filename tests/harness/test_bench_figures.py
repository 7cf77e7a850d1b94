# SPDX-License-Identifier: BSD-3-Clause
"""Samples to medians, ratios, table and JSON."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from harness.bench import page
from harness.bench.bars import BARS, MEANS, bar_of, means
from harness.bench.bench import WORKLOADS
from harness.bench.figures import Quantity, Row, Spread, as_json, cpu_table, number, percentile, table, write
from harness.bench.processor import Split
from harness.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

RATE = Quantity("transmit", "pps")
DELAY = Quantity("ping p50", "µs", more_is_better=False)


def test_a_spread_is_median_least_and_most() -> None:
    assert Spread.of([7.0, 1.0, 2.0]) == Spread(2.0, 1.0, 7.0)


def test_the_median_of_two_lies_between_them() -> None:
    assert Spread.of([4.0, 1.0]) == Spread(2.5, 1.0, 4.0)


def test_a_spread_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="one sample or more, not none"):
        Spread.of([])


@pytest.mark.parametrize(("percent", "expected"), [(1, 1), (50, 50), (50.5, 51), (99, 99), (99.1, 100), (100, 100)])
def test_a_percentile_is_the_nearest_rank(percent: float, expected: int) -> None:
    samples = [float((n * 37) % 100 + 1) for n in range(100)]  # 1 to 100, shuffled
    assert percentile(samples, percent) == expected


def test_a_high_percentile_of_few_samples_is_the_largest() -> None:
    assert percentile([3.0, 9.0, 4.0], 99) == 9.0


@pytest.mark.parametrize(("samples", "percent"), [([], 50), ([1.0], 0), ([1.0], -1), ([1.0], 100.1)])
def test_an_impossible_percentile_is_refused(samples: list[float], percent: float) -> None:
    with pytest.raises(UsageError, match="a percentile must be"):
        percentile(samples, percent)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.01234, "0.0123"), (0.5, "0.500"), (1.5, "1.50"), (23.46, "23.5"), (234.4, "234"),
        (1234.6, "1,235"), (1_234_567.0, "1,234,567"), (-0.25, "-0.250"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_the_ratio_is_ours_over_theirs_by_medians() -> None:
    assert Row(RATE, Spread(3.0, 1.0, 100.0), Spread(12.0, 2.0, 13.0)).ratio == 0.25


@pytest.mark.parametrize(
    "row", [Row(RATE, Spread(3.0, 3.0, 3.0), Spread(0.0, 0.0, 1.0)), Row(RATE, skipped="no root"), Row(RATE)]
)
def test_there_is_no_ratio_without_a_divisor(row: Row) -> None:
    assert row.ratio is None


def test_the_table_lines_up_and_says_which_way_is_better() -> None:
    rows = [
        Row(
            RATE,
            Spread(5000.0, 4000.0, 6000.0),
            Spread(20_000.0, 19_000.0, 21_000.0),
            bar=0.3,
            yardstick=Spread(7.0, 7.0, 7.0),
        ),
        Row(DELAY, Spread(300.0, 200.0, 400.0), Spread(150.0, 100.0, 160.0), bar=2.5),
    ]
    assert table(rows) == [
        "workload  unit  better                 ours              QEMU's igb  ours/theirs      bar          virtio-net",
        "--------  ----  ------  -------------------  ----------------------  -----------  -------  ------  ----------",
        "transmit  pps   more    5,000 (4,000–6,000)  20,000 (19,000–21,000)        0.250  ≥ 0.300  missed        7.00",
        "ping p50  µs    less          300 (200–400)           150 (100–160)         2.00   ≤ 2.50      ok",
    ]


def test_a_reason_for_skipping_is_told_once_below_the_table() -> None:
    lines = table([Row(RATE, skipped="needs root"), Row(DELAY, skipped="needs root")])
    assert [line for line in lines if "needs root" in line] == ["skipped: needs root"]
    assert lines[2].split() == ["transmit", "pps", "more", "skipped", "skipped"]


def test_json_has_medians_ranges_and_the_environment() -> None:
    [entry] = as_json([Row(RATE, Spread(3.0, 1.0, 4.0), Spread(12.0, 11.0, 13.0))], {"commit": "abc"})
    assert entry == {
        "workload": "transmit",
        "ours": 3.0,
        "theirs": 12.0,
        "unit": "pps",
        "ratio": 0.25,
        "bar": None,
        "bar_is_absolute": False,
        "ok": None,
        "better": "more",
        "ours_range": [1.0, 4.0],
        "theirs_range": [11.0, 13.0],
        "yardstick": None,
        "yardstick_range": None,
        "cpu": None,
        "skipped": None,
        "environment": {"commit": "abc"},
    }


def test_who_used_the_cpus_is_told_for_each_card_and_for_each_workload_once() -> None:
    used = (Split(0.1, 0.25, 1.5), Split(0.0, 0.5, 1.25))
    spread = Spread(1.0, 1.0, 1.0)
    rows = [Row(RATE, spread, spread, used=used), Row(DELAY, spread, spread, used=used), Row(DELAY, spread, spread)]
    assert cpu_table(rows) == [
        "CPU seconds of a measurement, card + rest of QEMU + guest",
        "workload                ours          QEMU's igb  virtio-net",
        "--------  ------------------  ------------------  ----------",
        "transmit  0.10 + 0.25 + 1.50  0.00 + 0.50 + 1.25",
    ]
    assert cpu_table(rows[2:]) == []
    assert as_json(rows[:1], {})[0]["cpu"] == {
        "ours": {"card": 0.1, "qemu": 0.25, "guest": 1.5},
        "theirs": {"card": 0.0, "qemu": 0.5, "guest": 1.25},
    }


def test_json_of_a_skipped_workload_holds_its_reason_and_no_number(tmp_path: Path) -> None:
    write([Row(DELAY, skipped="needs root")], {}, tmp_path / "new" / "bench.json")
    [entry] = json.loads((tmp_path / "new" / "bench.json").read_text(encoding="utf-8"))
    assert (entry["skipped"], entry["ours"], entry["theirs"], entry["ratio"]) == ("needs root", None, None, None)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(UsageError, match=r"taken/bench\.json must be writable, and is not"):
        write([], {}, tmp_path / "taken" / "bench.json")


def test_every_bar_is_that_of_some_workload_and_means_are_geometric() -> None:
    names = [quantity.name for workload in WORKLOADS for quantity in workload.quantities] + list(MEANS)
    for pattern, _ in BARS:
        assert any(re.fullmatch(pattern, name) for name in names), pattern
    assert bar_of("transmit 64 B, 2 queues, burst 32, clones 1000") == 1.3
    assert bar_of("transmit 1500 B, 4 queues, burst 1, clones 0") == 0.9
    assert bar_of("transmit 64 B, 2 queues, burst 32, clones 1000: not counted by the card") is None
    rows = [
        Row(Quantity(f"transmit 64 B, 1 queues, burst {burst}, clones 0", "packets/s"), spread, Spread(1, 1, 1))
        for burst, spread in ((1, Spread(1, 1, 1)), (32, Spread(4, 4, 4)))
    ]
    [mean] = means(rows)
    assert (mean.quantity.name, mean.ratio, mean.ok) == ("transmit, geometric mean", 2.0, True)


def test_the_page_draws_ratios_growth_and_cpu_time_and_holds_all_figures(tmp_path: Path) -> None:
    spread = Spread(2e6, 1e6, 3e6)
    alone = [
        Row(Quantity(f"card alone, transmit 64 B{more}", "packets/s of a core"), spread) for more in ("", ", 2 queues")
    ]
    used = (Split(0.1, 0.2, 0.3), Split(0.0, 0.4, 0.5))
    rows = [*alone, Row(RATE, spread, Spread(1e6, 1e6, 1e6), bar=1.5, used=used), Row(DELAY, skipped="needs <root>")]
    page.write(rows, {"commit": "abc"}, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("<svg") == 3
    assert "needs &lt;root&gt;" not in text or "<root>" not in text
    assert ">2,000,000 (1,000,000–3,000,000)<" in text
    assert "<td class=ok>ok</td>" in text
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(UsageError, match=r"taken/page\.html must be writable"):
        page.write(rows, {}, tmp_path / "taken" / "page.html")
