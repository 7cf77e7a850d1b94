# SPDX-License-Identifier: BSD-3-Clause
"""Cards that give segments of one connection what keeps them apart, or take from others what does."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, cast

from device_model.igb import receive as receive_module
from device_model.igb.rx_status import write_back_status
from device_model.igb.spec.descriptors import RxWriteback
from device_model.packet import vlan

if TYPE_CHECKING:
    from device_model.igb.filters import Steering
    from device_model.igb.nic import Igb
    from device_model.igb.receive import Receive
    from device_model.packet.parse import Parsed
    from device_model.ring import Ring
    from emulator.card import Card

MUTANTS = {
    "GRO-01": "hash_changes_within_a_flow",
    "GRO-02": "third_and_fourth_are_swapped",
    "GRO-03": "priority_is_lost",
    "GRO-04": "push_and_fin_are_lost",
    "GRO-05": "length_is_that_of_the_frame_before",
    "GRO-06": "timestamps_stand_still",
    "GRO-07": "padding_is_cut_off",
    "GRO-08": "every_checksum_is_good",
    "GRO-09": "low_bits_of_the_hash_are_others",
    "GRO-10": "every_16th_frame_twice",
    "GRO-11": "hash_changes_within_a_flow",
    "GRO-13": "frame_check_sequence_stays",
    "GRO-15": "every_16th_frame_twice",
}

IP, FLAGS, STAMP = 14, 47, 58
"""Places in an untagged frame without IP options: headers, TCP's flags, and the value of a padded timestamp."""

LEAST_DATA = 100
"""Bytes of a frame that certainly carries data."""


def hash_changes_within_a_flow(card: Card) -> None:
    """Every other frame of the card has the highest bit of its hash inverted; its queue is right."""
    filters, number = _receiver(card).filters, count()
    steer = filters.steer

    def flip(parsed: Parsed) -> Steering:
        right = steer(parsed)
        return right._replace(rss_hash=right.rss_hash ^ (next(number) % 2) << 31)

    filters.steer = flip  # type: ignore[method-assign]


def low_bits_of_the_hash_are_others(card: Card) -> None:
    """The hash in the descriptor is shifted by three bits; its queue is right."""
    receiver = _receiver(card)
    steer = receiver._steer

    def shifted(parsed: Parsed) -> Steering:
        right = steer(parsed)
        return right._replace(rss_hash=right.rss_hash >> 3)

    receiver._steer = shifted  # type: ignore[method-assign]


def third_and_fourth_are_swapped(card: Card) -> None:
    """Of every four frames with data the last two arrive in the other order."""
    receiver, number, waiting = _receiver(card), count(1), list[bytes]()
    arrive = receiver.arrive

    def swapped(frame: bytes, **how: Any) -> None:
        if len(frame) < LEAST_DATA:
            arrive(frame, **how)
            return
        turn = next(number) % 4
        if turn == 3:
            waiting.append(frame)
            return
        arrive(frame, **how)
        while waiting:
            arrive(waiting.pop(), **how)

    receiver.arrive = swapped  # type: ignore[method-assign]


def priority_is_lost(_card: Card) -> None:
    """The tag in the descriptor is the VLAN's number alone."""
    strip = vlan.strip

    def number_only(frame: bytes) -> tuple[bytes, int]:
        rest, tag = strip(frame)
        return rest, tag & 0xFFF

    vars(vlan)["strip"] = number_only


def push_and_fin_are_lost(card: Card) -> None:
    """PSH and FIN are cleared in memory, and the checksum is still called good."""
    _change(card, lambda frame: frame[:FLAGS] + bytes([frame[FLAGS] & ~0x09]) + frame[FLAGS + 1 :])


def timestamps_stand_still(card: Card) -> None:
    """The value of a padded timestamp option is the same in every segment."""
    _change(card, lambda frame: frame[:STAMP] + bytes(4) + frame[STAMP + 4 :])


def length_is_that_of_the_frame_before(card: Card) -> None:
    """A frame that is shorter than the one before is reported with that one's length."""
    receiver = _receiver(card)
    write, before = receiver._write, [0]

    def stale(ring: Ring, index: int, buffer: int, chunk: bytes, words: tuple[int, int]) -> bool:
        length, before[0] = max(len(chunk), before[0]), len(chunk)
        return write(
            ring, index, buffer, chunk.ljust(length, b"\0"), (words[0], words[1] + (length - len(chunk) << 32))
        )

    receiver._write = stale  # type: ignore[method-assign]


def padding_is_cut_off(card: Card) -> None:
    """What follows an IPv4 datagram is not stored."""
    receiver = _receiver(card)
    store = receiver._store

    def trimmed(ring: Ring, frame: bytes, *rest: Any, **how: Any) -> None:
        datagram = IP + int.from_bytes(frame[IP + 2 : IP + 4], "big")
        store(ring, frame[:datagram] if frame[12:14] == b"\x08\x00" else frame, *rest, **how)

    receiver._store = trimmed  # type: ignore[method-assign]


def frame_check_sequence_stays(card: Card) -> None:
    """Four bytes more than the frame has are stored."""
    receiver = _receiver(card)
    store = receiver._store

    def longer(ring: Ring, frame: bytes, *rest: Any, **how: Any) -> None:
        store(ring, frame + b"\xfc\x5e\x41\x0a", *rest, **how)

    receiver._store = longer  # type: ignore[method-assign]


def every_16th_frame_twice(card: Card) -> None:
    """One frame in 16 is stored once more."""
    receiver, number = _receiver(card), count(1)
    store = receiver._store

    def again(*frame: Any, **how: Any) -> None:
        store(*frame, **how)
        if next(number) % 16 == 0:
            store(*frame, **how)

    receiver._store = again  # type: ignore[method-assign]


def every_checksum_is_good(_card: Card) -> None:
    """No wrong checksum reaches a descriptor."""

    def forgiving(*frame: Any, **how: Any) -> int:
        return write_back_status(*frame, **how) & ~(RxWriteback.l4e.mask | RxWriteback.ipe.mask)

    vars(receive_module)["write_back_status"] = forgiving


def _change(card: Card, change: Any) -> None:
    """Let ``change`` have each frame of TCP on its way into memory, after its checksum was judged."""
    receiver = _receiver(card)
    write = receiver._write

    def changed(ring: Ring, index: int, buffer: int, chunk: bytes, words: tuple[int, int]) -> bool:
        is_tcp = chunk[12:14] == b"\x08\x00" and chunk[IP + 9] == 6
        return write(ring, index, buffer, change(chunk) if is_tcp else chunk, words)

    receiver._write = changed  # type: ignore[method-assign]


def _receiver(card: Card) -> Receive:
    return cast("Igb", card.nic).receiver
