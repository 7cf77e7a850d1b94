# SPDX-License-Identifier: BSD-3-Clause
"""What a card has done since it was made, whatever the driver has cleared or reset: for whoever watches it work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from device_model.igb.spec.general import STATUS
from device_model.igb.spec.interrupts import EITR, IVAR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from device_model.igb.interrupts import InterruptBlock
    from device_model.igb.receive import Receive
    from device_model.igb.transmit import Transmit
    from device_model.regfile import RegisterFile
    from device_model.ring import Ring

_VALID = 0x80
_VECTOR = 0x1F


def totals_snapshot(
    regs: RegisterFile, receiver: Receive, transmitter: Transmit, interrupts: InterruptBlock
) -> dict[str, Any]:
    """Return packets and bytes by queue with the state of its ring, messages by vector, drops by reason."""
    tx_rings = [queue.ring for queue in transmitter.queues]
    up = regs.peek(STATUS) & STATUS.lu.mask
    return {
        "link_mbps": (10, 100, 1000, 1000)[STATUS.speed.of(regs.peek(STATUS))] if up else 0,
        "rx": _queues(regs, receiver.rings, receiver.delivered, receiver.delivered_bytes, shift=0),
        "tx": _queues(regs, tx_rings, transmitter.sent, transmitter.sent_bytes, shift=8),
        "vectors": [
            {"sent": sent, "interval_us": EITR.interval.of(regs.peek(EITR, n))}
            for n, sent in enumerate(interrupts.sent)
        ],
        "dropped": {reason: count for reason, count in receiver.dropped.items() if count},
    }


def _queues(
    regs: RegisterFile, rings: Sequence[Ring], packets: Sequence[int], sizes: Sequence[int], shift: int
) -> list[dict[str, Any]]:
    return [
        {
            "packets": packets[n],
            "bytes": sizes[n],
            "enabled": bool(ring.enabled),
            "slots": int(ring.count),
            "owned": (ring.tail - ring.head) % ring.count if ring.count else 0,
            "vector": _vector(regs.peek(IVAR, n % IVAR.count) >> (shift if n < IVAR.count else shift + 16)),
        }
        for n, ring in enumerate(rings)
    ]


def _vector(entry: int) -> int | None:
    return entry & _VECTOR if entry & _VALID else None
