# SPDX-License-Identifier: BSD-3-Clause
"""Draws plots as SVG to stand inside the page: text stays text, and colours are the page's own variables.

matplotlib lays out and draws. It takes half a second to import, so nothing but the page imports this module, and the
page only when there is something to draw.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.plots import Bars, Look, Series, Source, Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from harness.plots import Plot

#: Colours of the page's style sheet, and what stands for each while matplotlib draws: numbers that nothing else has.
INK, SOFT, LINE, PAPER = "#01fe01", "#01fe02", "#01fe03", "#01fe08"
COLOURS = {
    Source.GUEST: "#01fe04",
    Source.DEVICE: "#01fe05",
    Source.PEER: "#01fe06",
    Source.ORACLE: "#01fe07",
}
VARIABLES = {
    INK: "--ink",
    SOFT: "--soft",
    LINE: "--line",
    PAPER: "--paper",
    **{colour: f"--{source.value.replace(' ', '-')}" for source, colour in COLOURS.items()},
}

WIDTH_IN = 5.2
"""72 units to the inch: narrow enough that a phone shows it without making letters too small to read."""

FONT_PT = 10.0
ROW_IN = 0.235
MARKS = {Source.GUEST: "o", Source.DEVICE: "s", Source.PEER: "D", Source.ORACLE: "_"}
STYLE: dict[Any, Any] = {
    "text.parse_math": False,
    "svg.fonttype": "none",
    "font.size": FONT_PT,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "text.color": INK,
}
BARS_WIDTH = 0.7
"""Of a group of bars, where groups are 1 apart."""

MANY_POINTS = 40
"""Lines with more points than that have no marks."""

AREA_OPACITY = 0.35

LABEL_ROOM = 46
"""Letters of a label that the width of a timeline's axes has room for."""

LABEL_GAP = 9.0
"""Points between a moment's mark and its label: room for the bar of its error."""

LIGHT = (1.0, 0.55)
"""Opacity of neighbouring parts of a stack, so that one can count them."""


