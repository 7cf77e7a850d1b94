# SPDX-License-Identifier: BSD-3-Clause
"""Softirqs that run out of time, not of packets."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from harness.checks import polls
from harness.checks.bursts import QUIET_BUDGET_US, burst, calm, unanswered
from harness.checks.test_napi import CPU, QUEUE, prepare
from harness.checks.test_napi_load import slow_reception, squeezed
from harness.claims import claim
from harness.guest.agent import AgentRefusedError
from harness.oracles import napi

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

AMPLE_BUDGET = 10_000
FIRST_TAPS, MOST_BURSTS = 12, 7
"""Packet sockets that the first burst is cloned for; each further burst has twice as many more."""


def refused(bound: Bound, usecs: int) -> int | None:
    """Return the errno with which the kernel refuses a value of netdev_budget_usecs; None when it takes it."""
    try:
        bound.guest.proc.set_sysctl("net.core.netdev_budget_usecs", usecs)
    except AgentRefusedError as error:
        return error.errno
    return None


@claim("NAPI-08")
def test_time_squeeze_counts_softirqs_out_of_time(bound: Bound, evidence: Evidence) -> None:
    """Bursts of 250, each received more slowly than the last: the least time that can be set runs out, 1 s does not.

    That least is what the kernel begins with, two jiffies. As many bursts follow at 1 s, all as slow as the last.
    """
    least = int(bound.guest.proc.sysctl("net.core.netdev_budget_usecs"))
    prepare(bound)
    bound.guest.proc.set_sysctl("net.core.netdev_budget", AMPLE_BUDGET)
    error = refused(bound, least - 1)
    grown: dict[int, int] = {}
    works: list[list[int]] = []
    with (
        polls.softirqs_traced(bound) as trace,
        bound.card.recording("RegisterWritten", "RxWriteBack") as seen,
    ):
        for usecs in (least, QUIET_BUDGET_US):
            bound.guest.proc.set_sysctl("net.core.netdev_budget_usecs", usecs)
            before = squeezed(bound)
            for number in range(len(works) or MOST_BURSTS):
                if usecs == least:
                    slow_reception(bound, FIRST_TAPS << number)
                burst(bound, seen, QUEUE, unanswered(bound, 250, first=250 * number))
                calm(bound)
                works.append([work for run in polls.softirqs(trace.read(), CPU, bound.netif.name) for _, work in run])
                if usecs == least and squeezed(bound) > before:
                    break
            grown[usecs] = squeezed(bound) - before
    written = len(seen.all("RxWriteBack"))
    evidence.note(
        guest={"time_squeeze by netdev_budget_usecs": grown, "work of each burst": works, "errno below": error},
        device={"written back": written},
    )
    assert works == [napi.receive_polls(250)] * len(works)
    assert written == 250 * len(works)
    assert 0 < grown[least] <= sum(map(len, works)) // 2
    assert grown[QUIET_BUDGET_US] == 0
    assert error == errno.EINVAL
