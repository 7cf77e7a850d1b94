# SPDX-License-Identifier: BSD-3-Clause
"""Cards that send something else than what they were handed: twice, in part, cut wrongly, with another header."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from device_model.igb.spec.descriptors import TxData
from harness.dissect import dissect
from harness.frames import UDP, ones_sum

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.card import Card

MUTANTS = {
    "EGR-01": "frames_leave_twice",
    "EGR-02": "last_byte_is_blank",
    "EGR-03": "second_half_is_blank",
    "EGR-04": "later_fragments_begin_at_0",
    "EGR-05": "sums_are_not_inserted",
    "EGR-07": "ttl_is_always_64",
    "EGR-08": "group_frames_go_to_everybody",
    "EGR-09": "frames_leave_twice",
    "EGR-10": "frames_leave_twice",
    "EGR-11": "no_fragment_has_a_successor",
    "EGR-12": "later_fragments_begin_at_0",
    "EGR-13": "broadcasts_leave_twice",
    "EGR-20": "segments_leave_backwards",
    "EGR-21": "segments_leave_backwards",
    "EGR-22": "segments_leave_backwards",
    "EGR-25": "datagrams_change_places",
    "EGR-26": "frames_without_a_context_leave_twice",
}

FRAGMENT, TTL, IP_SUM = 20, 22, 24
"""Where these fields lie in a frame that carries IPv4 without a tag."""


def transmitter(card: Card) -> Any:
    """Return the card's transmit block."""
    return card.nic.transmitter  # type: ignore[attr-defined]


def emitting(card: Card, change: Callable[[bytes], list[bytes]]) -> None:
    """Let what ``change`` makes of each frame leave instead of it."""
    block = transmitter(card)
    send = block._send

    def spoilt(packet: Any, frame: bytes) -> None:
        for one in change(bytes(frame)):
            send(packet, one)

    block._send = spoilt


def patched(frame: bytes, at: int, value: bytes) -> bytes:
    """Return an IPv4 frame with ``value`` at ``at`` of its header, and the header's checksum right again."""
    frame = frame[:at] + value + frame[at + len(value) :]
    head = frame[14:IP_SUM] + b"\0\0" + frame[IP_SUM + 2 : dissect(frame).l4]
    return frame[:IP_SUM] + (ones_sum(head) ^ 0xFFFF).to_bytes(2, "big") + frame[IP_SUM + 2 :]


def is_fragment(frame: bytes) -> bool:
    """Tell whether a frame is a piece of an IPv4 datagram."""
    packet = dissect(frame)
    return packet.family == 4 and packet.fragment


def frames_leave_twice(card: Card) -> None:
    """Each frame is on the wire two times."""
    emitting(card, lambda frame: [frame, frame])


def broadcasts_leave_twice(card: Card) -> None:
    """What is for everybody is on the wire two times."""
    emitting(card, lambda frame: [frame] * (2 if frame[:6] == b"\xff" * 6 else 1))


def datagrams_change_places(card: Card) -> None:
    """Every datagram waits for the next one and leaves behind it."""
    waiting: list[bytes] = []

    def change(frame: bytes) -> list[bytes]:
        packet = dissect(frame)
        if (packet.family, packet.protocol) != (4, UDP):
            return [frame]
        if waiting:
            return [frame, waiting.pop()]
        waiting.append(frame)
        return []

    emitting(card, change)


def last_byte_is_blank(card: Card) -> None:
    """The last byte of each frame is not fetched."""
    emitting(card, lambda frame: [frame[:-1] + b"\0"])


def second_half_is_blank(card: Card) -> None:
    """Only the first half of each frame is fetched."""
    emitting(card, lambda frame: [frame[: len(frame) // 2] + bytes(len(frame) - len(frame) // 2)])


def later_fragments_begin_at_0(card: Card) -> None:
    """Fragments keep their flags and lose their offsets."""

    def change(frame: bytes) -> list[bytes]:
        flags = (frame[FRAGMENT] & 0xE0 if is_fragment(frame) else 0).to_bytes(1, "big")
        return [patched(frame, FRAGMENT, flags + b"\0") if is_fragment(frame) else frame]

    emitting(card, change)


def no_fragment_has_a_successor(card: Card) -> None:
    """Fragments keep their offsets and lose the flag that says that more follow."""

    def change(frame: bytes) -> list[bytes]:
        offset = (frame[FRAGMENT] & ~0x20).to_bytes(1, "big")
        return [patched(frame, FRAGMENT, offset) if is_fragment(frame) else frame]

    emitting(card, change)


def sums_are_not_inserted(card: Card) -> None:
    """TXSM is ignored: what the kernel left in the field stays there."""
    block = transmitter(card)
    finish = block._finish

    def spoilt(n: int, queue: Any, index: int) -> Any:
        low, high = queue.first or (0, 0)
        queue.first = low, high & ~TxData.txsm.mask
        return finish(n, queue, index)

    block._finish = spoilt


def ttl_is_always_64(card: Card) -> None:
    """The card knows better how far a packet may go."""
    emitting(card, lambda frame: [patched(frame, TTL, b"\x40") if dissect(frame).family == 4 else frame])


def group_frames_go_to_everybody(card: Card) -> None:
    """A multicast address is sent as broadcast."""
    emitting(card, lambda frame: [b"\xff" * 6 + frame[6:] if frame[0] & 1 else frame])


def segments_leave_backwards(card: Card) -> None:
    """The last segment of a large send leaves first."""
    finishing(card, lambda frames: frames.reverse())


def finishing(card: Card, change: Callable[[Any], None]) -> None:
    """Let ``change`` have its way with the frames that a packet has become, before the first leaves."""
    block = transmitter(card)
    finish = block._finish

    def spoilt(n: int, queue: Any, index: int) -> Any:
        packet = finish(n, queue, index)
        change(packet.frames)
        return packet

    block._finish = spoilt


def frames_without_a_context_leave_twice(card: Card) -> None:
    """What needs no offload is on the wire two times."""
    block = transmitter(card)
    finish = block._finish

    def spoilt(n: int, queue: Any, index: int) -> Any:
        plain = not TxData.txsm.of((queue.first or (0, 0))[1])
        packet = finish(n, queue, index)
        if plain:
            packet.frames.extend(list(packet.frames))
        return packet

    block._finish = spoilt
