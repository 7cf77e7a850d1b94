# SPDX-License-Identifier: BSD-3-Clause
"""Byte queue limits from inside: every struct dql, at every completion of mixed traffic, against the oracle."""

from __future__ import annotations

from collections import defaultdict
from itertools import accumulate
from typing import TYPE_CHECKING

import pytest

from harness.checks.dql_watch import completions, gaps, watching
from harness.checks.mixing import cpu_owns_queue, sent_packets, start_mix, wait_all_idle
from harness.claims import claim

if TYPE_CHECKING:
    from harness.checks.mixing import Sent
    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Recording

LEAST_COMPLETIONS = 1000
STREAM = 1_000_000
DATAGRAMS = 250


def reported_bytes(seen: Recording) -> dict[int, list[int]]:
    """Return for each queue the bytes of the packets that the card reported, in the order of its reports."""
    flying: dict[tuple[int, int], list[Sent]] = defaultdict(list)
    for packet in sent_packets(seen.all("TxDescriptor")):
        flying[packet.queue, packet.last].append(packet)
    done: dict[int, list[int]] = defaultdict(list)
    for event in seen.all("TxWriteBack"):
        done[event.queue].append(flying[event.queue, event.index].pop(0).bytes)
    return done


@claim("BQL-02")
def test_every_completion_of_mixed_traffic_is_as_the_oracle_says(bound: Bound, evidence: Evidence) -> None:
    """Four CPUs, each with a TCP stream of 1 MB and 1000 datagrams of four sizes on a queue of its own.

    All fields of all completions are predicted, and what the driver completed at once always ends where the card ended
    a report: a byte more or less anywhere moves every sum after it.
    """
    with cpu_owns_queue(bound):
        wait_all_idle(bound)
        with watching(bound) as trace, bound.card.recording("TxDescriptor", "TxWriteBack") as seen:
            start_mix(bound, range(4), stream=STREAM, datagrams=DATAGRAMS).finish()
            wait_all_idle(bound)
    found = completions(bound, trace)
    wrong = [text for completion in found for text in completion.mismatches()]
    device = reported_bytes(seen)
    ends = {queue: set(accumulate(sizes)) for queue, sizes in device.items()}
    astray = [
        (queue, total)
        for queue in device
        for total in accumulate(each.count for each in found if each.queue == queue)
        if total not in ends[queue]
    ]
    evidence.note(
        guest={
            "completions": len(found),
            "grew": sum(each.starved for each in found),
            "shrank": sum(each.shrank for each in found),
            "bytes": {queue: sum(each.count for each in found if each.queue == queue) for queue in device},
        },
        device={
            "packets": {queue: len(sizes) for queue, sizes in device.items()},
            "bytes": {queue: sum(sizes) for queue, sizes in device.items()},
        },
    )
    assert wrong[:5] == []
    assert gaps(found)[:5] == []
    assert astray[:5] == []
    assert sorted(device) == [0, 1, 2, 3]
    assert all(sum(each.count for each in found if each.queue == queue) == sum(device[queue]) for queue in device)
    assert len(found) >= LEAST_COMPLETIONS
    assert any(each.starved for each in found)
