# SPDX-License-Identifier: BSD-3-Clause
"""Softirqs that run out of time, not of packets."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from harness.checks import polls
from harness.checks.bursts import (
    QUIET_BUDGET_US,
    calm,
    fill,
    place,
    quiet,
    receive_vector,
    steer_to,
    unanswered,
    without_time_limit,
)
from harness.checks.test_irq import queues_in_use
from harness.checks.test_napi import CPU
from harness.checks.test_napi_load import slow_reception, squeezed
from harness.claims import claim
from harness.guest.agent import AgentRefusedError
from harness.oracles import napi

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Recording

AMPLE_BUDGET = 10_000
FRAMES = 192
TAPS, MOST_ROUNDS = 20, 6
"""Packet sockets that every frame is cloned for in the first round; each further round has as many more."""


def refused(bound: Bound, usecs: int) -> int | None:
    """Return the errno with which the kernel refuses a value of netdev_budget_usecs; None when it takes it."""
    try:
        bound.guest.proc.set_sysctl("net.core.netdev_budget_usecs", usecs)
    except AgentRefusedError as error:
        return error.errno
    return None


def all_at_once(bound: Bound, seen: Recording) -> None:
    """Fill every queue with ``FRAMES`` frames behind its held message, then release all messages."""
    queues = range(queues_in_use(bound))
    for queue in queues:
        steer_to(bound, queue)
        fill(bound, seen, queue, unanswered(bound, FRAMES))
    for queue in queues:
        bound.card.release_interrupts(receive_vector(bound, queue))
    calm(bound)


@claim("NAPI-08")
def test_time_squeeze_counts_softirqs_out_of_time(bound: Bound, evidence: Evidence) -> None:
    """Four queues on one CPU with 192 frames each, received ever more slowly: the least time runs out, 1 s does not.

    That least is what the kernel begins with, two jiffies. The last round is done again at 1 s.
    """
    least = int(bound.guest.proc.sysctl("net.core.netdev_budget_usecs"))
    queues = queues_in_use(bound)
    without_time_limit(bound)
    for queue in range(queues):
        place(bound, f"eth0-rx-{queue}", receive_vector(bound, queue), CPU)
    quiet(bound)
    bound.guest.proc.set_sysctl("net.core.netdev_budget", AMPLE_BUDGET)
    error = refused(bound, least - 1)
    grown: dict[int, int] = {}
    works: list[list[list[int]]] = []
    with (
        polls.softirqs_traced(bound) as trace,
        bound.card.recording("RegisterWritten", "RxWriteBack") as seen,
    ):
        for usecs in (least, QUIET_BUDGET_US):
            bound.guest.proc.set_sysctl("net.core.netdev_budget_usecs", usecs)
            before = squeezed(bound)
            for _ in range(MOST_ROUNDS if usecs == least else 1):
                if usecs == least:
                    slow_reception(bound, TAPS)
                all_at_once(bound, seen)
                found = polls.polls(bound, trace.read())
                names = dict.fromkeys(record["napi"] for record in found)
                works.append([[record["work"] for record in found if record["napi"] == name] for name in names])
                if squeezed(bound) > before:
                    break
            grown[usecs] = squeezed(bound) - before
    written = len(seen.all("RxWriteBack"))
    evidence.note(
        guest={"time_squeeze by netdev_budget_usecs": grown, "rounds": len(works), "errno below": error},
        device={"written back": written},
    )
    assert works == [[napi.receive_polls(FRAMES)] * queues] * len(works)
    assert written == FRAMES * queues * len(works)
    assert 0 < grown[least] <= sum(map(len, works[-2]))
    assert grown[QUIET_BUDGET_US] == 0
    assert error == errno.EINVAL
