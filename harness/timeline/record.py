# SPDX-License-Identifier: BSD-3-Clause
"""Record both witnesses around whatever is done with a bound guest, and put them on one line."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.oracles.vectors import handlers
from harness.timeline import card_side, guest_side
from harness.timeline.clocks import Relation, compared, relate
from harness.timeline.line import Arrow, Slice, TimeLine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.guest.ringbuffer import Record
    from harness.guest.trace import Session
    from harness.lab import Bound
    from harness.seen import Recording, Seen

BUFFER_KB = 8192


class Recorder:
    """What is being recorded; ``line`` is ready when the context has ended."""

    def __init__(self, bound: Bound, session: Session, seen: Recording, irqs: Mapping[int, int]) -> None:
        self._bound = bound
        self._session = session
        self._seen = seen
        self._irqs = irqs
        self._readings = compared(bound, session)
        self._begin_ns = bound.card.now_ns()
        self._end_ns = self._begin_ns
        self.line = TimeLine((), ())

    def stop(self) -> None:
        """End what the time line shows, and compare the clocks once more."""
        self._end_ns = self._bound.card.now_ns()
        self._readings += compared(self._bound, self._session)

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Put both witnesses on one line."""
        relation = relate(self._readings)
        lost = {f"CPU {cpu} of the guest": count for cpu, count in self._session.lost.items() if count}
        lost |= {"card": self._seen.lost} if self._seen.lost else {}
        self.line = merged(
            self._session.records,
            self._seen.all(),
            relation,
            (self._begin_ns, self._end_ns),
            self._bound.netif.name,
            self._irqs,
            dict(facts) | {"lost": lost},
        )


@contextmanager
def recorded(
    bound: Bound, facts: Mapping[str, Any], *, buffer_kb: int = BUFFER_KB, dma: bool = False
) -> Iterator[Recorder]:
    """Record until the end of the block; then the recorder's ``line`` holds what happened in it.

    ``buffer_kb`` is for each CPU of the guest. What did not fit is counted (``facts["lost"]``). Raises LabBroken if
    the clocks could not be compared, UsageError on a kernel without these events.
    """
    irqs = irq_vectors(bound)
    kinds = (*card_side.KINDS, *(card_side.DMA if dma else ()))
    with (
        bound.guest.trace.session(
            *guest_side.EVENTS,
            probes=guest_side.PROBES,
            buffer_kb=buffer_kb,
            lossy=True,
            filters=guest_side.filters(irqs),
        ) as session,
        bound.card.recording(*kinds, lossy=True) as seen,
    ):
        recorder = Recorder(bound, session, seen, irqs)
        yield recorder
        recorder.stop()
    recorder.finish(facts)


def irq_vectors(bound: Bound) -> dict[int, int]:
    """Return the card's vector of each interrupt of the guest's interface; with MSI or INTx all is vector 0."""
    vectors = handlers(max(bound.netif.queue_count), bound.netif.name)
    return {irq.number: vectors.get(name, 0) for name, irq in bound.netif.irqs().items()}


def merged(
    records: Sequence[Record],
    events: Sequence[Seen],
    clock: Relation,
    span: tuple[int, int],
    interface: str,
    irqs: Mapping[int, int],
    facts: Mapping[str, Any],
) -> TimeLine:
    """Return the time line of what happened within ``span`` of the card's clock."""
    begin, end = span
    slices, marks = guest_side.slices(records, clock, interface)
    within = [event for event in events if begin <= event.t_ns <= end]
    shown = [each for each in slices if begin <= each.begin_ns <= end]
    masked = card_side.masked(within, end)
    points = [mark for mark in marks if begin <= mark.t_ns <= end] + card_side.marks(within)
    told = {
        "clocks": clock.told,
        "error_ns": clock.error_ns,
        "begin_ns": begin,
        "end_ns": end,
        "guest_records": len(records),
        "card_events": len(events),
        "irqs": sorted(irqs),
    }
    return TimeLine(
        tuple(sorted([*shown, *masked], key=lambda each: (each.begin_ns, -each.end_ns))),
        tuple(sorted(points, key=lambda mark: mark.t_ns)),
        tuple(arrows(masked, shown, irqs, clock.error_ns)),
        {**facts, **told},
    )


def arrows(masked: Sequence[Slice], guest: Sequence[Slice], irqs: Mapping[int, int], error_ns: int) -> Iterator[Arrow]:
    """Yield from each message the hard interrupt that it caused: the next of its vector, each taken once."""
    entries = [each for each in guest if each.kind == "hardirq" and each.details.get("irq") in irqs]
    messages = [each for each in masked if each.details["by"] == card_side.AUTO]
    for vector in sorted({each.lane.number for each in messages}):
        mine = [each for each in messages if each.lane.number == vector]
        theirs = [each for each in entries if irqs[each.details["irq"]] == vector]
        at = 0
        for message, following in zip(mine, [*mine[1:], None], strict=True):
            while at < len(theirs) and theirs[at].begin_ns < message.begin_ns - error_ns:
                at += 1
            if at < len(theirs) and (following is None or theirs[at].begin_ns < following.begin_ns + error_ns):
                yield Arrow(f"vector {vector}", message, theirs[at])
                at += 1
