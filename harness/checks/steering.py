# SPDX-License-Identifier: BSD-3-Clause
"""Steering between CPUs under observation: one queue polled by one CPU, and every frame put on a backlog traced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks.arrivals import ETHERNET_HEADER, poll_on
from harness.checks.bursts import quiet, steer_to, without_time_limit
from harness.guest.probes import Probe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.guest.ringbuffer import Record
    from harness.guest.trace import Session
    from harness.lab import Bound

QUEUE, CPU = 1, 1
"""Where every frame lands, and who polls it."""

CORE, ENTRY = "net:netif_receive_skb", "net:napi_gro_receive_entry"

PUT = Probe("f", "rps", "put", "enqueue_to_backlog", "to=$arg2:s32 hash=skb->hash:u32 len=skb->len:u32")
"""A frame is put on the backlog of CPU ``to``; the hash is the one that chose it."""

WOKEN = Probe("f", "rps", "woken", "rps_trigger_softirq")
"""Runs in an interrupt between processors, on the CPU whose backlog is to be worked off."""


def one_poller(bound: Bound) -> None:
    """Let every frame land on QUEUE, polled by CPU alone, without ticks or time limits, until the check is over."""
    steer_to(bound, QUEUE)
    poll_on(bound, QUEUE, CPU)
    without_time_limit(bound)
    quiet(bound)


def mask_others(bound: Bound, cpu: int) -> None:
    """Let the other queues' frames go to ``cpu``, so that a frame which strays is seen there."""
    for queue in range(bound.netif.queue_count[0]):
        if queue != QUEUE:
            bound.netif.set_rps(queue, [cpu])


def processed(bound: Bound, trace: Session) -> list[Record]:
    """Return the frames of the interface that a protocol was asked about, in order."""
    return [record for record in trace.records if record.name == CORE and record["name"] == bound.netif.name]


def lengths(records: Iterable[Record]) -> list[int]:
    """Return the length of each frame, as it was on the wire."""
    return [record["len"] + ETHERNET_HEADER for record in records]
