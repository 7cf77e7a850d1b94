# SPDX-License-Identifier: BSD-3-Clause
"""Whether both witnesses tell one story of interrupts: message, hard interrupt, poll, unmask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.timeline.card_side import AUTO, UNMASK

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    polls = [each for each in line.slices if each.kind == "napi"]
    for each in masked:
        when = f"{(each.begin_ns - begin) / 1000:.1f} µs"
        if each.details["by"] == AUTO and id(each) not in answered and each.begin_ns < end - NEAR_NS:
            yield f"{each.lane.title} sent a message at {when}, and the guest shows no hard interrupt for it"
        if each.details["until"] == UNMASK and not each.lane.title.endswith(" 0") and not _within(polls, each, error):
            yield f"{each.lane.title}, masked at {when}, was unmasked without a poll of the guest's"
    interrupts = set(line.facts.get("irqs") or ())
    for each in line.slices:
        if each.kind == "hardirq" and each.details.get("irq") in interrupts and id(each) not in caused:
            when = f"{(each.begin_ns - begin) / 1000:.1f} µs"
            yield f"{each.lane.title} had {each.name} at {when}, and the card sent nothing"


def _within(polls: list[Slice], masked: Slice, error: int) -> bool:
    begin, end = masked.begin_ns - error, masked.end_ns + error
    return any(poll.begin_ns <= end and begin <= poll.end_ns for poll in polls)


def verdict(line: TimeLine) -> list[str]:
    """Return what is to be said of the story as a whole."""
    if line.facts.get("lost"):
        return ["Whether both tell one story cannot be said: events were lost."]
    found = list(contradictions(line))
    if found:
        return [f"The witnesses contradict each other {len(found)} times:", *(f"  {each}" for each in found[:20])]
    return [f"Both witnesses tell one story of {len(line.arrows)} interrupts."]
