# SPDX-License-Identifier: BSD-3-Clause
"""Cards whose clock, or whose stamps, are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from device_model.igb.spec.timesync import RXSTMPH, TIMINCA

if TYPE_CHECKING:
    from emulator.card import Card

MUTANTS = {
    "ETH-16": "the_clock_cannot_be_steered",
    "ETH-17": "reading_the_stamp_does_not_free_the_latch",
    "TX-16": "a_stamp_is_that_of_the_packet_before",
}


def the_clock_cannot_be_steered(card: Card) -> None:
    """Whatever TIMINCA says, the clock counts 16 ns in 16 ns."""
    timesync: Any = card.nic.timesync  # type: ignore[attr-defined]
    renew = timesync._new_increment
    timesync._new_increment = lambda value: renew(TIMINCA.incvalue.put(value, 16 << 19))
    card.nic.regs.on_write(TIMINCA, lambda _n, _old, new: timesync._new_increment(new))  # type: ignore[attr-defined]


def reading_the_stamp_does_not_free_the_latch(card: Card) -> None:
    """RXSTMPH frees nothing, as in QEMU's igb, where RXSATRH does."""
    regs = card.nic.regs  # type: ignore[attr-defined]
    regs.on_read(RXSTMPH, lambda _n: regs.peek(RXSTMPH))


def a_stamp_is_that_of_the_packet_before(card: Card) -> None:
    """The latch opens too late: it still holds what the packet before left in it."""
    timesync: Any = card.nic.timesync  # type: ignore[attr-defined]
    latch, old = timesync._latch, [0]
    now = timesync.now

    def late(low: type, high: type) -> None:
        present, stale = now(), old[0]
        old[0] = present
        timesync.now = lambda: stale
        latch(low, high)
        timesync.now = now

    timesync._latch = late
