# SPDX-License-Identifier: BSD-3-Clause
"""Cards that put frames where the guest has not asked for steering."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from device_model.igb.filters import Steering
    from device_model.igb.nic import Igb
    from device_model.packet.parse import Parsed
    from emulator.card import Card

MUTANTS = {"RPS-02": "every_tenth_frame_strays"}


def every_tenth_frame_strays(card: Card) -> None:
    """One hashed frame in ten lands on the queue behind the right one."""
    filters, number = cast("Igb", card.nic).receiver.filters, count(1)
    steer = filters.steer

    def stray(parsed: Parsed) -> Steering:
        right = steer(parsed)
        return right._replace(queue=right.queue + 1 & 3) if right.rss_type and next(number) % 10 == 0 else right

    filters.steer = stray  # type: ignore[method-assign]
