# SPDX-License-Identifier: BSD-3-Clause
"""What a ring holds right now, for people at a debugger: pointers, and descriptors decoded where they can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from device_model.igb.spec.descriptors import RxWriteback, TxContext, TxData
from device_model.ports import MemoryFault
from device_model.ring import SLOT, Ring

if TYPE_CHECKING:
    from device_model.declare import Descriptor
    from device_model.ports import HostMemory

_CONTEXT = 2


def ring_snapshot(ring: Ring, memory: HostMemory) -> dict[str, Any]:
    """Return pointers and descriptors; ``descriptors`` is empty where the ring cannot be read."""
    try:
        raw = memory.read(ring.base, ring.count * SLOT) if ring.count else b""
    except MemoryFault:
        raw = b""
    slots = [raw[n : n + SLOT] for n in range(0, len(raw), SLOT)]
    return {
        "enabled": ring.enabled,
        "halted": ring.halted,
        "base": ring.base,
        "count": ring.count,
        "head": ring.head,
        "fetched": ring.fetched,
        "tail": ring.tail,
        "descriptors": [_decoded(ring.direction, index, slot) for index, slot in enumerate(slots)],
    }


def _decoded(direction: str, index: int, raw: bytes) -> dict[str, Any]:
    layout: type[Descriptor] = RxWriteback
    if direction == "tx":
        layout = TxContext if raw[10] >> 4 == _CONTEXT else TxData
    return {"index": index, "raw": raw.hex(), "as": layout.__name__, **layout.decode(raw)}
