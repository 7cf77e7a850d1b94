# SPDX-License-Identifier: BSD-3-Clause
"""Egress: which transmit queue a packet takes."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from harness.checks.chains import HASHED
from harness.checks.sending import b64, udp_socket
from harness.claims import claim
from harness.dissect import dissect

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound


@claim("EGR-15")
@pytest.mark.one_queue
def test_hash_picks_the_queue_and_the_card_agrees(bound: Bound, evidence: Evidence) -> None:
    """64 connected sockets, each sending six datagrams from CPUs in turn: only the hash can hold a flow to its queue.

    The queue must be the flow's hash scaled to four queues (reciprocal_scale), all four must occur, and the card must
    fetch each frame from that queue. The length of a frame names its flow.
    """
    count, rounds, shortest = 64, 6, 100
    agent = bound.guest.agent
    _, queues = bound.netif.queue_count
    sockets = [udp_socket(bound, port=20_000 + 7 * number) for number in range(count)]
    with (
        bound.guest.trace.session(probes=(HASHED,)) as trace,
        bound.card.recording("FrameEmitted") as seen,
    ):
        for turn in range(rounds):
            for number, handle in enumerate(sockets):
                payload = b64(bytes(shortest + number))
                agent.call("send", cpus=[(turn + number) % bound.guest.cpus], handle=handle, payloads=[payload])
        bound.peer.expect(count * rounds, lambda frame: (dissect(frame).destination_port or 0) >= 20_000)
        emitted = [event for event in seen.all() if (dissect(event.frame).destination_port or 0) >= 20_000]
    first = shortest + 42
    skbs = [record for record in trace.records if first <= record["len"] < first + count]
    said: dict[int, list[int]] = defaultdict(list)
    saw: dict[int, list[int]] = defaultdict(list)
    for record in skbs:
        said[record["len"] - first].append(record["qm"])
    for event in emitted:
        saw[len(event.frame) - first].append(event.queue)
    evidence.note(
        guest={"queue of each flow": [said[number][:1] for number in range(count)]},
        device={"queue of each flow": [saw[number][:1] for number in range(count)]},
    )
    assert len(skbs) == len(emitted) == count * rounds
    assert said == saw
    assert all(len(set(picked)) == 1 for picked in said.values())
    assert {picked[0] for picked in said.values()} == set(range(queues))
    assert all(record["qm"] == record["hash"] * queues >> 32 for record in skbs)
