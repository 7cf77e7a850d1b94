# SPDX-License-Identifier: BSD-3-Clause
"""Cards that make a driver's polling wrong, or show that the check sees polling at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from device_model.igb.spec.interrupts import EIMS

if TYPE_CHECKING:
    from emulator.card import Card

MUTANTS: dict[str, str] = {
    "NAPI-01": "a_frame_is_written_back_twice",
    "NAPI-02": "a_message_for_every_frame",
    "NAPI-03": "eiam_masks_nothing",
    "NAPI-04": "the_fourth_unmasking_is_lost",
    "NAPI-05": "eiam_masks_nothing",
    "NAPI-06": "only_32_slots_are_used",
    "NAPI-07": "a_message_for_every_frame",
    "NAPI-10": "eiam_masks_nothing",
}


class Overridden:
    """Another object with some attributes fixed, so that healing the card does not heal the mutant."""

    def __init__(self, inner: object, **fixed: object) -> None:
        self.__dict__.update(fixed, _inner=inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def block(card: Card) -> Any:
    """Return the card's interrupt block."""
    return card.nic.interrupts  # type: ignore[attr-defined]


def a_frame_is_written_back_twice(card: Card) -> None:
    """Every hundredth frame that comes from the wire fills two descriptors."""
    nic: Any = card.nic
    arrive = nic.receiver.arrive
    count = 0

    def twice(frame: bytes, **how: bool) -> None:
        nonlocal count
        count += 1
        arrive(frame, **how)
        if count % 100 == 0:
            arrive(frame, **how)

    nic.receiver.arrive = twice


def a_message_for_every_frame(card: Card) -> None:
    """The card holds no message back, so that a burst is announced frame by frame."""
    irq = block(card)
    irq._faults = Overridden(irq._faults, held_vectors=frozenset())


def eiam_masks_nothing(card: Card) -> None:
    """Sending a message leaves its vector unmasked."""
    irq = block(card)
    irq._faults = Overridden(irq._faults, no_auto_mask_on=True)


def the_fourth_unmasking_is_lost(card: Card) -> None:
    """Of the writes of EIMS that unmask vector 3 the fourth is lost, so that the vector stays masked for good."""
    irq = block(card)
    regs = irq._regs
    unmask = regs._blocks[EIMS].on_write
    count = 0

    def lossy(n: int, old: int, new: int) -> None:
        nonlocal count
        if new & ~old == 1 << 3:
            count += 1
            if count == 4:
                regs.poke(EIMS, old)
                return
        unmask(n, old, new)

    regs._blocks[EIMS].on_write = lossy


def only_32_slots_are_used(card: Card) -> None:
    """The card takes no more than 32 of the descriptors that it was given, so that no poll finds 64 frames."""
    nic: Any = card.nic
    room = nic.receiver._room
    nic.receiver._room = lambda ring, length: ring.waiting() > ring.count - 1 - 32 and room(ring, length)
