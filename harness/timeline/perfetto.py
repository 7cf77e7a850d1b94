# SPDX-License-Identifier: BSD-3-Clause
"""A time line as a trace file that ui.perfetto.dev and chrome://tracing open, and back.

The format is the Trace Event Format ("JSON Object Format"): metadata M, complete events X, instants i, flows s and f;
times in microseconds. The facts of a time line stand under ``otherData``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.timeline.line import Arrow, Group, Lane, Mark, Slice, TimeLine

if TYPE_CHECKING:
    from pathlib import Path

LAYOUT = 1
TITLES = {Group.GUEST.value: "guest: virtual CPUs", Group.CARD.value: "card", Group.WIRE.value: "wire"}
NS = 1000.0


def as_events(line: TimeLine) -> list[dict[str, Any]]:
    """Return the trace events, in order of time; time 0 is the beginning of the recording."""
    zero = int(line.facts.get("begin_ns", line.span[0]))
    order = [group.value for group in Group]
    places = {lane: (1 + order.index(lane.group), 1 + number) for number, lane in enumerate(line.lanes)}
    head: list[dict[str, Any]] = []
    for group in dict.fromkeys(lane.group for lane in line.lanes):
        process = 1 + order.index(group)
        head.append(_meta("process_name", process, 0, name=TITLES[group]))
        head.append(_meta("process_sort_index", process, 0, sort_index=process))
    for lane, (process, thread) in places.items():
        head.append(_meta("thread_name", process, thread, name=lane.title))
        head.append(_meta("thread_sort_index", process, thread, sort_index=lane.order))
    body = [
        _event("X", each.name, places[each.lane], each.begin_ns - zero, each.kind)
        | {"dur": (each.end_ns - each.begin_ns) / NS, "args": each.details}
        for each in line.slices
    ]
    body += [
        _event("i", mark.name, places[mark.lane], mark.t_ns - zero, mark.kind) | {"s": "t", "args": mark.details}
        for mark in line.marks
    ]
    for number, arrow in enumerate(line.arrows):
        begin, end = (
            _event(phase, arrow.name, places[each.lane], each.begin_ns - zero, "message") | {"id": number}
            for phase, each in (("s", arrow.source), ("f", arrow.target))
        )
        body += [begin, end | {"bp": "e"}]
    return [*head, *sorted(body, key=lambda event: (event["ts"], -event.get("dur", 0.0)))]


def _meta(what: str, process: int, thread: int, **args: object) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": process, "tid": thread, "args": args}


def _event(phase: str, name: str, place: tuple[int, int], t_ns: int, kind: str) -> dict[str, Any]:
    return {"ph": phase, "name": name, "cat": kind or "event", "pid": place[0], "tid": place[1], "ts": t_ns / NS}


def write(line: TimeLine, path: Path) -> None:
    """Write the file. Raises UsageError if it cannot be written."""
    lanes = [{"group": lane.group, "order": lane.order, "title": lane.title} for lane in line.lanes]
    told = {"hilnic": LAYOUT, "lanes": lanes, "facts": line.facts}
    text = json.dumps({"displayTimeUnit": "ns", "otherData": told, "traceEvents": as_events(line)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"a time line must go to a file that can be written, not {str(path)!r}: {error}") from error


def read(path: Path) -> TimeLine:
    """Read a file that ``write`` has written. Raises UsageError for any other."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} must be a time line of hilnic trace record: {error}") from error
    told = table.get("otherData") if isinstance(table, dict) else None
    if not isinstance(told, dict) or "hilnic" not in told:
        raise UsageError(f"{path} must be a time line of hilnic trace record, and is another file")
    if told["hilnic"] != LAYOUT:
        raise UsageError(f"{path} must be of layout {LAYOUT}, not {told['hilnic']!r}: record it anew")
    try:
        return _line(table["traceEvents"], [Lane(**lane) for lane in told["lanes"]], told["facts"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UsageError(f"{path} must be whole, and is not: {error!r}") from error


def _line(events: list[dict[str, Any]], lanes: list[Lane], facts: dict[str, Any]) -> TimeLine:
    zero = int(facts["begin_ns"])
    slices, marks = [], []
    ends: dict[int, dict[str, Slice]] = {}
    begins: dict[tuple[Lane, int], Slice] = {}
    for event in events:
        if event["ph"] == "M":
            continue
        lane, t_ns = lanes[event["tid"] - 1], zero + round(event["ts"] * NS)
        kind = "" if event["cat"] == "event" else event["cat"]
        if event["ph"] == "X":
            each = Slice(lane, event["name"], t_ns, t_ns + round(event["dur"] * NS), event["args"], kind)
            slices.append(each)
            begins.setdefault((lane, t_ns), each)
        elif event["ph"] == "i":
            marks.append(Mark(lane, event["name"], t_ns, event["args"], kind))
        else:
            ends.setdefault(event["id"], {})[event["ph"]] = begins[lane, t_ns]
    names = {event["id"]: event["name"] for event in events if event["ph"] == "s"}
    found = [Arrow(names[number], pair["s"], pair["f"]) for number, pair in sorted(ends.items())]
    return TimeLine(tuple(slices), tuple(marks), tuple(found), facts)
