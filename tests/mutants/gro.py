# SPDX-License-Identifier: BSD-3-Clause
"""Cards that give segments of one connection what keeps them apart."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from device_model.igb.filters import Steering
    from device_model.igb.nic import Igb
    from device_model.packet.parse import Parsed
    from emulator.card import Card

MUTANTS = {"GRO-01": "hash_changes_within_a_flow"}


def hash_changes_within_a_flow(card: Card) -> None:
    """Every other frame of the card has the highest bit of its hash inverted; its queue is right."""
    filters, number = cast("Igb", card.nic).receiver.filters, count()
    steer = filters.steer

    def flip(parsed: Parsed) -> Steering:
        right = steer(parsed)
        return right._replace(rss_hash=right.rss_hash ^ (next(number) % 2) << 31)

    filters.steer = flip  # type: ignore[method-assign]
