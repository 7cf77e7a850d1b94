# SPDX-License-Identifier: BSD-3-Clause
"""Every call of dql_completed in a trace, with the struct dql before and after, judged by the oracle."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.guest.dql_probes import BEFORE
from harness.oracles.dql import Dql, signed
from harness.plots import Line, Look, Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.checks.clocks import Clocks
    from harness.evidence import Evidence
    from harness.guest.dql_probes import DqlProbes
    from harness.guest.probes import Probe
    from harness.guest.trace import Session
    from harness.lab import Bound

KEPT = ("limit", "adj", "nc", "pov", "pnq", "ploc", "low", "ss")
"""What only dql_completed changes (nq, last and stall history change with every packet sent)."""

STACK_XOFF = 1 << 1
"""netdev_queue.state: __QUEUE_STATE_STACK_XOFF."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One call: ``before`` and ``after`` hold the probes' fields by their short names (dql_probes.BEFORE)."""

    queue: int
    count: int
    t: int
    cpu: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    def mismatches(self) -> list[str]:
        """Return a sentence for each field that is not as the oracle says.

        The call reads num_queued and last_obj_cnt once, while senders go on: what it read is what it stored as previous
        values, which must lie between the two probes. The jiffy that it read lies between theirs, too.
        """
        told: list[str] = []
        nq, read, end = (self.before["nq"], self.after["pnq"], self.after["nq"])
        if not (read - nq) & 0xFFFFFFFF <= (end - nq) & 0xFFFFFFFF:
            told.append(f"num_queued was read as {read}, not between {nq} and {end}")
        guesses = [self.predict(now) for now in range(self.before["jif"], self.after["jif"] + 1)]
        wanted = {name: self.after[name] for name in BEFORE if name not in ("nq", "last")}
        if wanted not in guesses:
            differing = [name for name, value in guesses[0].items() if wanted[name] != value]
            told += [f"{name} became {wanted[name]}, not {guesses[0][name]}" for name in differing]
        return [f"queue {self.queue}, {self.count} bytes at {self.t}: {text}" for text in told]

    def predict(self, now: int) -> dict[str, int]:
        """Return the fields after the call, had it run at jiffy ``now``."""
        members = {member: self.before[name] for name, member in BEFORE.items()}
        members.update(num_queued=self.after["pnq"], last_obj_cnt=self.after["ploc"])
        twin = Dql(**members)
        twin.completed(self.count, now)
        return {name: getattr(twin, member) for name, member in BEFORE.items() if name not in ("nq", "last")}

    @property
    def starved(self) -> bool:
        """Whether the limit grew."""
        return bool(self.after["limit"] > self.before["limit"])

    @property
    def busy(self) -> bool:
        """Whether the queue was full all the while since the completion before: only then slack is measured."""
        now, before = self.after["pnq"], self.before["pnq"]
        completed = self.after["nc"]
        return bool(now != completed and before != self.before["nc"] and signed(completed - before) < 0)

    @property
    def shrank(self) -> bool:
        """Whether the limit fell."""
        return bool(self.after["limit"] < self.before["limit"])


@contextmanager
def watching(bound: Bound, *events: str, probes: Sequence[Probe] = (), buffer_kb: int = 8192) -> Iterator[Session]:
    """Record every completion, ``events`` and ``probes``."""
    dql = bound.guest.dql_probes()
    wanted = (dql.entry, dql.done, *probes)
    with bound.guest.trace.session(*events, probes=wanted, buffer_kb=buffer_kb) as session:
        yield session


def completions(bound: Bound, session: Session) -> list[Completion]:
    """Pair what the two probes recorded; both must have seen every call.

    Queues are numbered by address: struct netdev_queue is an array, of which the driver's queues are the beginning. At
    least queue 0 must have completed something.
    """
    probes = bound.guest.dql_probes()
    entered: dict[int, Any] = {}
    pairs = []
    for record in session.records:
        if record.name == probes.entry.event:
            assert record.cpu not in entered, f"dql_completed must return before it is called again: {record}"
            entered[record.cpu] = record
        elif record.name == probes.done.event:
            pairs.append((entered.pop(record.cpu), record))
    assert not entered, f"every call must return, and {entered} did not"
    return _numbered(pairs, probes)


def _numbered(pairs: Sequence[tuple[Any, Any]], probes: DqlProbes) -> list[Completion]:
    """Return the completions with queue numbers instead of addresses."""
    addresses = sorted({done["txq"] for _, done in pairs})
    for entry, done in pairs:
        assert entry["dql"] == done["txq"] + probes.dql_in_queue
    numbers = {address: number for number, address in enumerate(addresses)}
    return [
        Completion(numbers[done["txq"]], entry["count"], entry.t, entry.cpu, entry.fields, done.fields)
        for entry, done in pairs
    ]


def gaps(found: Sequence[Completion]) -> list[str]:
    """Return a sentence for each queue state that changed between two completions."""
    told = []
    last: dict[int, Completion] = {}
    for completion in found:
        before = last.get(completion.queue)
        if before is not None:
            changed = [name for name in KEPT if before.after[name] != completion.before[name]]
            told += [f"queue {completion.queue} at {completion.t}: {name} changed between calls" for name in changed]
        last[completion.queue] = completion
    return told


PICTURED = 600
"""Completions in one picture: more would hide each other."""

BUSY = 60
"""Completions of a busy stretch."""


def busiest(found: Sequence[Completion], count: int = BUSY) -> Sequence[Completion]:
    """Return the ``count`` consecutive completions that took least time while the limit changed, to look at closely."""
    stretches = [found[at : at + count] for at in range(max(1, len(found) - count + 1))]
    moving = [part for part in stretches if any(each.starved or each.shrank for each in part[1:])]
    return min(moving or stretches, key=lambda part: part[-1].t - part[0].t)


def picture(
    evidence: Evidence,
    title: str,
    found: Sequence[Completion],
    clocks: Clocks | None = None,
    held: Sequence[tuple[int, int]] = (),
) -> None:
    """Keep a plot of limit and bytes in flight of one queue at these completions, the oracle's limit on top.

    ``held`` are the bytes that the card had fetched and not reported, from these times of its clock on; they are drawn
    where ``clocks`` relate them to the guest's.
    """
    shown = found[:PICTURED]
    begin, end = shown[0].t, shown[-1].t

    def ms(guest_ns: int) -> float:
        return round((guest_ns - begin) / 1e6, 3)

    flights = [
        (ms(each.t), (fields["nq"] - fields["nc"]) & 0xFFFFFFFF)
        for each in shown
        for fields in (each.before, each.after)
    ]
    lines = [Line("in flight, says the guest", Source.GUEST, *_points(flights), Look.AREA)]
    if clocks is not None:
        there = [(ms(t_ns + clocks.offset_ns), size) for t_ns, size in held if begin <= t_ns + clocks.offset_ns <= end]
        lines += [Line("in the card", Source.DEVICE, *_points(there), Look.AREA)] if there else []
    limits = [(ms(each.t), each.after["limit"]) for each in shown]
    predicted = [(ms(each.t), each.predict(each.after["jif"])["limit"]) for each in shown]
    lines += [
        Line("limit", Source.GUEST, *_points(limits), Look.STEPS),
        Line("limit, says the oracle", Source.ORACLE, *_points(predicted), Look.STEPS),
    ]
    note = f"Queue {shown[0].queue}, {len(shown)} completions. " + (clocks.told if clocks else "")
    evidence.series(title, lines, x="ms", y="bytes", note=note.strip())


def _points(pairs: Sequence[tuple[float, int]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(x for x, _ in pairs), tuple(y for _, y in pairs)
