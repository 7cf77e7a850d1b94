# SPDX-License-Identifier: BSD-3-Clause
"""Cards that put frames where the guest has not asked for steering, or give it others than came."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, cast

from device_model.igb.spec.filters import FTQF
from device_model.igb.spec.receive import RDT

if TYPE_CHECKING:
    from device_model.igb.filters import Steering
    from device_model.igb.nic import Igb
    from device_model.packet.parse import Parsed
    from emulator.card import Card

MUTANTS = {
    "RPS-01": "every_tenth_frame_strays",
    "RPS-02": "every_tenth_frame_strays",
    "RPS-03": "every_tenth_frame_strays",
    "RPS-04": "neighbours_change_places",
    "RPS-05": "every_tenth_frame_strays",
    "RPS-06": "every_tenth_frame_comes_twice",
    "RPS-07": "every_tenth_frame_comes_twice",
    "RPS-08": "every_tenth_frame_comes_twice",
    "RPS-10": "first_payload_is_stored_again",
    "RFS-01": "every_tenth_frame_strays",
    "RFS-02": "every_tenth_frame_strays",
    "RFS-03": "neighbours_change_places",
    "RFS-04": "every_tenth_frame_strays",
    "RFS-06": "tails_are_decoded_as_filters_too",
}


def every_tenth_frame_strays(card: Card) -> None:
    """One hashed frame in ten lands on the queue behind the right one."""
    filters, number = cast("Igb", card.nic).receiver.filters, count(1)
    steer = filters.steer

    def stray(parsed: Parsed) -> Steering:
        right = steer(parsed)
        return right._replace(queue=right.queue + 1 & 3) if right.rss_type and next(number) % 10 == 0 else right

    filters.steer = stray  # type: ignore[method-assign]


def every_tenth_frame_comes_twice(card: Card) -> None:
    """One frame in ten is stored a second time."""
    receiver, number = cast("Igb", card.nic).receiver, count(1)
    arrive = receiver.arrive

    def again(frame: bytes, *, looped: bool = False) -> None:
        arrive(frame, looped=looped)
        if next(number) % 10 == 0:
            arrive(frame, looped=looped)

    receiver.arrive = again  # type: ignore[method-assign]


def neighbours_change_places(card: Card) -> None:
    """One frame in eight is overtaken by the one behind it."""
    receiver, number, kept = cast("Igb", card.nic).receiver, count(1), list[bytes]()
    arrive = receiver.arrive

    def out_of_order(frame: bytes, *, looped: bool = False) -> None:
        if next(number) % 8 == 3:
            kept.append(frame)
            return
        arrive(frame, looped=looped)
        while kept:
            arrive(kept.pop(), looped=looped)

    receiver.arrive = out_of_order  # type: ignore[method-assign]


class Stale:
    """Guest memory that gets the beginning of the first payload over and over."""

    def __init__(self, memory: Any) -> None:
        self._memory = memory
        self._first = b""

    def write(self, iova: int, data: bytes) -> None:
        """Store as many bytes as asked for, but old ones."""
        self._first = self._first or data
        self._memory.write(iova, self._first[: len(data)] + data[len(self._first) :])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._memory, name)


def first_payload_is_stored_again(card: Card) -> None:
    """Every frame begins like the first that ever came; lengths and hashes are right."""
    receiver: Any = cast("Igb", card.nic).receiver
    receiver._memory = Stale(receiver._memory)


def tails_are_decoded_as_filters_too(card: Card) -> None:
    """A write of a receive tail lands in a five-tuple filter besides."""
    regs = cast("Igb", card.nic).regs
    regs.on_write(RDT, lambda n, _old, new: regs.poke(FTQF, new, n % FTQF.count))
