# SPDX-License-Identifier: BSD-3-Clause
"""What one thread of the guest does inside the kernel, and what the card sees of it: calls, doorbells, descriptors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.checks.filling import own_queue
from harness.checks.sending import CPU, QUEUE, Packet, b64, fetched, packets, steps, tails, without_bql
from harness.deadline import Deadline
from harness.guest.probes import Probe
from harness.guest.trace import FUNCTION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.guest.trace import Session
    from harness.lab import Bound
    from harness.seen import Recording

PATIENCE_S = 10.0
SEEN = ("RegisterWritten", "TxDescriptor", "FrameEmitted")
"""What a recording must hold for ``Doorbells``."""

HASHED = Probe(
    "f", "egr", "xmit", "igb_xmit_frame_ring", "qm=skb->queue_mapping:u16 hash=skb->hash:u32 len=skb->len:u32"
)
"""Each skb at the driver: the queue that was picked, and the hash that would pick one without a map."""

BELOW_IP = (
    "__dev_queue_xmit", "netdev_pick_tx", "sch_direct_xmit", "validate_xmit_skb", "dev_hard_start_xmit",
    "igb_xmit_frame",
)  # fmt: skip
"""From the neighbour to the driver, where the queue has room."""

OUT = ("__ip_local_out", "ip_output", "ip_finish_output", "ip_finish_output2", *BELOW_IP)
"""From LOCAL_OUT to the driver, with the neighbour's header at hand."""


def entered(trace: Session, thread: int) -> list[str]:
    """Return what ``thread`` entered by its own doing: a softirq that it was made to serve is not."""
    return [
        str(record["function"])
        for record in trace.records
        if record.name == FUNCTION and record.pid == thread and not (record.in_softirq or record.in_hardirq)
    ]


def unserved(trace: Session) -> list[str]:
    """Return what all threads together entered, without softirqs: for calls that only one socket's users make."""
    records = (r for r in trace.records if r.name == FUNCTION and not (r.in_softirq or r.in_hardirq))
    return [str(record["function"]) for record in records]


def send(bound: Bound, handle: int, payloads: Sequence[bytes], call: str = "send_each", **more: Any) -> int:  # noqa: ANN401 - JSON values
    """Send each payload from CPU 2, which owns queue 1; return the sending thread."""
    answer = bound.guest.agent.call(call, cpus=[CPU], handle=handle, payloads=[b64(p) for p in payloads], **more)
    assert answer["sent"] == len(payloads)
    return int(answer["thread"])


@dataclass(frozen=True, slots=True)
class Doorbells:
    """What the card saw on one queue."""

    moved: list[int]
    packets: list[Packet]
    frames: list[bytes]

    @property
    def shapes(self) -> list[tuple[bool, int]]:
        """For each packet, whether a context came before it and how many data descriptors it took."""
        return [(packet.context is not None, len(packet.data)) for packet in self.packets]


def doorbells(bound: Bound, seen: Recording, tail: int, frames: int, queue: int = QUEUE) -> Doorbells:
    """Return what came on ``queue`` since its tail was ``tail``, once ``frames`` frames have left."""
    emitted = seen.wait(
        frames, Deadline.after(PATIENCE_S), kind="FrameEmitted", where=lambda event: bool(event.queue == queue)
    )
    size = bound.netif.settings.rings().tx
    moved = list(steps(tail, tails(seen, queue), size))
    return Doorbells(moved, packets(fetched(seen, queue)), [event.frame for event in emitted])


def alone(bound: Bound) -> int:
    """Give queue 1 to CPU 2 alone and lift its byte limit, until the check is over; return the queue's tail."""
    own_queue(bound, QUEUE, CPU)
    without_bql(bound)
    return bound.card.register("TDT", QUEUE)