def svg(plot: Plot, name: str) -> str:
    """Return ``plot`` as an svg element; what it refers to by id begins with ``name``, which must be the plot's own."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH_IN, _height(plot)), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        match plot:
            case Series():
                _series(axes, plot)
            case Bars():
                _bars(axes, plot)
            case Timeline():
                _timeline(axes, plot)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _fitted(written.getvalue(), name)


def _height(plot: Plot) -> float:
    return 0.5 + ROW_IN * len(plot.moments) if isinstance(plot, Timeline) else 2.9


def legend(plot: Plot) -> list[tuple[str, Source, str]]:
    """Return who is who in ``plot``: a name, its source, and how it looks (line, steps, area, points, bar)."""
    match plot:
        case Series():
            return [(line.name, line.source, line.look.value) for line in plot.lines]
        case Bars():
            bars = plot.bars[:1] if plot.stacked else plot.bars
            return [(bar.source.value if plot.stacked else bar.name, bar.source, "bar") for bar in bars]
        case Timeline():
            sources = dict.fromkeys(moment.source for moment in plot.moments)
            return [(_known_to(source, plot), source, "points") for source in sources]


def _known_to(source: Source, plot: Timeline) -> str:
    return f"{source.value} (±{plot.error_us:.0f} µs)" if source is Source.GUEST else source.value


def _series(axes: Axes, plot: Series) -> None:
    for line in plot.lines:
        colour, oracle = COLOURS[line.source], line.source is Source.ORACLE
        if line.look is Look.AREA:
            axes.fill_between(line.x, line.y, step="post", color=colour, alpha=AREA_OPACITY, linewidth=0, zorder=1)
            continue
        axes.plot(
            line.x,
            line.y,
            color=colour,
            linestyle="none" if line.look is Look.POINTS else (0, (4, 2)) if oracle else "solid",
            drawstyle="steps-post" if line.look is Look.STEPS else "default",
            linewidth=1.4,
            marker=MARKS[line.source] if line.look is Look.POINTS or len(line.x) <= MANY_POINTS else None,
            markersize=3.5,
            zorder=3 if oracle else 2,
        )
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    if plot.log_x:
        axes.set_xscale("log", base=2)
        axes.set_xticks(plot.lines[0].x, [f"{value:g}" for value in plot.lines[0].x])
        axes.minorticks_off()
    if plot.log_y:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    else:
        axes.set_ylim(bottom=min(0.0, *(min(line.y) for line in plot.lines)))


def _bars(axes: Axes, plot: Bars) -> None:
    """Side by side, what the oracle says frames what the witnesses say; stacked, neighbours differ in strength."""
    places = range(len(plot.categories))
    witnesses = [bar for bar in plot.bars if bar.source is not Source.ORACLE or plot.stacked]
    width = BARS_WIDTH if plot.stacked else BARS_WIDTH / max(1, len(witnesses))
    base = [0.0] * len(plot.categories)
    for number, bar in enumerate(witnesses):
        shift = 0.0 if plot.stacked else width * (number - (len(witnesses) - 1) / 2)
        axes.bar(
            [place + shift for place in places],
            bar.values,
            width,
            bottom=base if plot.stacked else None,
            color=COLOURS[bar.source],
            alpha=LIGHT[number % 2] if plot.stacked else None,
        )
        if plot.stacked:
            base = [low + value for low, value in zip(base, bar.values, strict=True)]
    for bar in plot.bars:
        if bar not in witnesses:
            frame: dict[str, Any] = {
                "facecolor": "none",
                "edgecolor": COLOURS[bar.source],
                "linestyle": (0, (4, 2)),
                "linewidth": 1.4,
            }
            axes.bar(list(places), bar.values, BARS_WIDTH + 0.1, **frame)
    axes.set_xticks(list(places), plot.categories)
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def _timeline(axes: Axes, plot: Timeline) -> None:
    """A row a moment, in order of time from above, so that labels never meet and the eye walks down the path.

    The path is a falling diagonal: labels have room on its right at first, later on its left.
    """
    rows = range(len(plot.moments))
    times = [moment.t_us for moment in plot.moments]
    axes.plot(times, rows, color=LINE, linewidth=1.2, zorder=1)
    for source in dict.fromkeys(moment.source for moment in plot.moments):
        mine = [(moment.t_us, row) for row, moment in zip(rows, plot.moments, strict=True) if moment.source is source]
        axes.errorbar(
            [t_us for t_us, _ in mine],
            [row for _, row in mine],
            xerr=plot.error_us if source is Source.GUEST else None,
            linestyle="none",
            marker=MARKS[source],
            markersize=4.5,
            elinewidth=1.0,
            color=COLOURS[source],
            zorder=2,
        )
    span = max(times) - min(times) or 1.0
    for row, moment in zip(rows, plot.moments, strict=True):
        text = f"{moment.t_us:.0f}  {moment.what}"
        on_left = LABEL_ROOM * (moment.t_us - min(times)) / span
        on_right = LABEL_ROOM - on_left
        left = len(text) > on_right and on_left > on_right
        axes.annotate(
            f"{moment.what}  {moment.t_us:.0f}" if left else text,
            (moment.t_us, row), xytext=(-LABEL_GAP if left else LABEL_GAP, 0), textcoords="offset points",
            ha="right" if left else "left", va="center", bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip
    begins = [row for row in rows if row == 0 or plot.moments[row].lane != plot.moments[row - 1].lane]
    for row in begins[1:]:
        axes.axhline(row - 0.5, color=LINE, linewidth=0.6)
    axes.set_yticks(begins, [plot.moments[row].lane for row in begins])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(len(plot.moments) - 0.5, -0.5)
    axes.set_xlabel("µs since the first")
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _fitted(text: str, name: str) -> str:
    """Fit matplotlib's file into a page: no prologue, the page's colours and letters, ids that are used and unique."""
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    text = re.sub(r"font: ([0-9.]+px) [^;\"]*", r"font-size: \1", text)
    text = re.sub(r"font-family: [^;\"]*;?", "", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text)
    text = re.sub(r' (?:xmlns(?::xlink)?|version)="[^"]*"', "", text).replace("xlink:href", "href")
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    for old in sorted(set(re.findall(r' id="([^"]+)"', text))):
        new = f' id="{name}-{old}"' if old in used else ""
        text = text.replace(f' id="{old}"', new)
    for old in used:
        text = text.replace(f"url(#{old})", f"url(#{name}-{old})").replace(f'href="#{old}"', f'href="#{name}-{old}"')
    return text
