# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's dynamic queue limits (lib/dynamic_queue_limits.c, Linux 6.12), bit for bit.

Byte counters are 32 bits wide and wrap; times are jiffies. The functions of the kernel that belong together::

    dql_queued, netdev_tx_sent_queue            Dql.queued
    dql_completed, netdev_tx_completed_queue    Dql.completed
    dql_reset                                   Dql.reset

Fill a fresh queue with full frames until it stops, complete them all, twice:

>>> queue = Dql()
>>> queue.queued(1514)
True
>>> queue.completed(1514, now=1)
True
>>> queue.limit
1514
>>> [queue.queued(1514) for _ in range(2)]
[False, True]
"""

from __future__ import annotations

from dataclasses import dataclass, field

U32 = 0xFFFFFFFF
U64 = 0xFFFFFFFFFFFFFFFF
MAX_OBJECT = U32 // 16
MAX_LIMIT = U32 // 2 - MAX_OBJECT

#: Jiffies of the kernel's history of sends: DQL_HIST_LEN words of BITS_PER_LONG.
WORD_BITS = 64
HISTORY_WORDS = 4
HISTORY_JIFFIES = WORD_BITS * HISTORY_WORDS


@dataclass(slots=True)
class Dql:
    """One ``struct dql``, with the fields of the kernel under the kernel's names, and the queue's STACK_XOFF bit."""

    num_queued: int = 0
    adj_limit: int = 0
    last_obj_cnt: int = 0
    limit: int = 0
    num_completed: int = 0
    prev_ovlimit: int = 0
    prev_num_queued: int = 0
    prev_last_obj_cnt: int = 0
    lowest_slack: int = U32
    slack_start_time: int = 0
    max_limit: int = MAX_LIMIT
    min_limit: int = 0
    slack_hold_time: int = 250
    stall_thrs: int = 0
    stall_max: int = 0
    stall_cnt: int = 0
    last_reap: int = 0
    history_head: int = 0
    history: list[int] = field(default_factory=lambda: [0] * HISTORY_WORDS)
    stopped: bool = False

    @property
    def inflight(self) -> int:
        """Bytes queued and not yet completed."""
        return (self.num_queued - self.num_completed) & U32

    @property
    def avail(self) -> int:
        """Bytes that may still be queued; negative when over the limit."""
        return signed(self.adj_limit - self.num_queued)

    def queued(self, count: int, now: int = 0) -> bool:
        """Send a packet of ``count`` bytes at jiffy ``now``; return whether that stops the queue.

        A queue that meets its limit exactly goes on.
        """
        if not 0 <= count <= MAX_OBJECT:
            raise ValueError(f"a packet must be 0 to {MAX_OBJECT} bytes, not {count}")
        self.last_obj_cnt = count
        self.num_queued = (self.num_queued + count) & U32
        if self.stall_thrs:
            self._remember_send(now)
        if self.avail < 0:
            self.stopped = True
        return self.avail < 0

    def completed(self, count: int, now: int) -> bool:
        """Complete ``count`` bytes at jiffy ``now``; return whether that starts a stopped queue again.

        Zero bytes change nothing, because netdev_tx_completed_queue returns at once.
        """
        if count == 0:
            return False
        if count > self.inflight:
            raise ValueError(f"bytes completed must be at most the {self.inflight} in flight, not {count}")
        self._adjust(count, now)
        if self.stall_thrs:
            self._check_stall(now)
        if self.avail < 0 or not self.stopped:
            return False
        self.stopped = False
        return True

    def reset(self, now: int = 0) -> None:
        """Clean the ring. ``adj_limit`` keeps its value, as in the kernel: sends after a reset see the old one."""
        self.limit = self.min_limit
        self.num_queued = self.num_completed = self.last_obj_cnt = 0
        self.prev_num_queued = self.prev_last_obj_cnt = self.prev_ovlimit = 0
        self.lowest_slack, self.slack_start_time = U32, now
        self.last_reap, self.history_head = now, now // WORD_BITS
        self.history = [0] * HISTORY_WORDS
        self.stopped = False

    def _adjust(self, count: int, now: int) -> None:
        num_queued = self.num_queued
        completed = (self.num_completed + count) & U32
        limit = self.limit
        ovlimit = posdiff(num_queued - self.num_completed, limit)
        inprogress = (num_queued - completed) & U32
        prev_inprogress = (self.prev_num_queued - self.num_completed) & U32
        all_prev_completed = signed(completed - self.prev_num_queued) >= 0
        if (ovlimit and not inprogress) or (self.prev_ovlimit and all_prev_completed):
            limit = (limit + posdiff(completed, self.prev_num_queued) + self.prev_ovlimit) & U32
            self.slack_start_time, self.lowest_slack = now, U32
        elif inprogress and prev_inprogress and not all_prev_completed:
            slack = posdiff(limit + self.prev_ovlimit, 2 * (completed - self.num_completed))
            slack_last = posdiff(self.prev_last_obj_cnt, self.prev_ovlimit) if self.prev_ovlimit else 0
            self.lowest_slack = min(self.lowest_slack, max(slack, slack_last))
            if after(now, self.slack_start_time + self.slack_hold_time):
                limit = posdiff(limit, self.lowest_slack)
                self.slack_start_time, self.lowest_slack = now, U32
        limit = min(max(limit, self.min_limit), self.max_limit)
        if limit != self.limit:
            self.limit = limit
            ovlimit = 0
        self.adj_limit = (limit + completed) & U32
        self.prev_ovlimit = ovlimit
        self.prev_last_obj_cnt = self.last_obj_cnt
        self.num_completed = completed
        self.prev_num_queued = num_queued

    def _remember_send(self, now: int) -> None:
        """Set the bit of this jiffy in the ring of four words (dql_queue_stall)."""
        head = now // WORD_BITS
        if head != self.history_head:
            for step in range(HISTORY_WORDS):
                if head == self.history_head + step:
                    break
                self.history[(self.history_head + step + 1) % HISTORY_WORDS] = 0
            self.history_head = head
        self.history[head % HISTORY_WORDS] |= 1 << (now % WORD_BITS)

    def _check_stall(self, now: int) -> None:
        """Count a wait of stall_thrs or more in whose first half something was sent (dql_check_stall)."""
        if after_eq(now, self.last_reap + self.stall_thrs):
            start = (self.history_head - HISTORY_WORDS + 1) * WORD_BITS
            start = max(start, self.last_reap + 1)
            end = self.history_head * WORD_BITS + WORD_BITS - 1
            if now < end + self.stall_thrs // 2:
                end = now - self.stall_thrs // 2
            sent = next((jiffy for jiffy in range(start, end + 1) if self._sent_at(jiffy)), None)
            if sent is not None:
                self.stall_cnt += 1
                self.stall_max = max(self.stall_max, (now - sent) & 0xFFFF)
        self.last_reap = now

    def _sent_at(self, jiffy: int) -> bool:
        slot = jiffy % HISTORY_JIFFIES
        return bool(self.history[slot // WORD_BITS] >> (slot % WORD_BITS) & 1)


def signed(value: int) -> int:
    """Return the low 32 bits of ``value`` as a signed number, as the kernel's cast to int does."""
    value &= U32
    return value - (1 << 32) if value >> 31 else value


def posdiff(left: int, right: int) -> int:
    """Return ``left`` - ``right`` modulo 2**32 where that is positive as a signed number, else 0 (POSDIFF)."""
    return max(signed(left - right), 0)


def after(left: int, right: int) -> bool:
    """Return whether jiffy ``left`` is strictly after ``right`` on a 64-bit clock that wraps (time_after)."""
    return 0 < (left - right) & U64 < 1 << 63


def after_eq(left: int, right: int) -> bool:
    """Return whether jiffy ``left`` is at or after ``right`` (time_after_eq)."""
    return (left - right) & U64 < 1 << 63
