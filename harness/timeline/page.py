# SPDX-License-Identifier: BSD-3-Clause
"""A time line as one HTML page that needs nothing else: zoomed, moved and asked with mouse, finger or keys."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.timeline import text
from harness.timeline.story import contradictions, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.timeline.line import Lane, Slice, TimeLine

PARTS = Path(__file__).parent / "page"
LEGEND = (
    *(("hardirq", "hard interrupt"), ("softirq", "softirq"), ("napi", "igb_poll"), ("xmit", "xmit")),
    *(("guest", "event of the guest"), ("masked", "vector masked"), ("message", "cause, message")),
    *(("register", "register access"), ("dma", "descriptor"), ("frame", "frame")),
)
SHOWN = 12
"""Contradictions that the page lists; trace show has more."""


def write(line: TimeLine, path: Path) -> None:
    """Write the page. Raises UsageError if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(line), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"a page must go to a file that can be written, not {str(path)!r}: {error}") from error


def render(line: TimeLine) -> str:
    """Return the page."""
    what = str(line.facts.get("what", "a recording"))
    found = list(contradictions(line))
    lossy = bool(line.facts.get("lost"))
    listed = "".join(f"<li>{escape(each)}</li>" for each in found[:SHOWN])
    facts = {name: value for name, value in line.facts.items() if name in ("engine", "kernel", "qemu", "driver")}
    return Template((PARTS / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(f"hilnic: {what}"),
        style=(PARTS / "style.css").read_text(encoding="utf-8"),
        script=(PARTS / "script.js").read_text(encoding="utf-8"),
        what=escape(what),
        story=escape(verdict(line, found)[0]),
        status="" if lossy else "broken" if found else "holds",
        contradictions=f'<ul class="contradictions">{listed}</ul>' if listed else "",
        told=escape(str(line.facts.get("clocks", ""))),
        lost=escape(text.lost(line)),
        loss="lossy" if lossy else "",
        legend="".join(f'<li><i style="background:var(--{kind})"></i>{escape(name)}</li>' for kind, name in LEGEND),
        foot=escape("; ".join(f"{name} {value}" for name, value in facts.items())),
        data=json.dumps(data(line), separators=(",", ":")).replace("</", "<\\/"),
    )


def data(line: TimeLine) -> dict[str, Any]:
    """Return what the script draws: times in µs from the beginning, lanes by number, how deep each slice lies."""
    begin = int(line.facts.get("begin_ns", line.span[0]))
    end = max(int(line.facts.get("end_ns", 0)), line.span[1])
    lanes = line.lanes
    number = {lane: at for at, lane in enumerate(lanes)}
    depths = {lane: nested([each for each in line.slices if each.lane == lane]) for lane in lanes}
    deep = {id(each): depth for found in depths.values() for each, depth in found}
    marked = {mark.lane for mark in line.marks}

    def us(t_ns: int) -> float:
        return (t_ns - begin) / 1000

    def lane_data(lane: Lane) -> dict[str, Any]:
        rows = 1 + max((depth for _, depth in depths[lane]), default=-1)
        return {"group": lane.group, "title": lane.title, "depth": rows, "marks": lane in marked}

    return {
        "span": us(end),
        "lanes": [lane_data(lane) for lane in lanes],
        "slices": [
            [number[s.lane], us(s.begin_ns), (s.end_ns - s.begin_ns) / 1000, s.name, s.kind, deep[id(s)], s.details]
            for s in line.slices
        ],
        "marks": [[number[mark.lane], us(mark.t_ns), mark.name, mark.kind, mark.details] for mark in line.marks],
        "arrows": [
            [number[a.source.lane], us(a.source.begin_ns), number[a.target.lane], us(a.target.begin_ns)]
            for a in line.arrows
        ],
    }


def nested(slices: Sequence[Slice]) -> list[tuple[Slice, int]]:
    """Return the slices of a lane, each with the number of those that it lies in."""
    found: list[tuple[Slice, int]] = []
    around: list[Slice] = []
    for each in sorted(slices, key=lambda one: (one.begin_ns, -one.end_ns)):
        around = [other for other in around if other.end_ns > each.begin_ns]
        found.append((each, len(around)))
        around.append(each)
    return found
