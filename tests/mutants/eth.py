# SPDX-License-Identifier: BSD-3-Clause
"""Cards that the driver's self test and statistics must find out."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from device_model.events import DmaRead
from device_model.igb.spec.general import CONNSW, CTRL
from device_model.igb.spec.interrupts import EITR
from device_model.igb.spec.receive import RDBAL, RDLEN, RXDCTL
from device_model.igb.spec.statistics import GPRC
from device_model.igb.spec.transmit import TDLEN
from device_model.ports import MemoryFault

if TYPE_CHECKING:
    from emulator.card import Card

MUTANTS = {
    "ETH-01": "stuck_bit_in_rdbal",
    "ETH-02": "stuck_bit_in_the_length_of_one_ring",
    "ETH-03": "the_nvm_is_never_read_again",
    "ETH-04": "causes_are_ignored",
    "ETH-05": "looped_frames_leak_to_the_wire",
    "ETH-07": "loopback_needs_a_cable",
    "ETH-08": "good_packets_do_not_clear",
    "ETH-09": "a_ring_of_4096_has_no_length",
    "ETH-10": "only_four_receive_queues_can_be_enabled",
    "ETH-11": "intervals_have_ten_bits",
    "ETH-12": "tags_are_stripped_for_ever",
    "ETH-13": "the_nvm_takes_no_write",
    "ETH-14": "a_stored_register_reads_back_wrong",
    "ETH-19": "a_software_reset_resets_nothing",
    "ETH-21": "the_card_reads_a_line_too_many",
    "ETH-22": "a_function_reset_resets_nothing",
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


def stuck_bit_in_the_length_of_one_ring(card: Card) -> None:
    """Bit 12 of TDLEN[7] reads 0."""
    regs = card.nic.regs  # type: ignore[attr-defined]
    regs.on_read(TDLEN, lambda n: regs.peek(TDLEN, n) & ~(1 << 12 if n == 7 else 0))


def the_nvm_is_never_read_again(card: Card) -> None:
    """EERD gives what each word was at first, whatever has become of it."""
    nvm: Any = card.nic.nvm  # type: ignore[attr-defined]
    word = nvm.word
    first: dict[int, int] = {}

    def as_at_first(index: int) -> int:
        value: int = first.setdefault(index, word(index))
        return value

    nvm.word = as_at_first


def looped_frames_leak_to_the_wire(card: Card) -> None:
    """What is looped back leaves as well."""
    block: Any = card.nic.transmitter  # type: ignore[attr-defined]
    loop = block._loop

    def leaking(frame: bytes) -> None:
        block._emit(frame)
        loop(frame)

    block._loop = leaking


def loopback_needs_a_cable(card: Card) -> None:
    """Without a link partner looped frames get lost."""
    nic: Any = card.nic
    loop = nic.transmitter._loop
    nic.transmitter._loop = lambda frame: loop(frame) if nic.link._partner is not None else None


def a_ring_of_4096_has_no_length(card: Card) -> None:
    """RDLEN has 16 bits."""
    regs = card.nic.regs  # type: ignore[attr-defined]
    regs.on_write(RDLEN, lambda n, _old, new: regs.poke(RDLEN, new & 0xFFFF, n))


def only_four_receive_queues_can_be_enabled(card: Card) -> None:
    """RXDCTL.enable of the other queues stays 0."""
    regs = card.nic.regs  # type: ignore[attr-defined]
    regs.on_write(RXDCTL, lambda n, _old, new: regs.poke(RXDCTL, new & ~(RXDCTL.enable.mask if n > 3 else 0), n))


def intervals_have_ten_bits(card: Card) -> None:
    """EITR loses what is longer than 1023 us."""
    regs = card.nic.regs  # type: ignore[attr-defined]
    regs.on_write(EITR, lambda n, _old, new: regs.poke(EITR, new & ~(0x7C00 << 2 & 0x7FFC), n))


def tags_are_stripped_for_ever(card: Card) -> None:
    """CTRL.vme stays set."""
    regs = card.nic.regs  # type: ignore[attr-defined]
    regs.on_write(CTRL, lambda _n, _old, _new: regs.poke(CTRL, regs.peek(CTRL) | CTRL.vme.mask))


def the_nvm_takes_no_write(card: Card) -> None:
    """The serial interface forgets what it is given."""
    nvm: Any = card.nic.nvm  # type: ignore[attr-defined]
    nvm.store = lambda _address, _value: None
    nvm._spi._store = nvm.store


def a_stored_register_reads_back_wrong(card: Card) -> None:
    """The lowest bit of CONNSW is turned over when the driver reads it."""
    regs = card.nic.regs  # type: ignore[attr-defined]
    regs.on_read(CONNSW, lambda _n: regs.peek(CONNSW) ^ 1)


def a_software_reset_resets_nothing(card: Card) -> None:
    """CTRL.rst clears itself, and that is all."""
    nic: Any = card.nic
    reset = nic._reset
    nic._reset = lambda *, software, kind: None if software else reset(software=software, kind=kind)


def the_card_reads_a_line_too_many(card: Card) -> None:
    """Behind each buffer of a packet 64 more bytes are fetched, where that is possible."""
    block: Any = card.nic.transmitter  # type: ignore[attr-defined]
    gather = block._gather

    def further(n: int, queue: Any, iova: int, word1: int) -> None:
        gather(n, queue, iova, word1)
        end = iova + (word1 & 0xFFFF)
        with suppress(MemoryFault):
            block._memory.read(end, 64)
            block._tell(DmaRead(card.clock.now_ns(), end, 64, "tx-payload", n))

    block._gather = further


def a_function_reset_resets_nothing(card: Card) -> None:
    """Configuration space is reset, the function behind it is not."""
    nic: Any = card.nic
    reset = nic._reset
    nic._reset = lambda *, software, kind: None if kind == "function-level" else reset(software=software, kind=kind)
