# SPDX-License-Identifier: BSD-3-Clause
"""A page of what was measured: ratios against their bars, growth, who used the CPUs, and all figures in a table."""

from __future__ import annotations

import html
import io
import re
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from harness.bench.figures import cells
from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from harness.bench.figures import Row

REACHED, MISSED, FREE = "#1f7a4d", "#b3372f", "#5b6b7b"
CARD, QEMU, GUEST = "#2f5fb3", "#b3862f", "#9aa7b3"
STYLE = {"text.parse_math": False, "svg.fonttype": "none", "font.size": 9.0, "font.family": "sans-serif"}
WIDTH_IN, ROW_IN = 9.0, 0.22
GROWTH = re.compile(r"card alone, (transmit|receive) 64 B(?:, (\d+) (queues|descriptors|flows))?$")
USUAL = {"queues": 1, "descriptors": 4096, "flows": 64}
HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>hilnic bench</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1c2733 }
table { border-collapse: collapse; font-size: 13px } th, td { padding: .15rem .6rem; border-bottom: 1px solid #dde3ea }
td:nth-child(n+4), th:nth-child(n+4) { text-align: right; white-space: nowrap } th { text-align: left }
svg { max-width: 100%; height: auto } .missed { color: #b3372f } .ok { color: #1f7a4d } dt { float: left; width: 8rem }
.wide { overflow-x: auto }
</style>
"""


def write(rows: Sequence[Row], environment: Mapping[str, str], path: Path) -> None:
    """Write the page of ``rows``. Raises UsageError where it cannot be written."""
    parts = [HEAD, "<h1>Our card beside QEMU's own igb</h1>", _where(environment)]
    for title, draw in (
        ("Ratio to QEMU's igb; a line is the bar that is to be reached", _ratios),
        ("How cost grows: the card alone, packets a second of a core", _growth),
        ("CPU seconds of a measurement: ours above, QEMU's igb below", _used),
    ):
        if drawn := draw(rows):
            parts.append(f"<h2>{html.escape(title)}</h2>{drawn}")
    parts.append(f"<h2>All figures</h2>{_table(rows)}</html>")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(parts) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} must be writable, and is not: {error.strerror}") from error


def _where(environment: Mapping[str, str]) -> str:
    pairs = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in environment.items())
    return f"<dl>{pairs}</dl>"


def _table(rows: Sequence[Row]) -> str:
    head, *lines = cells(rows)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{f' class={cell}' if cell in ('ok', 'missed') else ''}>{html.escape(cell)}</td>" for cell in line
        )
        + "</tr>"
        for line in lines
    )
    titles = "".join(f"<th>{html.escape(title)}</th>" for title in head)
    return f'<div class="wide"><table><tr>{titles}</tr>{body}</table></div>'


def _svg(height_in: float, draw: Callable[[Figure], None]) -> str:
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        draw(figure)
        text = io.StringIO()
        FigureCanvasSVG(figure).print_svg(  # type: ignore[no-untyped-call]
            text, metadata={"Date": None}
        )
    return text.getvalue()[text.getvalue().index("<svg") :]


def _ratios(rows: Sequence[Row]) -> str:
    """Bars from 1 to the ratio, on a scale where twice and half are alike; green reaches its bar, red does not."""
    shown = [row for row in rows if row.ratio and not row.absolute and "%" not in row.quantity.unit][::-1]
    shown = [row for row in shown if not row.quantity.name.startswith("card alone")]
    if not shown:
        return ""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, row in enumerate(shown):
            ratio = row.ratio or 1.0
            colour = {True: REACHED, False: MISSED, None: FREE}[row.ok]
            axes.barh(place, ratio - 1, left=1, color=colour, height=0.7)
            if row.bar is not None:
                axes.plot([row.bar, row.bar], [place - 0.45, place + 0.45], color="#1c2733", linewidth=1.5)
            axes.text(ratio, place, f" {ratio:.2f} ", va="center", ha="left" if ratio >= 1 else "right", fontsize=8)
        axes.set_xscale("log", base=2)
        axes.set_xlim(0.2, 8)
        axes.set_xticks([0.25, 0.5, 1, 2, 4, 8], ["¼", "½", "1", "2", "4", "8"])
        axes.minorticks_off()
        names = [f"{row.quantity.name}{'' if row.quantity.more_is_better else ' (less is better)'}" for row in shown]
        axes.set_yticks(range(len(shown)), names)
        axes.set_ylim(-0.7, len(shown) - 0.3)
        axes.axvline(1, color="#1c2733", linewidth=0.6)
        axes.spines[["top", "right", "left"]].set_visible(False)

    return _svg(1.0 + ROW_IN * len(shown), draw)


def _growth(rows: Sequence[Row]) -> str:
    found: dict[str, dict[str, list[tuple[int, float]]]] = {what: {} for what in USUAL}
    for row in rows:
        match = GROWTH.match(row.quantity.name)
        if match is None or row.ours is None:
            continue
        for what, usual in USUAL.items() if match[3] is None else ((match[3], int(match[2])),):
            if not (what == "flows" and match[1] == "transmit"):
                found[what].setdefault(match[1], []).append((usual, row.ours.median))
    if not any(len(points) > 1 for lines in found.values() for points in lines.values()):
        return ""

    def draw(figure: Figure) -> None:
        for axes, (what, lines) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
            for direction, points in lines.items():
                x, y = zip(*sorted(points), strict=True)
                axes.plot(x, [value / 1e6 for value in y], marker="o", label=direction)
            axes.set_xscale("log", base=2)
            ticks = sorted({x for points in lines.values() for x, _ in points})
            axes.set_xticks(ticks, list(map(str, ticks)))
            axes.minorticks_off()
            axes.set_ylim(bottom=0)
            axes.set_xlabel(what)
            axes.set_ylabel("million packets/s")
            axes.spines[["top", "right"]].set_visible(False)
            if lines:
                axes.legend(frameon=False)

    return _svg(3.0, draw)


def _used(rows: Sequence[Row]) -> str:
    seen = {row.used: row.quantity.name for row in reversed(rows) if len(row.used) > 1}
    shown = list(seen.items())
    if not shown:
        return ""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, (used, _) in enumerate(shown):
            for offset, split in ((0.2, used[0]), (-0.2, used[1])):
                left = 0.0
                for seconds, colour in ((split.card, CARD), (split.qemu, QEMU), (split.guest, GUEST)):
                    axes.barh(place + offset, seconds, left=left, color=colour, height=0.36)
                    left += seconds
        for name, colour in (("our card", CARD), ("QEMU without its virtual CPUs", QEMU), ("guest", GUEST)):
            axes.barh(0, 0, color=colour, label=name)
        axes.set_yticks(range(len(shown)), [name for _, name in shown])
        axes.set_ylim(-0.7, len(shown) - 0.3)
        axes.set_xlabel("seconds")
        axes.legend(frameon=False, loc="upper right")
        axes.spines[["top", "right"]].set_visible(False)

    return _svg(1.0 + 1.6 * ROW_IN * len(shown), draw)
