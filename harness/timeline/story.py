# SPDX-License-Identifier: BSD-3-Clause
"""Whether both witnesses tell one story of interrupts: message, hard interrupt, poll, unmask."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Self

from harness.timeline.card_side import AUTO, UNMASK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from harness.timeline.line import Slice, TimeLine

NEAR_NS = 50_000_000
"""What begins so shortly before the end of a recording may go on after it."""


def contradictions(line: TimeLine) -> Iterator[str]:
    """Yield a sentence for each thing that one witness tells and the other denies; none if events were lost.

    Every message of a vector that masks itself must be followed by its hard interrupt, every hard interrupt of the
    interface must have been caused by a message, and a queue's vector must not be unmasked without a poll since it was
    masked (igb_poll, igb_ring_irq_enable). Writes are posted: the card may hear of one after the poll has ended.
    """
    if line.facts.get("lost"):
        return
    error = int(line.facts.get("error_ns", 0))
    begin, end = int(line.facts["begin_ns"]), int(line.facts["end_ns"])
    answered = {id(arrow.source) for arrow in line.arrows}
    caused = {id(arrow.target) for arrow in line.arrows}
    masked = [each for each in line.slices if each.kind == "masked"]
    polls = Spans.of(each for each in line.slices if each.kind == "napi")
    for each in masked:
        when = f"{(each.begin_ns - begin) / 1000:.1f} µs"
        if each.details["by"] == AUTO and id(each) not in answered and each.begin_ns < end - NEAR_NS:
            yield f"{each.lane.title} sent a message at {when}, and the guest shows no hard interrupt for it"
        if each.details["until"] == UNMASK and each.lane.number != 0 and not polls.touch(*around(each, error)):
            yield f"{each.lane.title}, masked at {when}, was unmasked without a poll of the guest's"
    interrupts = set(line.facts.get("irqs") or ())
    for each in line.slices:
        if each.kind == "hardirq" and each.details.get("irq") in interrupts and id(each) not in caused:
            when = f"{(each.begin_ns - begin) / 1000:.1f} µs"
            yield f"{each.lane.title} had {each.name} at {when}, and the card sent nothing"


def around(span: Slice, error: int) -> tuple[int, int]:
    """Return from when to when it may have been, clocks being as good as they are."""
    return span.begin_ns - error, span.end_ns + error


@dataclass(frozen=True, slots=True)
class Spans:
    """Spans of time by their beginnings; ``latest`` is the latest end of each and those before it."""

    begins: list[int]
    latest: list[int]

    @classmethod
    def of(cls, slices: Iterable[Slice]) -> Self:
        """Return those of some slices."""
        inside = sorted(slices, key=lambda each: each.begin_ns)
        return cls([each.begin_ns for each in inside], list(accumulate((each.end_ns for each in inside), max)))

    def touch(self, begin: int, end: int) -> bool:
        """Say whether one of them has a moment between ``begin`` and ``end``."""
        until = bisect_right(self.begins, end)
        return until > 0 and self.latest[until - 1] >= begin


def verdict(line: TimeLine, found: Sequence[str] | None = None) -> list[str]:
    """Return what is to be said of the story as a whole; ``found`` are its contradictions, if they are known."""
    if line.facts.get("lost"):
        return ["Whether both tell one story cannot be said: events were lost."]
    found = list(contradictions(line)) if found is None else found
    if found:
        return [f"The witnesses contradict each other {len(found)} times:", *(f"  {each}" for each in found[:20])]
    return [f"Both witnesses tell one story of {len(line.arrows)} interrupts."]
