# SPDX-License-Identifier: BSD-3-Clause
"""Busy polling: a socket that waits does the driver's polling itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.checks import polls
from harness.checks.bursts import PATIENCE_S, armings, calm, messages, one_by_one, unanswered
from harness.checks.sinks import PORT, sink
from harness.checks.test_napi import CPU, QUEUE, prepare
from harness.claims import claim
from harness.deadline import Deadline
from harness.guest import netdev_family
from harness.guest.probes import BUSY

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.guest.ringbuffer import Record
    from harness.lab import Bound
    from harness.seen import Recording, Seen

RECEIVER = 1
"""The CPU of the program that waits; the queue's interrupt is bound to another."""

BUSY_READ_US = 8_000_000
"""Longer than the exchange takes, so that recv does not begin to sleep."""

BUSY_POLL_BUDGET = 8
FRAMES = 20
MOST_PAUSES = 5
"""How often the scheduler may want the receiver's CPU meanwhile, which is bound to nothing else."""

SIZE, OWN_SIZE = 100, 120


@dataclass(frozen=True, slots=True)
class Exchange:
    """What happened while one recv waited for its datagram and ``FRAMES`` frames for nobody went by."""

    socket_id: int
    thread: int
    lengths: list[int]
    polled: list[Record]
    loops: list[int]
    messages: int
    armed: int


def refills(event: Seen) -> bool:
    """Tell whether a RegisterWritten event is the tail of the queue: the driver has polled."""
    return bool(event.register == f"RDT[{QUEUE}]")


def exchange(bound: Bound, seen: Recording, vector: int, busy_us: int, port: int) -> Exchange:
    """Let a new socket wait in recv under ``net.core.busy_read``, send frames for nobody, then its datagram."""
    agent = bound.guest.agent
    bound.guest.proc.set_sysctl("net.core.busy_read", busy_us)
    target = sink(bound, port)
    one_by_one(bound, seen, target.frames([SIZE]))
    assert agent.call("receive", handle=target.handle, count=1, seconds=5.0)["why"] == "count"
    socket_id = agent.call("incoming_napi", handle=target.handle)
    calm(bound)
    with bound.guest.trace.session(polls.POLL, probes=(BUSY,), filters={polls.POLL: "work > 0"}) as trace:
        waiting = agent.start("receive_blocking", cpus=[RECEIVER], handle=target.handle, count=1, seconds=PATIENCE_S)
        if busy_us:
            trace.read_until(lambda: trace.named(BUSY.event), "the receiver's polling")
        before = len(messages(seen, vector)), len(armings(seen, vector))
        for frame in unanswered(bound, FRAMES):
            polled = len(seen.all("RegisterWritten", refills))
            bound.peer.send(frame)
            seen.wait(polled + 1, Deadline.after(PATIENCE_S), kind="RegisterWritten", where=refills)
        if not busy_us:
            calm(bound)
        after = len(messages(seen, vector)), len(armings(seen, vector))
        bound.peer.send(*target.frames([OWN_SIZE]))
        answer = waiting.result(PATIENCE_S)
        calm(bound)
    loops = [record["id"] for record in trace.named(BUSY.event) if record.pid == answer["thread"]]
    return Exchange(
        socket_id,
        answer["thread"],
        answer["lengths"],
        polls.polls(bound, trace.records),
        loops,
        after[0] - before[0],
        after[1] - before[1],
    )


def by(thread: int, record: Record) -> bool:
    """Tell whether a poll was done by ``thread`` itself, not by a softirq on top of it."""
    return record.pid == thread and not record.in_softirq


@claim("NAPI-16")
def test_a_busy_polling_socket_polls_its_own_queue(bound: Bound, evidence: Evidence) -> None:
    """20 frames while recv waits with busy_read set, then with 0; the interrupt is on CPU 3, the receiver on CPU 1.

    They are for nobody, so that recv goes on waiting: what polls them is this one recv, by its own budget of 8. Now and
    then it pauses for the scheduler (cond_resched), and only then the vector is armed.
    """
    vector, _ = prepare(bound)
    ids = [entry["id"] for entry in netdev_family.napis(bound.guest.agent, int(bound.netif.read("ifindex")))]
    with bound.card.recording("InterruptSent", "RegisterWritten", "FrameDelivered") as seen:
        busy, idle = (exchange(bound, seen, vector, us, PORT + n) for n, us in enumerate((BUSY_READ_US, 0)))
    both = (busy, idle)
    own = [[record for record in part.polled if by(part.thread, record)] for part in both]
    evidence.note(
        guest={
            "polls with work": [len(part.polled) for part in both],
            "of these the receiver's": [len(part) for part in own],
            "NAPI of the socket": busy.socket_id,
        },
        device={"messages busy, not": [busy.messages, idle.messages], "EIMS writes": [busy.armed, idle.armed]},
    )
    assert busy.lengths == idle.lengths == [OWN_SIZE]
    assert busy.loops == [busy.socket_id]
    assert busy.socket_id == idle.socket_id
    assert busy.socket_id in ids
    assert [sum(record["work"] for record in part.polled) for part in both] == [FRAMES + 1] * 2
    assert len({record["napi"] for record in [*busy.polled, *idle.polled]}) == 1
    assert sum(record["work"] for record in own[0]) > FRAMES - MOST_PAUSES
    assert {(record["budget"], record.cpu) for record in own[0]} == {(BUSY_POLL_BUDGET, RECEIVER)}
    assert busy.armed <= MOST_PAUSES
    assert 1 <= busy.messages <= 1 + busy.armed
    assert idle.loops == []
    assert own[1] == []
    assert {record.cpu for record in idle.polled} == {CPU}
    assert (idle.messages, idle.armed) == (FRAMES, FRAMES)
