# SPDX-License-Identifier: BSD-3-Clause
"""Cards that hash, index or remember wrongly when they choose a receive queue."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from device_model.igb import filters as module
from device_model.igb.spec.receive import RETA, RSSRK
from device_model.packet import parse as parser
from device_model.packet.toeplitz import RssType, hash_input

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_model.igb.filters import Filters, Steering
    from device_model.igb.nic import Igb
    from device_model.packet.parse import Parsed
    from emulator.card import Card

MUTANTS = {
    "RSS-01": "ports_before_addresses",
    "RSS-02": "key_words_swapped",
    "RSS-03": "other_bits_of_the_hash",
    "RSS-04": "table_is_never_stored",
    "RSS-05": "first_table_is_kept",
    "RSS-07": "constant_hash",
    "RSS-08": "udp_ports_always",
    "RSS-09": "udp_ports_never",
    "RSS-10": "first_fragments_are_hashed_with_ports",
    "RSS-11": "unhashed_frames_go_through_the_table",
    "RSS-12": "inverted_hash",
    "RSS-13": "inputs_are_sorted",
    "RSS-14": "first_table_is_kept",
    "RSS-16": "last_queue_is_taken_for_impossible",
    "RSS-17": "table_is_deaf_after_a_reset",
    "RSS-19": "every_type_is_ipv4",
    "RSS-18": "one_extension_header_is_followed",
}


def ports_before_addresses(_card: Card) -> None:
    """The hash takes ports first, then addresses."""

    def wrong(parsed: Parsed, rss_type: RssType) -> bytes:
        data = hash_input(parsed, rss_type)
        return data[-4:] + data[:-4] if len(data) in (12, 36) else data

    vars(module)["hash_input"] = wrong


def key_words_swapped(card: Card) -> None:
    """RSSRK stores the bytes of each word in the other order."""
    regs = _igb(card).regs
    regs.on_write(RSSRK, lambda n, _old, new: regs.poke(RSSRK, int.from_bytes(new.to_bytes(4, "little"), "big"), n))


def other_bits_of_the_hash(card: Card) -> None:
    """The index into the table is bits 13 to 7 of the hash."""
    filters = _igb(card).receiver.filters

    def moved(right: Steering) -> Steering:
        entry = right.rss_hash >> 7 & 0x7F
        word = _igb(card).regs.peek(RETA, entry // 4)
        return right._replace(queue=word >> 8 * (entry % 4) & 0xF) if right.rss_type else right

    _change_steering(filters, moved)


def table_is_never_stored(card: Card) -> None:
    """RETA keeps its reset value."""
    regs = _igb(card).regs
    regs.on_write(RETA, lambda n, old, _new: regs.poke(RETA, old, n))


def first_table_is_kept(card: Card) -> None:
    """The card looks at RETA when it is written for the first time, and never again."""
    filters, right, kept = _igb(card).receiver.filters, _igb(card).receiver.filters._decode, []

    def decode() -> None:
        right()
        if any(filters._reta):
            kept.append(filters._reta)
            filters._reta = kept[0]

    filters._decode = decode  # type: ignore[method-assign]


def constant_hash(card: Card) -> None:
    """Every hashed frame has the same hash, and so the same queue."""
    filters = _igb(card).receiver.filters
    _change_steering(filters, lambda right: right._replace(queue=0, rss_hash=0x5A5A5A00) if right.rss_type else right)


def udp_ports_always(card: Card) -> None:
    """UDP ports are hashed whatever MRQC says."""
    _fix_udp_ports(card, on=True)


def udp_ports_never(card: Card) -> None:
    """MRQC's UDP bits are ignored."""
    _fix_udp_ports(card, on=False)


def inverted_hash(card: Card) -> None:
    """The hash written back is the complement of the one that chose the queue."""
    _change_steering(_igb(card).receiver.filters, lambda right: right._replace(rss_hash=right.rss_hash ^ 0xFFFFFFFF))


def every_type_is_ipv4(card: Card) -> None:
    """Frames hashed with ports are reported as hashed without."""
    filters = _igb(card).receiver.filters
    _change_steering(filters, lambda right: right._replace(rss_type=RssType.IPV4) if right.rss_type else right)


def unhashed_frames_go_through_the_table(card: Card) -> None:
    """A frame that is not IP takes the entry of the table for hash 0."""
    regs, filters = _igb(card).regs, _igb(card).receiver.filters
    _change_steering(filters, lambda right: right if right.rss_type else right._replace(queue=regs.peek(RETA) & 0xF))


def table_is_deaf_after_a_reset(card: Card) -> None:
    """Once a second table has been stored, a reset makes RETA keep its reset value."""
    regs, receiver = _igb(card).regs, _igb(card).receiver
    reset = receiver.reset
    stored: list[int] = []
    deaf: list[bool] = []

    def write(n: int, old: int, new: int) -> None:
        if deaf:
            regs.poke(RETA, old, n)
        elif n == RETA.count - 1:
            stored.append(new)

    def restart() -> None:
        reset()
        if len(stored) > 1:
            deaf.append(True)

    regs.on_write(RETA, write)
    receiver.reset = restart  # type: ignore[method-assign]


def first_fragments_are_hashed_with_ports(_card: Card) -> None:
    """A fragment that has ports is taken for a whole datagram."""
    right = module.classify  # type: ignore[attr-defined]
    vars(module)["classify"] = lambda parsed, fields: right(parsed._replace(is_fragment=False), fields)


def inputs_are_sorted(_card: Card) -> None:
    """The smaller address and the smaller port come first."""

    def wrong(parsed: Parsed, rss_type: RssType) -> bytes:
        data = hash_input(parsed, rss_type)
        size = 2 * (len(data) // 8 * 4)
        halves = data[: size // 2], data[size // 2 : size]
        ports = data[size : size + 2], data[size + 2 :]
        return b"".join((*sorted(halves), *sorted(ports)))

    vars(module)["hash_input"] = wrong


def last_queue_is_taken_for_impossible(card: Card) -> None:
    """An entry of RETA that names queue 3 is stored as 0."""
    regs = _igb(card).regs

    def refuse(n: int, _old: int, new: int) -> None:
        entries = new.to_bytes(4, "little")
        regs.poke(RETA, int.from_bytes(bytes(0 if entry == 3 else entry for entry in entries), "little"), n)

    regs.on_write(RETA, refuse)


def one_extension_header_is_followed(_card: Card) -> None:
    """What stands behind the first IPv6 extension header's successor is not looked at."""
    parser._MAX_EXTENSIONS = 2


def _fix_udp_ports(card: Card, *, on: bool) -> None:
    filters, right = _igb(card).receiver.filters, _igb(card).receiver.filters._decode

    def decode() -> None:
        right()
        filters._fields = replace(filters._fields, udp_ipv4=on, udp_ipv6=on)

    filters._decode = decode  # type: ignore[method-assign]


def _change_steering(filters: Filters, change: Callable[[Steering], Steering]) -> None:
    right = filters.steer
    filters.steer = lambda parsed: change(right(parsed))  # type: ignore[method-assign]


def _igb(card: Card) -> Igb:
    return cast("Igb", card.nic)
