# SPDX-License-Identifier: BSD-3-Clause
"""What was wrong between a driver and its card: postings against mappings, each wrong told with all that is known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.guest.bare import SPARE_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from harness.sanitizer.mappings import Mapping, Mappings
    from harness.sanitizer.postings import Clash, Posting
    from harness.seen import Seen

OUTSIDE, AFTER, TWICE, OVERLAP, UNWRITTEN = (
    "outside of what is owned", "use after unmap", "posted twice", "overlapping buffers",
    "transmit memory never written",
)  # fmt: skip
LIFETIMES, PLACES = "ROB-14", "ROB-15"
CLAIM = {OUTSIDE: LIFETIMES, AFTER: LIFETIMES, TWICE: PLACES, OVERLAP: PLACES, UNWRITTEN: PLACES}


@dataclass(frozen=True, slots=True)
class Finding:
    """One wrong: ``kind`` out of the above, the descriptor in words, and lines that explain it."""

    kind: str
    where: str
    lines: tuple[str, ...] = ()

    @property
    def claim(self) -> str:
        """The claim that it breaks."""
        return CLAIM[self.kind]

    @property
    def title(self) -> str:
        """The finding in a line."""
        return f"{self.kind} ({self.claim}): {self.where}"

    def __str__(self) -> str:
        return "\n".join((self.title, *(f"  {line}" for line in self.lines)))


def judge(
    postings: Iterable[Posting], mappings: Mappings, error_ns: int, recorded: tuple[int, int]
) -> Iterator[Finding]:
    """Yield what was not mapped while it was the card's.

    Times are the card's clock; those of ``mappings`` are right within ``error_ns``, and only what is certain in spite
    of that is told. ``recorded`` is when the guest's trace began and ended: nothing outside of it is judged, nor is a
    buffer that was never seen mapped, unless the account of its ring is whole.
    """
    begun, ended = recorded
    for posting in postings:
        if not begun + error_ns < posting.fetched_ns < ended - error_ns:
            continue
        last_ns, last = posting.last_use
        last_ns = min(last_ns, ended)
        near = list(mappings.near(posting.address, posting.size))
        if any(
            each.begun.t_ns - error_ns <= posting.fetched_ns and each.until_ns + error_ns >= last_ns for each in near
        ):
            continue
        gone = [each for each in near if each.until_ns + error_ns < last_ns]
        if gone:
            newest = max(gone, key=lambda each: each.until_ns)
            yield Finding(AFTER, posting.where, told(posting, newest, last, last_ns - newest.until_ns, error_ns))
        elif posting.whole:
            known = near[0] if near else None
            yield Finding(OUTSIDE, posting.where, told(posting, known, last, 0, error_ns))


def told(posting: Posting, mapping: Mapping | None, last: str, late_ns: int, error_ns: int) -> tuple[str, ...]:
    """Return the history of a buffer."""
    if mapping is None:
        return (f"the card {last} at {posting.last_use[0] / 1e9:.6f}, and no mapping holds these bytes",)
    if mapping.ended is None:
        early = f"the card fetched its descriptor at {posting.fetched_ns / 1e9:.6f}, before it was mapped"
        return (early, *history(mapping))
    return (
        f"the card {last} {late_ns / 1000:.1f} µs after it was unmapped (±{error_ns / 1000:.1f} µs)",
        *history(mapping),
    )


def clashes(met: Iterable[Clash]) -> Iterator[Finding]:
    """Yield what was handed over twice."""
    for clash in met:
        older = f"{clash.older.where}, fetched at {clash.older.fetched_ns / 1e9:.6f}, was the card's still"
        yield Finding(TWICE if clash.same else OVERLAP, clash.newer.where, (older,))


def strays(events: Iterable[Seen], mappings: Mappings) -> Iterator[Finding]:
    """Yield DMA outside of what was the card's, with the newest mapping that held the bytes."""
    for event in events:
        did = "read" if event.kind == "DmaRead" else "wrote"
        where = f"{event.purpose[:2]}-{event.queue}, {event.size} bytes at {event.iova:#x}"
        near = [each for each in mappings.near(event.iova, event.size) if each.begun.t_ns <= event.t_ns]
        lines = [f"the card {did} them at {event.t_ns / 1e9:.6f}, and no descriptor that is its own names them"]
        if near:
            newest = max(near, key=lambda each: each.begun.t_ns)
            lines += history(newest)
        yield Finding(OUTSIDE, where, tuple(lines))


REFUSED = re.compile(r"([tr]x)\[(\d+)\].* DMA of (\d+) bytes at 0x([0-9a-f]+) must lie in mapped")


def refused(events: Iterable[Seen], mappings: Mappings, error_ns: int) -> Iterator[Finding]:
    """Yield DMA that failed since the memory is not mapped for the card: behind a vIOMMU, what the driver unmapped."""
    for event in events:
        found = REFUSED.search(event.what) if event.kind == "GuestError" else None
        if found is None or int(found[2]) >= SPARE_QUEUE:
            continue
        address, size = int(found[4], 16), int(found[3])
        near = [each for each in mappings.near(address, size) if each.begun.t_ns - error_ns <= event.t_ns]
        lines = [f"refused at {event.t_ns / 1e9:.6f}: {event.what.rpartition(': ')[0]}"]
        if near:
            newest = max(near, key=lambda each: each.begun.t_ns)
            lines += history(newest)
        gone = bool(near) and all(each.ended for each in near)
        yield Finding(AFTER if gone else OUTSIDE, f"{found[1]}-{found[2]}, {size} bytes at {address:#x}", tuple(lines))


def history(mapping: Mapping) -> Iterator[str]:
    """Yield who made a mapping, and who ended it."""
    yield f"mapped at {mapping.begun.t_ns / 1e9:.6f} {mapping.begun}"
    if mapping.ended is not None:
        yield f"unmapped at {mapping.ended.t_ns / 1e9:.6f} {mapping.ended}"


def in_rings(rings: Iterable[tuple[str, int, int, int, int]]) -> Iterator[Finding]:
    """Yield what lies twice in rings that were read at one moment: direction, queue, slot, address and size of each."""
    last: tuple[str, int, int, int, int] | None = None
    for here in sorted(rings, key=lambda each: (each[3], each[0])):
        if last is not None and last[3] + last[4] > here[3] and "rx" in (last[0], here[0]):
            same = last[3] == here[3] and last[0] == here[0]
            where = f"{here[0]}-{here[1]} slot {here[2]}, {here[4]} bytes at {here[3]:#x}"
            other = f"{last[0]}-{last[1]} slot {last[2]} has {last[4]} bytes at {last[3]:#x}, not returned"
            yield Finding(TWICE if same else OVERLAP, where, (other,))
        if last is None or here[3] + here[4] > last[3] + last[4]:
            last = here
