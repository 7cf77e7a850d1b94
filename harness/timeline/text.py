# SPDX-License-Identifier: BSD-3-Clause
"""A time line as text: a line an event, in order of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.timeline.line import Slice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.timeline.line import Mark, TimeLine

HIDDEN = frozenset({"raw"})


@dataclass(frozen=True, slots=True)
class Window:
    """What is to be shown: microseconds from the beginning, and lanes whose title or group holds ``lane``."""

    begin_us: float = 0.0
    end_us: float = float("inf")
    lane: str = ""

    def shows(self, each: Slice | Mark, t_us: float) -> bool:
        """Say whether something at ``t_us`` is within."""
        wanted = self.lane.lower()
        return self.begin_us <= t_us <= self.end_us and (wanted in each.lane.title.lower() or wanted == each.lane.group)


def head(line: TimeLine) -> Iterator[str]:
    """Yield what a reader must know before the first line."""
    facts = line.facts
    begin, end = facts.get("begin_ns", line.span[0]), facts.get("end_ns", line.span[1])
    what = facts.get("what", "recording")
    yield f"{what}: {(end - begin) / 1e6:.1f} ms, {len(line.slices)} slices, {len(line.marks)} marks"
    if "clocks" in facts:
        yield str(facts["clocks"])
    yield lost(line)


def lost(line: TimeLine) -> str:
    """Say what the buffers of the witnesses had no room for."""
    gone = line.facts.get("lost") or {}
    if not gone:
        return "Nothing was lost: every event of both witnesses is here."
    told = ", ".join(f"{where} {count:,}" for where, count in gone.items())
    return f"LOST, since buffers were full: {told} events. What is missing here may well have happened."


def when(each: Slice | Mark) -> int:
    """Return when something began or happened."""
    return each.begin_ns if isinstance(each, Slice) else each.t_ns


def lines(line: TimeLine, window: Window) -> Iterator[str]:
    """Yield a line for each beginning of a slice and each mark within the window."""
    zero = int(line.facts.get("begin_ns", line.span[0]))
    found: list[Slice | Mark] = [*line.slices, *line.marks]
    for each in sorted(found, key=when):
        t_us = (when(each) - zero) / 1000
        if window.shows(each, t_us):
            lasted = f" for {(each.end_ns - each.begin_ns) / 1000:.1f} µs" if isinstance(each, Slice) else ""
            kind = f"{each.kind} " if isinstance(each, Slice) and each.kind not in ("", each.name) else ""
            yield f"{t_us:14.1f} µs  {each.lane.title:15} {kind}{each.name}{lasted}{_details(each.details)}"


def _details(details: dict[str, Any]) -> str:
    told = " ".join(f"{name}={value}" for name, value in details.items() if name not in HIDDEN)
    return f"  {told}" if told else ""
