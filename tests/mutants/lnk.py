# SPDX-License-Identifier: BSD-3-Clause
"""Cards with a link that lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.igb.spec.general import STATUS

if TYPE_CHECKING:
    from emulator.card import Card

MUTANTS = {"LNK-01": "status_always_says_10_mbps"}


def status_always_says_10_mbps(card: Card) -> None:
    """STATUS names another speed than the PHY agreed on."""
    regs = card.nic.regs  # type: ignore[attr-defined]
    regs.on_read(STATUS, lambda _n: STATUS.speed.put(regs.peek(STATUS), 0))
