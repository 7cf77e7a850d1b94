# SPDX-License-Identifier: BSD-3-Clause
"""The life of one NAPI in a trace: hard interrupt, polls, completion; and whether it is as napi_complete_done says."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.guest.probes import COMPLETE, COMPLETE_RETURN, POLL_RETURN
from harness.guest.probes import POLL as POLL_ENTRY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.guest.ringbuffer import Record
    from harness.guest.trace import Session
    from harness.lab import Bound

POLL, IRQ = "napi:napi_poll", "irq:irq_handler_entry"
SOFTIRQ_ENTRY, SOFTIRQ_EXIT = "irq:softirq_entry", "irq:softirq_exit"
NET_RX = 3
BUDGET = 64


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to a NAPI: ``irq``, ``poll`` (value: work), ``complete`` (work) or ``completed`` (0, 1).

    A poll is traced at its end, after its own ``complete`` and ``completed``.
    """

    kind: str
    value: int
    t: int
    cpu: int


@contextmanager
def traced(bound: Bound, irq: int) -> Iterator[Session]:
    """Record polls, completions and the hard interrupt number ``irq`` (others would come from reading the trace)."""
    with bound.guest.trace.session(
        POLL, IRQ, probes=(COMPLETE, COMPLETE_RETURN), filters={IRQ: f"irq == {irq}"}
    ) as session:
        yield session


@contextmanager
def softirqs_traced(bound: Bound) -> Iterator[Session]:
    """Record polls, and beginning and end of the receive softirq."""
    only = f"vec == {NET_RX}"
    with bound.guest.trace.session(
        POLL, SOFTIRQ_ENTRY, SOFTIRQ_EXIT, filters={SOFTIRQ_ENTRY: only, SOFTIRQ_EXIT: only}
    ) as session:
        yield session


def polls(bound: Bound, records: Sequence[Record]) -> list[Record]:
    """Return the polls of the interface under test."""
    return [record for record in records if record.name == POLL and record["dev_name"] == bound.netif.name]


def napis(bound: Bound, records: Sequence[Record]) -> list[int]:
    """Return the NAPIs of the interface that were polled, in order of their first poll."""
    return list(dict.fromkeys(record["napi"] for record in polls(bound, records)))


def life(records: Sequence[Record], napi: int, irq: int) -> list[Step]:
    """Return what happened to ``napi``, whose interrupt is number ``irq``."""
    steps = []
    completing: dict[int, int] = {}
    for record in records:
        kind, value = "", 0
        if record.name == IRQ and record["irq"] == irq:
            kind = "irq"
        elif record.name == POLL and record["napi"] == napi:
            kind, value = "poll", record["work"]
        elif record.name == COMPLETE.event:
            completing[record.cpu] = record["napi"]
            kind, value = ("complete", record["work"]) if record["napi"] == napi else ("", 0)
        elif record.name == COMPLETE_RETURN.event and completing.pop(record.cpu, None) == napi:
            kind, value = "completed", record["ret"]
        if kind:
            steps.append(Step(kind, value, record.t, record.cpu))
    return steps


def values(steps: Sequence[Step], kind: str) -> list[int]:
    """Return the values of the steps of ``kind``."""
    return [step.value for step in steps if step.kind == kind]


def improper(steps: Sequence[Step]) -> list[str]:
    """Return a sentence for each step that napi_schedule_prep and napi_complete_done do not allow (net/core/dev.c).

    A NAPI is scheduled by an interrupt while idle; one that comes while it is scheduled is remembered, makes the next
    completion return false and brings one more poll. Only a poll under budget completes, with the work that it reports.
    """
    found = []
    scheduled = missed = False
    completions: list[tuple[int, int]] = []
    pending: int | None = None
    for number, step in enumerate(steps):
        where = f"step {number}"
        if step.kind == "irq":
            missed, scheduled = missed or scheduled, True
        elif step.kind == "complete":
            pending = step.value
        elif step.kind == "completed":
            if pending is None or step.value != int(not missed):
                found.append(f"{where}: napi_complete_done({pending}) returned {step.value}, missed is {missed}")
            completions.append((pending or 0, step.value))
            scheduled, missed, pending = not step.value, False, None
        else:
            if completions != (
                [] if step.value == BUDGET else [(step.value, completions[0][1] if completions else -1)]
            ):
                found.append(f"{where}: a poll of {step.value} completed as {completions}")
            if step.value == BUDGET and not scheduled:
                found.append(f"{where}: a NAPI that nothing scheduled was polled")
            completions = []
    return found


def lets_go(record: Record) -> bool:
    """Tell whether a poll has given its NAPI away: it was completed, or the poll is over."""
    return record.name == POLL_RETURN.event or (record.name == COMPLETE_RETURN.event and bool(record["ret"]))


def turns(records: Sequence[Record]) -> dict[int, list[tuple[int, int, int]]]:
    """Return for each NAPI when a CPU entered igb_poll, when it let the NAPI go, and which CPU, in order of entry.

    A poll lets go when napi_complete_done returns true, before it unmasks the vector, else when it returns itself. What
    follows an entry on the same CPU belongs to it, since a softirq does not move.
    """
    found: dict[int, list[tuple[int, int, int]]] = {}
    inside: dict[int, tuple[int, int]] = {}
    for record in records:
        if record.name == POLL_ENTRY.event:
            inside[record.cpu] = (record["napi"], record.t)
        elif lets_go(record) and record.cpu in inside:
            napi, entered = inside.pop(record.cpu)
            found.setdefault(napi, []).append((entered, record.t, record.cpu))
    return {napi: sorted(intervals) for napi, intervals in found.items()}


def overlaps(intervals: Sequence[tuple[int, int, int]]) -> list[str]:
    """Return a sentence for each interval, sorted by entry, that begins before an earlier one has ended."""
    found = []
    latest = (0, 0, -1)
    for entered, left, cpu in intervals:
        if entered < latest[1]:
            found.append(f"CPU {cpu} entered at {entered}, and CPU {latest[2]} left at {latest[1]} only")
        latest = max(latest, (entered, left, cpu), key=lambda interval: interval[1])
    return found


def softirqs(records: Sequence[Record], cpu: int, name: str) -> list[list[tuple[int, int]]]:
    """Return for each run of net_rx_action on ``cpu`` its polls of interface ``name`` as (napi, work)."""
    runs: list[list[tuple[int, int]]] = []
    inside = False
    for record in records:
        if record.cpu != cpu:
            continue
        if record.name in (SOFTIRQ_ENTRY, SOFTIRQ_EXIT) and record["vec"] == NET_RX:
            inside = record.name == SOFTIRQ_ENTRY
            if inside:
                runs.append([])
        elif record.name == POLL and record["dev_name"] == name and inside:
            runs[-1].append((record["napi"], record["work"]))
    return [run for run in runs if run]
