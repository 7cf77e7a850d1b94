# SPDX-License-Identifier: BSD-3-Clause
"""Cards whose interrupts are wrong in one way each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from device_model.igb.interrupts import INT_ASSERTED
from device_model.igb.spec.interrupts import EIAC, EICR, EICS, EIMS, ICR, IVAR

if TYPE_CHECKING:
    from emulator.card import Card

MUTANTS: dict[str, str] = {
    "IRQ-01": "one_vector_too_few_in_the_table",
    "IRQ-02": "ivar_bytes_are_exchanged",
    "IRQ-03": "every_queue_uses_the_first_entry",
    "IRQ-04": "every_queue_uses_the_first_entry",
    "IRQ-05": "every_queue_uses_the_first_entry",
    "IRQ-06": "every_frame_goes_to_the_first_queue",
    "IRQ-07": "eiam_masks_nothing",
    "IRQ-08": "causes_of_masked_vectors_are_forgotten",
    "IRQ-09": "eiac_clears_nothing",
    "IRQ-10": "a_masked_event_is_sent_while_all_are_masked",
    "IRQ-11": "msi_is_sent_as_a_second_message",
    "IRQ-12": "icr_never_says_that_it_asserted",
    "IRQ-14": "eitr_moderates_nothing",
    "IRQ-15": "the_length_counts_the_checksum",
    "IRQ-16": "eics_is_ignored",
    "IRQ-17": "a_spurious_message_brings_a_frame",
    "IRQ-18": "eics_is_ignored",
    "IRQ-24": "lost_messages_come_all_the_same",
    "IRQ-19": "eics_unmasks",
    "IRQ-20": "the_other_vector_is_sent_twice",
    "IRQ-21": "unmasking_the_function_sends_anew",
    "IRQ-23": "one_vector_too_few_in_the_table",
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


def msix_capability(card: Card) -> int:
    """Return where the MSI-X capability begins in configuration space."""
    data = card.interrupts._config.data
    return next(at for at in range(0x40, 0x100, 4) if data[at] == 0x11)


def one_vector_too_few_in_the_table(card: Card) -> None:
    """The MSI-X table has 8 entries where 9 are needed, so the driver falls back to one MSI."""
    card.interrupts._config.data[msix_capability(card) + 2] = 8 - 1


def ivar_bytes_are_exchanged(card: Card) -> None:
    """Receive and transmit bytes of IVAR change places when they are written."""
    regs = block(card)._regs

    def exchange(n: int, _old: int, new: int) -> None:
        regs.poke(IVAR, (new & 0x00FF00FF) << 8 | (new & 0xFF00FF00) >> 8, n)

    regs.on_write(IVAR, exchange)


def every_queue_uses_the_first_entry(card: Card) -> None:
    """The cause of every queue goes to the vector of receive queue 0."""
    irq = block(card)
    raise_queue = irq._raise_queue
    irq._raise_queue = lambda _entry, *cause: raise_queue(irq._regs.peek(IVAR, 0) & 0xFF, *cause)


def eiam_masks_nothing(card: Card) -> None:
    """Sending a message leaves its vector unmasked."""
    irq = block(card)
    irq._faults = Overridden(irq._faults, no_auto_mask_on=True)


def lost_messages_come_all_the_same(card: Card) -> None:
    """A message that is told to be lost is sent."""
    irq = block(card)
    drops = irq._fault_drops

    def never(faults: dict[int, int], vector: int) -> bool:
        drops(faults, vector)
        return False

    irq._fault_drops = never


def causes_of_masked_vectors_are_forgotten(card: Card) -> None:
    """An event whose vector is masked leaves no trace in EICR."""
    irq = block(card)
    deliver = irq._deliver

    def forgetful(vector: int, *why: Any) -> None:
        regs, bit = irq._regs, 1 << vector
        if not regs.peek(EIMS) & bit:
            regs.poke(EICR, regs.peek(EICR) & ~bit)
        deliver(vector, *why)

    irq._deliver = forgetful


def eiac_clears_nothing(card: Card) -> None:
    """Sending a message leaves its cause standing in EICR, and what stands already raises nothing."""
    irq = block(card)
    regs, event = irq._regs, irq._event

    def news_only(vector: int, *cause: Any) -> None:
        if not regs.peek(EICR) >> vector & 1:
            event(vector, *cause)

    irq._event = news_only
    irq._regs = Overridden(regs, peek=lambda reg, n=0: 0 if reg is EIAC else regs.peek(reg, n))
    regs._blocks[EIMS].on_write = None


def msi_is_sent_as_a_second_message(card: Card) -> None:
    """Without MSI-X, what must be message 0 is sent as message 1, which nobody listens to."""
    irq = block(card)
    send = irq._send
    irq._send = lambda vector, *why: send(vector if irq._multiple() else 1, *why)


def icr_never_says_that_it_asserted(card: Card) -> None:
    """ICR reads without bit 31, as if the line were somebody else's."""
    irq = block(card)
    read = irq._icr_as_read
    irq._icr_as_read = lambda: read() & ~INT_ASSERTED


