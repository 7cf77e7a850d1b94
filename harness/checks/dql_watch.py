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

FLIGHT, LIMIT, PREDICTED = "in flight, says the guest", "limit", "limit, says the oracle"
HELD = "in the card, says the card"


def picture_in_time(evidence: Evidence, title: str, found: Sequence[Completion]) -> None:
    """Keep a plot of limit and bytes in flight of one queue over time, the oracle's limit on top.

    What is in flight is known at each completion, before and after; between two it is drawn as after the first.
    """
    shown = found[:PICTURED]
    times = tuple(round((each.t - shown[0].t) / 1e6, 3) for each in shown)
    flights = tuple(size for each in shown for size in _flights(each))
    twice = tuple(t_ms for t_ms in times for _ in range(2))
    evidence.series(
        title,
        [Line(FLIGHT, Source.GUEST, twice, flights, Look.AREA), *_limits(times, shown)],
        x="ms",
        y="bytes",
        note=f"Queue {shown[0].queue}, {len(shown)} completions.",
    )


def picture_in_turns(
    evidence: Evidence, title: str, found: Sequence[Completion], clocks: Clocks | None, held: Sequence[tuple[int, int]]
) -> None:
    """Keep a plot of one queue completion by completion: limit, and the most in flight since the one before.

    ``held`` are the bytes that the card had fetched and not reported, from these times of its clock on. ``clocks`` tell
    between which completions of the guest that was; without them the card is left out.
    """
    shown = found[:PICTURED]
    turns = tuple(range(1, 1 + len(shown)))
    lines = [Line(FLIGHT, Source.GUEST, turns, tuple(_flights(each)[0] for each in shown), Look.AREA)]
    if clocks is not None:
        ends = [clocks.on_card(each.t) for each in shown]
        lines += [Line(HELD, Source.DEVICE, turns, _most_between(ends, held), Look.AREA)]
    note = f"Queue {shown[0].queue}. {clocks.told if clocks else ''}".strip()
    evidence.series(title, [*lines, *_limits(turns, shown)], x="completion", y="bytes", note=note)


def _limits(x: tuple[float, ...], shown: Sequence[Completion]) -> list[Line]:
    predicted = tuple(each.predict(each.after["jif"])["limit"] for each in shown)
    return [
        Line(LIMIT, Source.GUEST, x, tuple(each.after["limit"] for each in shown), Look.STEPS),
        Line(PREDICTED, Source.ORACLE, x, predicted, Look.STEPS),
    ]


def _flights(each: Completion) -> tuple[int, int]:
    """Return the bytes in flight before and after a completion."""
    before, after = ((fields["nq"] - fields["nc"]) & 0xFFFFFFFF for fields in (each.before, each.after))
    return before, after


def _most_between(ends: Sequence[int], held: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Return the most that was held in each span that ends at one of ``ends``; what was held before goes on."""
    most, now, at = [], 0, 0
    for end in ends:
        highest = now
        while at < len(held) and held[at][0] <= end:
            now = held[at][1]
            highest = max(highest, now)
            at += 1
        most.append(highest)
    return tuple(most)
