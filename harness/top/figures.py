# SPDX-License-Identifier: BSD-3-Clause
"""The arithmetic: two answers of ``totals`` make rates; what comes out are frames, bytes and messages a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NS_PER_S = 1_000_000_000
Totals = dict[str, Any]
"""What the card's command ``totals`` answers (docs/control.md)."""


@dataclass(frozen=True, slots=True)
class QueueRate:
    """One queue in one direction: frames and bytes a second; descriptors that are the card's, of how many."""

    queue: int
    packets: float
    bytes: float
    owned: int
    slots: int
    vector: int | None


@dataclass(frozen=True, slots=True)
class VectorRate:
    """One vector: messages a second, the least time between two that EITR asks for, and whom it serves."""

    vector: int
    sent: float
    interval_us: int
    serves: str


@dataclass(frozen=True, slots=True)
class Bytes:
    """Byte queue limits of one transmit queue of the guest, in bytes."""

    limit: int
    inflight: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What happened between two looks at a card; ``dropped`` is by reason, as rate and as total."""

    seconds: float
    link_mbps: int
    interrupts: str
    restarted: bool
    rx: tuple[QueueRate, ...]
    tx: tuple[QueueRate, ...]
    vectors: tuple[VectorRate, ...]
    dropped: dict[str, tuple[float, int]]
    wire_dropped: tuple[float, int]
    bql: dict[int, Bytes]

    @property
    def sums(self) -> dict[str, float]:
        """Frames and bytes a second of all queues, as ``rx_packets``."""
        return {
            f"{name}_{what}": sum(getattr(queue, what) for queue in queues)
            for name, queues in (("rx", self.rx), ("tx", self.tx))
            for what in ("packets", "bytes")
        }


def between(before: Totals, after: Totals, bql: Mapping[int, Bytes] | None = None) -> Figures:
    """Return the rates from ``before`` to ``after``.

    Counters only grow, so one that has shrunk, or a clock that went back, says that it is another card: then everything
    counts from nothing, over the time since the last look if that is known. No time at all makes all rates 0.
    """
    restarted = _went_back(before, after)
    seconds = (after["now_ns"] - before["now_ns"]) / NS_PER_S
    old = None if restarted else before

    def rate(now: int, then: int) -> float:
        return (now - then) / seconds if seconds > 0 else 0.0

    old_dropped = old["dropped"] if old else {}
    old_wire = old["wire"]["dropped"] if old else 0
    return Figures(
        seconds=max(0.0, seconds),
        link_mbps=after["link_mbps"],
        interrupts=after["interrupts"],
        restarted=restarted,
        rx=_queues(after["rx"], old["rx"] if old else None, seconds),
        tx=_queues(after["tx"], old["tx"] if old else None, seconds),
        vectors=tuple(
            VectorRate(
                n,
                rate(now["sent"], old["vectors"][n]["sent"] if old else 0),
                now["interval_us"],
                _serves(after, n),
            )
            for n, now in enumerate(after["vectors"])
        ),
        dropped={
            reason: (rate(count, old_dropped.get(reason, 0)), count)
            for reason, count in after["dropped"].items()
            if count
        },
        wire_dropped=(rate(after["wire"]["dropped"], old_wire), after["wire"]["dropped"]),
        bql=dict(bql or {}),
    )


def _went_back(before: Totals, after: Totals) -> bool:
    """Tell whether any counter shrank."""
    pairs = [
        (before["now_ns"], after["now_ns"]),
        *((old[what], new[what]) for way in ("rx", "tx") for old, new in zip(before[way], after[way], strict=True)
          for what in ("packets", "bytes")),
        *((old["sent"], new["sent"]) for old, new in zip(before["vectors"], after["vectors"], strict=True)),
        *((count, after["dropped"].get(reason, 0)) for reason, count in before["dropped"].items()),
        (before["wire"]["dropped"], after["wire"]["dropped"]),
    ]  # fmt: skip
    return any(new < old for old, new in pairs)


def _queues(now: Sequence[Totals], then: Sequence[Totals] | None, seconds: float) -> tuple[QueueRate, ...]:
    """Return the queues that are enabled or have ever done something."""
    found = []
    for n, queue in enumerate(now):
        if not (queue["enabled"] or queue["packets"]):
            continue
        old = then[n] if then else {"packets": 0, "bytes": 0}
        packets, size = ((queue[what] - old[what]) / seconds if seconds > 0 else 0.0 for what in ("packets", "bytes"))
        found.append(QueueRate(n, packets, size, queue["owned"], queue["slots"], queue["vector"]))
    return tuple(found)


def _serves(totals: Totals, vector: int) -> str:
    """Return the queues of a vector, as ``rx0 tx0``; what serves none is for link and other causes, if it is used."""
    return " ".join(
        f"{way}{n}"
        for n in range(len(totals["rx"]))
        for way in ("rx", "tx")
        if totals[way][n]["vector"] == vector and totals[way][n]["enabled"]
    )
