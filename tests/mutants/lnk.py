# SPDX-License-Identifier: BSD-3-Clause
"""Cards with a link that lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from device_model.igb.spec.general import FCAL, STATUS
from device_model.igb.spec.interrupts import EICS, ICR

if TYPE_CHECKING:
    from emulator.card import Card

MUTANTS = {
    "LNK-01": "status_always_says_10_mbps",
    "LNK-02": "the_link_goes_without_lsc",
    "LNK-03": "a_lost_message_comes_with_the_next_tick",
    "LNK-04": "one_register_of_ones_takes_the_card_away",
    "LNK-05": "pauses_are_counted_and_not_obeyed",
}


def status_always_says_10_mbps(card: Card) -> None:
    """STATUS names another speed than the PHY agreed on."""
    regs = card.nic.regs  # type: ignore[attr-defined]
    regs.on_read(STATUS, lambda _n: STATUS.speed.put(regs.peek(STATUS), 0))


def the_link_goes_without_lsc(card: Card) -> None:
    """A change of the link raises nothing when the link is lost."""
    nic: Any = card.nic
    raise_cause = nic.link._raise_cause
    nic.link._raise_cause = lambda causes: None if causes == ICR.lsc.mask and not nic.link.up else raise_cause(causes)


def a_lost_message_comes_with_the_next_tick(card: Card) -> None:
    """Every software interrupt of the watchdog's sends the message of vector 0 as well."""
    nic: Any = card.nic
    write = nic.interrupts._write_eics

    def with_other(n: int, old: int, new: int) -> None:
        write(n, old, new)
        nic.interrupts.send_spurious(0)

    nic.regs.on_write(EICS, with_other)


def one_register_of_ones_takes_the_card_away(card: Card) -> None:
    """From the first read of FCAL that holds ones on, every register reads as ones."""
    nic: Any = card.nic

    def read(_n: int) -> int:
        value: int = nic.regs.peek(FCAL)
        if value == 0xFFFF_FFFF:
            nic.faults.apply("read_all_ones", on=True)
        return value

    nic.regs.on_read(FCAL, read)


def pauses_are_counted_and_not_obeyed(card: Card) -> None:
    """A pause frame ends before it has begun."""
    flow: Any = card.nic.flow_control  # type: ignore[attr-defined]
    flow._duration_ns = lambda _quanta: 0
