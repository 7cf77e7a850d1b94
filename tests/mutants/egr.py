# SPDX-License-Identifier: BSD-3-Clause
"""Cards that confuse transmit queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.card import Card

MUTANTS = {"EGR-15": "neighbouring_queues_are_swapped"}

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
    interrupts.raise_transmit = lambda queue: raise_transmit(queue ^ 1)
