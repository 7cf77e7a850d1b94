# SPDX-License-Identifier: BSD-3-Clause
"""What a native card is to reach, as ratios to QEMU's own igb in the same guest, and the means over workloads."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from harness.bench.figures import Quantity, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

BARS: tuple[tuple[str, float], ...] = (
    (r"transmit, geometric mean", 1.4),
    (r"transmit 64 B, .*burst 32, clones \d+", 1.3),
    (r"transmit 64 B, .*burst 1, clones \d+", 1.2),
    (r"transmit 1500 B, .*burst 32, clones \d+", 3.0),
    (r"transmit .*clones \d+", 0.9),
    (r"receive, geometric mean", 1.8),
    (r"receive .*, by the driver", 1.3),
    (r"tcp (from|to) .*", 1.2),
    (r"ping p50", 1.5),
    (r"start, plug to link up", 0.5),
)
"""The first pattern that matches a quantity's whole name gives its bar: the least ratio where more is better, else the
greatest."""

ABSOLUTE: tuple[tuple[str, float], ...] = (
    (r"card alone, (transmit|receive) 64 B", 4e6),
    (r"card alone, transmit 64 KiB cut up", 20.0),
)
"""What a second of the card's CPU time must do."""

MEANS = {"transmit, geometric mean": r"transmit .*clones \d+", "receive, geometric mean": r"receive .*, by the driver"}


def bar_of(name: str) -> float | None:
    """Return the bar of the quantity called ``name``, if it has one."""
    return next((bar for pattern, bar in BARS if re.fullmatch(pattern, name)), None)


def absolute_bar_of(name: str) -> float | None:
    """Return what the quantity called ``name`` must be by itself, if there is such a bar."""
    return next((bar for pattern, bar in ABSOLUTE if re.fullmatch(pattern, name)), None)


def means(rows: Sequence[Row]) -> list[Row]:
    """Return a row for each mean that ``rows`` have something for: the geometric mean of the ratios."""
    found = []
    for name, pattern in MEANS.items():
        ratios = [row.ratio for row in rows if row.ratio and re.fullmatch(pattern, row.quantity.name)]
        if ratios:
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            found.append(Row(Quantity(name, f"ratio of {len(ratios)}"), given=mean, bar=bar_of(name)))
    return found