def eics_is_ignored(card: Card) -> None:
    """A write of EICS raises nothing."""
    irq = block(card)
    irq._regs._blocks[EICS].on_write = None


def a_spurious_message_brings_a_frame(card: Card) -> None:
    """A message without a cause comes with a descriptor that holds a broadcast frame of zeros."""
    irq = block(card)
    spurious = irq.send_spurious

    def with_frame(vector: int) -> None:
        card.nic.receive(b"\xff" * 6 + bytes(54))
        spurious(vector)

    irq.send_spurious = with_frame


def every_frame_goes_to_the_first_queue(card: Card) -> None:
    """Whatever the table says, frames land in queue 0."""
    nic: Any = card.nic
    steer = nic.receiver._steer
    nic.receiver._steer = lambda parsed: steer(parsed)._replace(queue=0)


def a_masked_event_is_sent_while_all_are_masked(card: Card) -> None:
    """While EIMS is 0, a write of EICS sends messages all the same."""
    irq = block(card)
    regs = irq._regs
    write = regs._blocks[EICS].on_write

    def careless(n: int, old: int, new: int) -> None:
        write(n, old, new)
        for vector in range(1, 9) if not regs.peek(EIMS) else ():
            if new >> vector & 1:
                irq._send(vector, "event")

    regs._blocks[EICS].on_write = careless


def eitr_moderates_nothing(card: Card) -> None:
    """Messages are sent as soon as there is a cause, whatever EITR says."""
    irq = block(card)
    irq._faults = Overridden(irq._faults, ignore_eitr_on=True)


def the_length_counts_the_checksum(card: Card) -> None:
    """Frames are stored with four bytes more, where their check sequence was."""
    nic: Any = card.nic
    arrive = nic.receiver.arrive
    nic.receiver.arrive = lambda frame, **how: arrive(frame + bytes(4), **how)


def eics_unmasks(card: Card) -> None:
    """A write of EICS unmasks the vectors that it names before it raises them."""
    regs = block(card)._regs
    write = regs._blocks[EICS].on_write

    def unmasking(n: int, old: int, new: int) -> None:
        regs.poke(EIMS, regs.peek(EIMS) | new)
        write(n, old, new)

    regs._blocks[EICS].on_write = unmasking


def the_other_vector_is_sent_twice(card: Card) -> None:
    """A link change is announced by two messages."""
    irq = block(card)
    link: Any = card.nic.link  # type: ignore[attr-defined]
    raise_cause = link._raise_cause

    def twice(bits: int) -> None:
        raise_cause(bits)
        if bits & ICR.lsc.mask and irq._multiple():
            irq._send(0, "event")

    link._raise_cause = twice


def unmasking_the_function_sends_anew(card: Card) -> None:
    """When Function Mask is cleared, every queue's message is sent once more."""
    ports: Any = card.interrupts
    config = ports._config
    upper_control = msix_capability(card) + 3
    write = config.write

    def sending(offset: int, size: int, value: int) -> Any:
        before = config.data[upper_control]
        answer = write(offset, size, value)
        if before & ~config.data[upper_control] & 0x40:
            for vector in range(1, 9):
                ports.send(vector)
        return answer

    config.write = sending
