# SPDX-License-Identifier: BSD-3-Clause
"""Cards that confuse transmit queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.card import Card

MUTANTS = {"EGR-15": "neighbouring_queues_are_swapped"}

RINGS = range(0xE000, 0xE400)
"""The registers of the transmit rings, 0x40 bytes a queue (82576 8.12)."""


def neighbouring_queues_are_swapped(card: Card) -> None:
    """What is written for queue 0 reaches queue 1 and the other way round; completions find their way back."""
    regs: Any = card.nic.regs  # type: ignore[attr-defined]
    interrupts: Any = card.nic.interrupts  # type: ignore[attr-defined]
    write, raise_transmit = regs.write, interrupts.raise_transmit
    regs.write = lambda offset, value: write(offset ^ 0x40 if offset in RINGS else offset, value)
    interrupts.raise_transmit = lambda queue: raise_transmit(queue ^ 1)
