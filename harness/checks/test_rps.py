# SPDX-License-Identifier: BSD-3-Clause
"""RPS: protocol processing on another CPU than the one that polled."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from harness.checks.arrivals import poll_on, wait_taken
from harness.checks.bursts import burst, calm, messages, quiet, receive_vector, steer_to, unanswered
from harness.claims import claim
from harness.guest.probes import ENQUEUE

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

QUEUE, CPU, FRAMES = 1, 1, 40
CORE = "net:netif_receive_skb"
ENTRY = "net:napi_gro_receive_entry"


@claim("RPS-02")
@pytest.mark.parametrize(("masked", "target"), [(QUEUE, 3), (QUEUE, 2), (QUEUE + 1, 3)])
def test_rps_moves_protocol_processing_of_its_own_queue(
    bound: Bound, evidence: Evidence, masked: int, target: int
) -> None:
    """The interrupt is on CPU 1, the mask names another CPU; set on another queue it must change nothing."""
    steer_to(bound, QUEUE)
    poll_on(bound, QUEUE, CPU)
    quiet(bound)
    bound.netif.set_rps(masked, [target])
    moved = masked == QUEUE
    kinds = ("InterruptSent", "RegisterWritten", "RxWriteBack", "FrameDelivered")
    before = bound.guest.proc.softnet()
    with (
        bound.guest.trace.session(ENTRY, CORE, probes=[ENQUEUE], functions=["ip_rcv_core"]) as trace,
        bound.card.recording(*kinds) as seen,
    ):
        burst(bound, seen, QUEUE, unanswered(bound, FRAMES))
        wait_taken(bound, 0)
        calm(bound)
    growth = [now - then for now, then in zip(bound.guest.proc.softnet(), before, strict=True)]
    polled = Counter(r.cpu for r in trace.records if r.name == ENTRY)
    enqueued = Counter((r.cpu, r["cpu"]) for r in trace.named("enq"))
    core = Counter(r.cpu for r in trace.records if r.name == CORE and r["name"] == bound.netif.name)
    ip = Counter(r.cpu for r in trace.records if r.fields.get("function") == "ip_rcv_core")
    kicked = {line.cpu: line.received_rps for line in growth if line.received_rps}
    queues = Counter(event.queue for event in seen.all("FrameDelivered"))
    announced = len(messages(seen, receive_vector(bound, QUEUE)))
    evidence.note(
        guest={
            "polled on": dict(polled),
            "put on the backlog": {f"{here} to {there}": n for (here, there), n in enqueued.items()},
            "netif_receive_skb on": dict(core),
            "received_rps": kicked,
        },
        device={"queues": dict(queues), "messages of the queue's vector": announced},
    )
    assert (queues, announced) == (Counter({QUEUE: FRAMES}), 1)
    assert polled == Counter({CPU: FRAMES})
    where = target if moved else CPU
    assert enqueued == (Counter({(CPU, target): FRAMES}) if moved else Counter())
    assert core == ip == Counter({where: FRAMES})
    assert set(kicked) == ({target} if moved else set())
    assert all(1 <= count <= FRAMES for count in kicked.values())
