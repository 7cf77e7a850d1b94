# SPDX-License-Identifier: BSD-3-Clause
"""What was measured: samples, their median and range, the ratio of two of them, and how a list of these is shown."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness.bench.processor import Split

PARTIES = ("ours", "QEMU's igb", "virtio-net")
HEAD = ("workload", "unit", "better", *PARTIES[:2], "ours/theirs", "bar", "", PARTIES[2])
CPU_TITLE = "CPU seconds of a measurement, card + rest of QEMU + guest"
GAP = "  "
WHOSE = ("ours", "theirs", "yardstick")


@dataclass(frozen=True, slots=True)
class Quantity:
    """One thing that a workload measures. ``more_is_better`` tells which way a good card moves it."""

    name: str
    unit: str
    more_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some samples, and the range they came from."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """Return the spread of ``samples``, of which there must be one or more."""
        if not samples:
            raise UsageError("a spread must have one sample or more, not none")
        return cls(statistics.median(samples), min(samples), max(samples))

    def __str__(self) -> str:
        return f"{number(self.median)} ({number(self.least)}–{number(self.most)})"


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity, measured for both cards; ``skipped`` says why it was not, and then there is no spread.

    ``given`` is the ratio of a row that sums up others. ``bar`` is the ratio that is wanted, if one is, or with
    ``absolute`` what ours must be by itself.
    """

    quantity: Quantity
    ours: Spread | None = None
    theirs: Spread | None = None
    skipped: str = ""
    given: float | None = None
    bar: float | None = None
    absolute: bool = False
    yardstick: Spread | None = None
    """The same of a paravirtual card."""

    used: tuple[Split, ...] = ()
    """CPU time of one measurement, ours, theirs and the yardstick's; its medians."""

    @property
    def ok(self) -> bool | None:
        """Whether the bar is reached; None without a bar or a figure."""
        figure = self.ours.median if self.absolute and self.ours else self.ratio
        if self.bar is None or figure is None:
            return None
        return figure >= self.bar if self.quantity.more_is_better else figure <= self.bar

    @property
    def ratio(self) -> float | None:
        """Ours over theirs, by the medians; None where that is no number."""
        if self.given is not None:
            return self.given
        if self.ours is None or self.theirs is None or self.theirs.median == 0:
            return None
        return self.ours.median / self.theirs.median


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the smallest sample that ``percent`` per cent of ``samples`` do not exceed (nearest rank)."""
    if not samples:
        raise UsageError("a percentile must be of one sample or more, not of none")
    if not 0 < percent <= 100:
        raise UsageError(f"a percentile must be above 0 and at most 100, not {percent:g}")
    return sorted(samples)[math.ceil(percent / 100 * len(samples)) - 1]


def number(value: float) -> str:
    """Write a number for people: three significant digits or all before the point, thousands apart."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def table(rows: Sequence[Row]) -> list[str]:
    """Return the lines of a table of ``rows``, and below it why rows are empty."""
    reasons = dict.fromkeys(row.skipped for row in rows if row.skipped)
    return _aligned(cells(rows), 3) + [f"skipped: {reason}" for reason in reasons]


def cells(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Return the table's head and its lines, column by column."""
    return [HEAD, *(_cells(row) for row in rows)]


def cpu_table(rows: Sequence[Row]) -> list[str]:
    """Return the lines that say who used the CPUs, nothing if nobody looked; a workload has a line, not each figure."""
    seen = {row.used: row.quantity.name for row in reversed(rows) if row.used}
    lines = [(name, *map(_seconds, used)) for used, name in reversed(seen.items())]
    if not lines:
        return []
    head = ("workload", *PARTIES)
    padded = [(*line, *[""] * (len(head) - len(line))) for line in lines]
    return [CPU_TITLE, *_aligned([head, *padded], 1)]


def _seconds(split: Split) -> str:
    return f"{split.card:.2f} + {split.qemu:.2f} + {split.guest:.2f}"


def _aligned(grid: Sequence[Sequence[str]], left: int) -> list[str]:
    """Return lines of columns, the first ``left`` of which begin at one place and the others end at one."""
    widths = [max(len(line[column]) for line in grid) for column in range(len(grid[0]))]
    lines = [
        GAP.join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in grid
    ]
    lines.insert(1, GAP.join("-" * width for width in widths))
    return lines


def _cells(row: Row) -> tuple[str, ...]:
    quantity = row.quantity
    better = "more" if quantity.more_is_better else "less"
    missing = "skipped" if row.skipped else ""
    ours, theirs = (str(spread) if spread else missing for spread in (row.ours, row.theirs))
    ratio = "" if row.ratio is None else number(row.ratio)
    bar = "" if row.bar is None else f"{'≥' if quantity.more_is_better else '≤'} {number(row.bar)}"
    reached = {None: "", True: "ok", False: "missed"}[row.ok]
    yardstick = number(row.yardstick.median) if row.yardstick else ""
    return quantity.name, quantity.unit, better, ours, theirs, ratio, bar, reached, yardstick


def as_json(rows: Sequence[Row], environment: Mapping[str, str]) -> list[dict[str, object]]:
    """Return ``rows`` as plain data, medians under ``ours`` and ``theirs``, each with the environment it is true in."""
    return [
        {
            "workload": row.quantity.name,
            "ours": row.ours.median if row.ours else None,
            "theirs": row.theirs.median if row.theirs else None,
            "unit": row.quantity.unit,
            "ratio": row.ratio,
            "bar": row.bar,
            "bar_is_absolute": row.absolute,
            "ok": row.ok,
            "better": "more" if row.quantity.more_is_better else "less",
            "ours_range": [row.ours.least, row.ours.most] if row.ours else None,
            "theirs_range": [row.theirs.least, row.theirs.most] if row.theirs else None,
            "yardstick": row.yardstick.median if row.yardstick else None,
            "yardstick_range": [row.yardstick.least, row.yardstick.most] if row.yardstick else None,
            "cpu": {name: asdict(split) for name, split in zip(WHOSE, row.used, strict=False)} or None,
            "skipped": row.skipped or None,
            "environment": dict(environment),
        }
        for row in rows
    ]


def write(rows: Sequence[Row], environment: Mapping[str, str], path: Path) -> None:
    """Save ``rows`` at ``path`` as a JSON list."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(as_json(rows, environment), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} must be writable, and is not: {error.strerror}") from error
