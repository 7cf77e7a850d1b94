# SPDX-License-Identifier: BSD-3-Clause
"""A transmit queue under byte queue limits, packet by packet: what waits in the qdisc, what the card holds.

While nobody else sends and completions come by script, this twin tells every state of the guest's queue in advance:
sch_direct_xmit and __qdisc_run send while the stack has not stopped the queue, netdev_tx_completed_queue starts it.

Fill a fresh queue with full frames and complete all that went, twice:

>>> twin = Twin()
>>> twin.send(*[1514] * 8)
1
>>> twin.complete(1), twin.dql.limit
(2, 1514)
>>> twin.complete(2), twin.dql.limit, len(twin.backlog)
(4, 4542, 1)
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from harness.oracles.dql import Dql

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class Twin:
    """``flying`` are the bytes of the packets in the card, oldest first, ``backlog`` of those in the qdisc.

    Times matter only for shrinking: give ``dql`` a slack_hold_time that does not pass meanwhile.
    """

    dql: Dql = field(default_factory=Dql)
    flying: deque[int] = field(default_factory=deque)
    backlog: deque[int] = field(default_factory=deque)

    def send(self, *sizes: int) -> int:
        """Hand packets to the qdisc; return how many packets reach the card now."""
        self.backlog.extend(sizes)
        return self._run()

    def complete(self, count: int) -> int:
        """Complete the oldest ``count`` packets in one poll; return how many packets reach the card by that."""
        if not 0 <= count <= len(self.flying):
            raise ValueError(f"packets completed must be 0 to {len(self.flying)}, not {count}")
        self.dql.completed(sum(self.flying.popleft() for _ in range(count)), now=0)
        return self._run()

    def reset(self) -> None:
        """Clean the ring: what the card holds is lost, and the qdisc is emptied when the interface goes down."""
        self.flying.clear()
        self.backlog.clear()
        self.dql.reset()

    def _run(self) -> int:
        went = 0
        while self.backlog and not self.dql.stopped:
            size = self.backlog.popleft()
            self.flying.append(size)
            self.dql.queued(size)
            went += 1
        return went


def bulks(available: int, waiting: Iterable[int]) -> list[list[int]]:
    """Return the bulks in which a qdisc of one queue hands over packets of ``waiting`` bytes when BQL lets go.

    A bulk begins while the queue is not stopped and goes on while something of what was available is left: it exceeds
    that by no more than its last packet (try_bulk_dequeue_skb, qdisc_avail_bulklimit).

    >>> bulks(1500, [700, 700, 700, 700])
    [[700, 700, 700]]
    >>> bulks(1400, [700, 700, 700, 700])
    [[700, 700], [700]]
    >>> bulks(-1, [700])
    []
    """
    left, found = list(waiting), []
    while left and available >= 0:
        count = next((n for n, total in enumerate(accumulate(left), 1) if total >= available), len(left))
        found.append(left[:count])
        available -= sum(left[:count])
        del left[:count]
    return found
