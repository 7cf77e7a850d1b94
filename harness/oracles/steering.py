# SPDX-License-Identifier: BSD-3-Clause
"""Receive packet steering as Linux does it: which CPU a hash names, and what the flow limit drops (net/core/dev.c)."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HISTORY = 128
"""Frames that a CPU's flow limit remembers (FLOW_LIMIT_HISTORY)."""

BUCKETS = 4096
"""net.core.flow_limit_table_len, by default."""


def chosen_cpu(flow_hash: int, cpus: Sequence[int]) -> int:
    """Return the CPU of a mask that get_rps_cpu picks: the hash scaled to the CPUs in ascending order.

    >>> [chosen_cpu(value, (3, 1)) for value in (1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)]
    [1, 1, 3, 3]
    """
    return sorted(cpus)[flow_hash * len(cpus) >> 32]


@dataclass(slots=True)
class FlowLimit:
    """The flow limit of one CPU, whose table remembers from burst to burst (skb_flow_limit)."""

    max_backlog: int
    _history: deque[int] = field(default_factory=deque)
    _held: Counter[int] = field(default_factory=Counter)

    def dropped(self, hashes: Sequence[int]) -> list[bool]:
        """Return which frames of a burst, put on an empty backlog that nobody works off meanwhile, are dropped.

        Frames are counted while the backlog is half full; a bucket may hold 64 of the last 128 that were counted.

        >>> limit = FlowLimit(40)
        >>> sum(limit.dropped([7] * 60)), sum(limit.dropped([7] * 45 + [5] * 3))
        (0, 1)
        """
        found, queued = [], 0
        for value in hashes:
            over = queued >= self.max_backlog // 2 and self._counts(value % BUCKETS) > HISTORY // 2
            queued += not over
            found.append(over)
        return found

    def _counts(self, bucket: int) -> int:
        if len(self._history) == HISTORY:
            self._held[self._history.popleft()] -= 1
        self._history.append(bucket)
        self._held[bucket] += 1
        return self._held[bucket]
