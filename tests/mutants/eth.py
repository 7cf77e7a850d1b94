# SPDX-License-Identifier: BSD-3-Clause
"""Cards that the driver's self test and statistics must find out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.igb.spec.receive import RDBAL
from device_model.igb.spec.statistics import GPRC

if TYPE_CHECKING:
    from emulator.card import Card

MUTANTS = {
    "ETH-01": "stuck_bit_in_rdbal",
    "ETH-04": "causes_are_ignored",
    "ETH-08": "good_packets_do_not_clear",
}


def stuck_bit_in_rdbal(card: Card) -> None:
    """Bit 9 of every receive ring base reads 0."""
    regs = card.nic.regs  # type: ignore[attr-defined]
    regs.on_read(RDBAL, lambda n: regs.peek(RDBAL, n) & ~(1 << 9))


def causes_are_ignored(card: Card) -> None:
    """A write of ICS raises nothing."""
    card.nic.faults.apply("ignore_eics", on=True)


def good_packets_do_not_clear(card: Card) -> None:
    """GPRC is not cleared by reading, so the driver counts every frame again and again."""
    regs = card.nic.regs  # type: ignore[attr-defined]
    regs.on_read(GPRC, lambda _n: regs.peek(GPRC))
