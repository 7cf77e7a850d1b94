# SPDX-License-Identifier: BSD-3-Clause
"""Cards that confuse transmit queues, or report what they should keep to themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.card import Card

MUTANTS = {
    "EGR-15": "neighbouring_queues_are_swapped",
    "EGR-16": "neighbouring_queues_are_swapped",
    "EGR-17": "neighbouring_queues_are_swapped",
    "EGR-18": "completions_cannot_be_withheld",
    "EGR-19": "completions_cannot_be_withheld",
    "EGR-23": "completions_cannot_be_withheld",
    "EGR-24": "completions_cannot_be_withheld",
}

NEW, OLD = range(0xE000, 0xE400), range(0x3800, 0x3C00)
"""The registers of the transmit rings, 0x40 bytes a queue, and the first four queues' other place, 0x100 (8.12)."""


def neighbouring_queues_are_swapped(card: Card) -> None:
    """What is written for queue 0 reaches queue 1 and the other way round; completions find their way back."""
    regs: Any = card.nic.regs  # type: ignore[attr-defined]
    interrupts: Any = card.nic.interrupts  # type: ignore[attr-defined]
    write, raise_transmit = regs.write, interrupts.raise_transmit

    def swapped(offset: int, value: int) -> None:
        write(offset ^ (0x40 if offset in NEW else 0x100 if offset in OLD else 0), value)

    regs.write = swapped
    interrupts.raise_transmit = lambda queue, many=1: raise_transmit(queue ^ 1, many)


class Nobody(set[int]):
    """A set of queues that none is found in, whatever is added."""

    def __contains__(self, _queue: object) -> bool:
        return False


def completions_cannot_be_withheld(card: Card) -> None:
    """Every packet is reported at once, as if the card were done with it before anybody has looked."""
    card.nic.faults.withheld_queues = Nobody()  # type: ignore[attr-defined]
