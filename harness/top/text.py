# SPDX-License-Identifier: BSD-3-Clause
"""Figures as lines of text and as one line of JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.top.figures import Figures, QueueRate

BAR = 10
STEPS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def scaled(value: float) -> str:
    """Return a number in about four characters, as ``12.3k``."""
    for size, letter in STEPS:
        if value >= size:
            return f"{value / size:.1f}{letter}"
    return f"{value:.0f}"


def bar(filled: int, whole: int) -> str:
    """Return how full a ring is; anything in it shows, and only a ring without a free slot is full."""
    if whole <= 0:
        return "·" * BAR
    many = filled * BAR // whole
    if filled > 0:
        many = max(1, many)
    return "#" * min(BAR, many) + "·" * (BAR - min(BAR, many))


def lines(figures: Figures) -> list[str]:
    """Return the figures as a table: head, queues, vectors, drops."""
    link = f"{figures.link_mbps} Mb/s" if figures.link_mbps else "down"
    sums = figures.sums
    head = (
        f"link {link}  {figures.interrupts}  over {figures.seconds:.2f} s  "
        f"rx {scaled(sums['rx_packets'])} frames/s {scaled(sums['rx_bytes'])}B/s  "
        f"tx {scaled(sums['tx_packets'])} frames/s {scaled(sums['tx_bytes'])}B/s"
    )
    return [
        head,
        *(["another card than before: its counters began anew"] if figures.restarted else []),
        "",
        f"{'queue':<7}{'frames/s':>10}{'bytes/s':>10}  {'card owns':<21}{'vector':>7}{'BQL limit':>11}{'inflight':>10}",
        *(_queue("rx", queue) for queue in figures.rx),
        *(_queue("tx", queue) + _bql(figures, queue.queue) for queue in figures.tx),
        "",
        f"{'vector':<7}{'messages/s':>10}{'EITR µs':>10}  serves",
        *(
            f"{vector.vector:<7}{scaled(vector.sent):>10}{vector.interval_us:>10}  {vector.serves}"
            for vector in figures.vectors
            if vector.serves or vector.sent
        ),
        "",
        *_dropped(figures),
    ]


def _queue(way: str, queue: QueueRate) -> str:
    fill = f"{bar(queue.owned, queue.slots)} {queue.owned}/{queue.slots}"
    vector = "" if queue.vector is None else str(queue.vector)
    name = f"{way}{queue.queue}"
    return f"{name:<7}{scaled(queue.packets):>10}{scaled(queue.bytes):>10}  {fill:<21}{vector:>7}"


def _bql(figures: Figures, queue: int) -> str:
    found = figures.bql.get(queue)
    return f"{found.limit:>11}{found.inflight:>10}" if found else f"{'-':>11}{'-':>10}"


def _dropped(figures: Figures) -> Iterable[str]:
    rows = {**figures.dropped, "wire": figures.wire_dropped} if figures.wire_dropped[1] else figures.dropped
    if not rows:
        return ["nothing dropped"]
    return [
        f"{'dropped':<20}{'frames/s':>10}{'in all':>10}",
        *(f"{reason:<20}{scaled(rate):>10}{total:>10}" for reason, (rate, total) in sorted(rows.items())),
    ]


def as_json(figures: Figures) -> str:
    """Return the figures as one line of JSON."""
    return json.dumps({**asdict(figures), "sums": figures.sums})
