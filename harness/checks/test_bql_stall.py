# SPDX-License-Identifier: BSD-3-Clause
"""The stall detector of byte queue limits: which wait for a completion counts, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from harness.checks.dql_watch import completions, watching
from harness.checks.filling import filling
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.errors import NotSeen
from harness.guest.probes import Probe

if TYPE_CHECKING:
    from harness.checks.dql_watch import Completion
    from harness.checks.filling import Filling
    from harness.evidence import Evidence
    from harness.guest.ringbuffer import Record
    from harness.guest.trace import Session
    from harness.lab import Bound

STALL = "napi:dql_stall_detected"
BEGIN = Probe("f", "ig", "sendj", "igb_xmit_frame_ring", "qm=skb->queue_mapping:u16 jif=@jiffies:u64")
END = Probe("f", "ig", "sentj", "igb_xmit_frame_ring%return", "jif=@jiffies:u64")

THRESHOLD_MS = 512
"""The longest that the kernel takes, so that even a slow guest can wait for less."""

JIFFY_MS = 4
THRESHOLD = THRESHOLD_MS // JIFFY_MS
SHORT_MS, BETWEEN_MS, LONG_MS = 0, 300, 600
ATTEMPTS = 6
"""A slow guest may make a short wait long; it is judged all the same, and another one is tried."""


@dataclass(frozen=True, slots=True)
class Wait:
    """One packet whose completion was withheld: jiffies when it was sent, before and after, and its completion.

    ``reaped`` are the jiffies of the completion before, ``told`` what the tracepoint said, ``withheld_ms`` what the
    card's clock says.
    """

    sent: tuple[int, int]
    reaped: tuple[int, int]
    done: Completion
    told: tuple[Record, ...]
    withheld_ms: float

    @property
    def now(self) -> tuple[int, int]:
        """Between which jiffies dql_completed ran."""
        return self.done.before["jif"], self.done.after["jif"]

    @property
    def jiffies(self) -> int:
        """How long it was, at most."""
        return self.now[1] - self.sent[0]

    def possible(self) -> set[int]:
        """Return the lengths that dql_check_stall may find, 0 for none (lib/dynamic_queue_limits.c)."""
        found = set()
        for sent, reaped, now in product(*(range(low, high + 1) for low, high in (self.sent, self.reaped, self.now))):
            stalled = now >= reaped + THRESHOLD and reaped < sent <= now - THRESHOLD // 2
            found.add(now - sent if stalled else 0)
        return found


def hold(bound: Bound, since_ns: int, wait_ms: int) -> None:
    """Wait until the guest's clock is ``wait_ms`` past ``since_ns``: what is judged is a wait in the guest's time."""
    clock = bound.guest.agent.call
    what = f"the guest's clock going on by {wait_ms} ms"
    end = since_ns + wait_ms * 1_000_000
    wait_until(lambda: clock("clock")["monotonic"] > end, Deadline.after(10), what, NotSeen)


def own_completions(queue: Filling, trace: Session) -> list[Completion]:
    """Return the completions of the queue under test, as far as the trace has been read."""
    return [each for each in completions(queue.bound, trace) if each.cpu == queue.sender.cpu]


def one_wait(queue: Filling, trace: Session, wait_ms: int) -> Wait:
    """Let more than the threshold pass without work, send a packet, and complete it ``wait_ms`` later."""
    bound, clock = queue.bound, queue.bound.guest.agent.call
    hold(bound, clock("clock")["monotonic"], THRESHOLD_MS + JIFFY_MS)
    before = len(own_completions(queue, trace))
    queue.send(500)
    hold(bound, clock("clock")["monotonic"], wait_ms)
    queue.release(1)
    queue.expect()
    found = trace.read_until(
        lambda: own if len(own := own_completions(queue, trace)) > before else None, "the completion being traced"
    )
    done, previous = found[-1], found[-2]
    begin = [r for r in trace.named(BEGIN.event) if r["qm"] == queue.queue][-1]
    end = next(r for r in trace.named(END.event) if r.cpu == begin.cpu and r.t > begin.t)
    told = tuple(r for r in trace.named(STALL) if r.t > begin.t)
    fetched, report = (
        queue.seen.all(kind, lambda event: event.queue == queue.queue)[-1] for kind in ("TxDescriptor", "TxWriteBack")
    )
    assert fetched.index == report.index
    withheld_ms = (report.t_ns - fetched.t_ns) / 1e6
    return Wait((begin["jif"], end["jif"]), (previous.before["jif"], previous.after["jif"]), done, told, withheld_ms)


def first_wait(queue: Filling, trace: Session, wait_ms: int, most: int) -> list[Wait]:
    """Wait again until a wait was shorter than ``most`` jiffies; return all of them."""
    waits: list[Wait] = []
    while len(waits) < ATTEMPTS and not (waits and waits[-1].jiffies < most):
        waits.append(one_wait(queue, trace, wait_ms))
    assert waits[-1].jiffies < most, f"the guest must be able to wait for less than {most} jiffies"
    return waits


@claim("BQL-19")
def test_only_a_long_wait_for_a_completion_counts_as_a_stall(bound: Bound, evidence: Evidence) -> None:
    """Threshold 512 ms, the queue idle for longer before each wait: at once, after 300 ms and after 600 ms.

    What counts is T/2 since the packet was queued, if T has passed since the completion before: so the wait of 300 ms
    is a stall, although it is shorter than T, and the one of 0 ms is none, although nothing was completed for T.
    """
    with watching(bound, STALL, probes=(BEGIN, END)) as trace, filling(bound) as queue:
        queue.raise_limit(10_000)
        bound.netif.set_bql(queue.queue, stall_thrs=THRESHOLD_MS)
        bound.guest.agent.write(bound.netif.path(f"queues/tx-{queue.queue}/byte_queue_limits/stall_max"), "0")
        start = queue.guest()
        short = first_wait(queue, trace, SHORT_MS, THRESHOLD // 2)
        after_short = queue.guest()
        between = first_wait(queue, trace, BETWEEN_MS, THRESHOLD)
        long = one_wait(queue, trace, LONG_MS)
        end = queue.guest()
    waits = [*short, *between, long]
    found = [each.told[0]["len"] if each.told else 0 for each in waits]
    evidence.note(
        guest={
            "waits in jiffies": [each.jiffies for each in waits], "told": found,
            "stall_cnt": end.stall_cnt - start.stall_cnt, "stall_max": end.stall_max, "stall_thrs": end.stall_thrs,
        },
        device={"withheld ms": [round(each.withheld_ms, 1) for each in waits]},
    )  # fmt: skip
    assert end.stall_thrs == THRESHOLD_MS
    assert all(length in each.possible() for length, each in zip(found, waits, strict=True))
    assert (found[len(short) - 1], after_short.stall_cnt - start.stall_cnt) == (0, len(short) - 1)
    assert THRESHOLD // 2 <= found[-2] < THRESHOLD <= found[-1]
    assert end.stall_cnt - start.stall_cnt == sum(length > 0 for length in found)
    assert end.stall_max == max(found)
    assert all(each.told[0]["thrs"] == THRESHOLD for each in waits if each.told)
    assert long.withheld_ms >= THRESHOLD_MS
