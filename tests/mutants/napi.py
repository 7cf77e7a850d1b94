# SPDX-License-Identifier: BSD-3-Clause
"""Cards that make a driver's polling wrong, or show that the check sees polling at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from device_model.igb.spec.interrupts import EIAC, EICR, EIMS, IVAR
from device_model.igb.spec.receive import RCTL

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
    "NAPI-08": "a_message_for_every_frame",
    "NAPI-09": "a_message_for_every_frame",
    "NAPI-10": "eiam_masks_nothing",
    "NAPI-11": "each_message_is_sent_twice",
    "NAPI-12": "eiam_masks_nothing",
    "NAPI-14": "every_queue_uses_the_first_entry",
    "NAPI-16": "eiam_masks_nothing",
    "NAPI-18": "rctl_does_not_stop_reception",
    "NAPI-19": "one_vector_at_a_time",
    "NAPI-23": "each_message_is_sent_twice",
}

NO_MUTANT: dict[str, str] = {
    "NAPI-21": "Who owns a NAPI is a bit in the guest's memory; no message, however wrong, makes two CPUs poll it."
    " That overlapping polls are refused is a test of harness.checks.polls.",
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


def each_message_is_sent_twice(card: Card) -> None:
    """Whatever is announced is announced once more at once."""
    irq = block(card)
    send = irq._send

    def twice(vector: int, why: str) -> None:
        send(vector, why)
        send(vector, why)

    irq._send = twice


def every_queue_uses_the_first_entry(card: Card) -> None:
    """The cause of every queue goes to the vector of receive queue 0."""
    irq = block(card)
    raise_queue = irq._raise_queue
    irq._raise_queue = lambda _entry, *cause: raise_queue(irq._regs.peek(IVAR, 0) & 0xFF, *cause)


def rctl_does_not_stop_reception(card: Card) -> None:
    """Frames are stored as long as a ring has room, whether or not RCTL enables reception."""
    nic: Any = card.nic
    regs = nic.receiver._regs
    always = {RCTL: RCTL.en.mask}
    nic.receiver._regs = Overridden(regs, peek=lambda reg, n=0: regs.peek(reg, n) | always.get(reg, 0))


def one_vector_at_a_time(card: Card) -> None:
    """A message waits while any other vector is masked, so that one queue is served after the other."""
    irq = block(card)
    regs = irq._regs
    deliver, unmask = irq._deliver, regs._blocks[EIMS].on_write

    def patient(vector: int, why: str) -> None:
        if not regs.peek(EIAC) & ~regs.peek(EIMS) & ~(1 << vector):
            deliver(vector, why)

    def then_the_others(n: int, old: int, new: int) -> None:
        unmask(n, old, new)
        for vector in range(1, 9):
            if regs.peek(EICR) & regs.peek(EIMS) & 1 << vector:
                patient(vector, "unmask")

    irq._deliver = patient
    regs._blocks[EIMS].on_write = then_the_others
