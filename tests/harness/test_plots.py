# SPDX-License-Identifier: BSD-3-Clause
"""Plots as data, and drawn."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from harness import plots
from harness.errors import UsageError
from harness.evidence import Evidence
from harness.plots import Bar, Bars, Line, Look, Moment, Series, Source, Timeline
from harness.report import drawing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.plots import Plot

GUEST = Line("limit & <more> $x$", Source.GUEST, (0, 1.5, 4), (1514, 1514, 4542), Look.STEPS)
ORACLE = Line("predicted", Source.ORACLE, (0, 4), (1514, 4542))
SERIES = Series("Limits", "ms", "bytes", (GUEST, ORACLE), "Said of queue 3.")
LOGARITHMIC = Series("Load", "frames", "each", (Line("x", Source.DEVICE, (1, 4), (1, 0.1)),), log_x=True, log_y=True)
BARS = Bars("Spread", "queue", "frames", ("0", "1"), (Bar("guest", Source.GUEST, (3, 4)),))
STACKED = Bars(
    "Polls", "n", "frames", ("65",), (Bar("a", Source.GUEST, (64,)), Bar("b", Source.GUEST, (1,))), "", stacked=True
)
WAY = Timeline(
    "In", (Moment("wire", "sent", Source.PEER, 0.0), Moment("stack", "ip_rcv", Source.GUEST, 402.5)), 7.4, "Related."
)
ALL: tuple[Plot, ...] = (SERIES, LOGARITHMIC, BARS, STACKED, WAY)


@pytest.mark.parametrize("plot", ALL, ids=lambda plot: plot.title)
def test_a_plot_survives_json(plot: Plot) -> None:
    assert plots.from_json(json.loads(json.dumps(plots.as_json(plot)))) == plot


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Line("a", Source.GUEST, (1, 2), (1,)), "must have as many x as y, at least one, not 2, 1"),
        (lambda: Line("a", Source.GUEST, (), ()), "at least one, not 0, 0"),
        (lambda: Line("a", Source.GUEST, (1,), (float("nan"),)), "must hold numbers that can be drawn, not nan"),
        (lambda: Bar("a", Source.GUEST, (float("inf"),)), "must hold numbers that can be drawn, not inf"),
        (lambda: Bars("t", "x", "y", ("0", "1"), (Bar("a", Source.GUEST, (1,)),)), "must have 2 values, .* not 1"),
        (lambda: Bars("t", "x", "y", (), ()), "must have categories and bars"),
        (lambda: Series("t", "x", "y", ()), "must have a line"),
        (lambda: Series("t", "x", "y", (GUEST,), log_x=True), "must be above zero on a logarithmic axis, not 0"),
        (lambda: Timeline("t", (), 1.0), "must have a moment"),
        (lambda: plots.from_json({"kind": "pie"}), "must be one of series, bars, timeline, not 'pie'"),
        (lambda: plots.from_json({"kind": "series", "title": "t"}), "must have the fields of its kind"),
        (lambda: plots.from_json({}), "must have the fields of its kind"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make()


def test_evidence_keeps_plots_in_order_and_moments_in_time(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path / "a", tmp_path)
    evidence.series("Limits", [GUEST, ORACLE], x="ms", y="bytes", note="Said of queue 3.")
    evidence.bars("Spread", range(2), BARS.bars, x="queue", y="frames")
    evidence.timeline("In", tuple(reversed(WAY.moments)), error_us=7.4, note="Related.")
    assert evidence.plots == (SERIES, BARS, WAY)


@pytest.mark.parametrize("plot", ALL, ids=lambda plot: plot.title)
def test_a_drawing_is_an_element_in_the_pages_colours_and_letters(plot: Plot) -> None:
    text = drawing.svg(plot, "plot-7")
    root = ET.fromstring(text)  # noqa: S314 - our own text
    assert root.tag == "svg"
    assert "width" not in root.attrib
    assert re.findall(r"#01fe0\d|font-family|<style|<metadata|xmlns", text) == []
    assert "var(--guest)" in text or "var(--device)" in text
    used = set(re.findall(r"(?:url\(|href=\")#([\w-]+)", text))
    assert used == {each.attrib["id"] for each in root.iter() if "id" in each.attrib}
    assert all(name.startswith("plot-7-") for name in used)


def test_letters_stay_letters_and_are_no_markup() -> None:
    text = drawing.svg(Timeline("t", (Moment("wire", "a <b> & $c$", Source.PEER, 0.0),), 1.0), "plot-1")
    assert "0  a &lt;b&gt; &amp; $c$" in text


def test_the_same_plot_is_drawn_alike() -> None:
    assert drawing.svg(SERIES, "plot-1") == drawing.svg(SERIES, "plot-1")


def test_the_legend_names_every_line_and_how_well_the_guests_clock_is_known() -> None:
    assert drawing.legend(SERIES) == [(GUEST.name, Source.GUEST, "steps"), ("predicted", Source.ORACLE, "line")]
    assert drawing.legend(STACKED) == [("guest", Source.GUEST, "bar")]
    assert drawing.legend(WAY) == [
        ("link partner", Source.PEER, "points"), ("guest (±7 µs)", Source.GUEST, "points")
    ]  # fmt: skip


def test_commands_that_draw_nothing_do_not_load_the_library() -> None:
    loaded = "[name for name in sys.modules if name.startswith('matplotlib')]"
    script = f"import sys, harness.cli, harness.plugin; print({loaded})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
