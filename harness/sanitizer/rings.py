# SPDX-License-Identifier: BSD-3-Clause
"""What lies in the receive rings of a card at one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.igb.spec.descriptors import RxRead

if TYPE_CHECKING:
    from harness.card import Card
    from harness.sanitizer.postings import Sizes

Buffer = tuple[str, int, int, int, int]
"""Direction, queue, slot, address and size."""


def receive_buffers(card: Card, queues: int, sizes: Sizes) -> list[Buffer]:
    """Return the buffers in all slots from head to tail of receive queues 0 to ``queues`` - 1."""
    found = []
    for queue in range(queues):
        ring = card.ring("rx", queue)
        held = (ring["tail"] - ring["head"]) % ring["count"] if ring["count"] else 0
        for index in ((ring["head"] + n) % ring["count"] for n in range(held)):
            raw = bytes.fromhex(ring["descriptors"][index]["raw"])
            found.append(("rx", queue, index, RxRead.decode(raw)["packet_address"], sizes.of(queue)))
    return found
