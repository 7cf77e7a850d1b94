# SPDX-License-Identifier: BSD-3-Clause
"""Cards that go wrong where an offload is off, or off the beaten track."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from device_model.igb import offload, transmit
from device_model.igb.spec.descriptors import TxData
from device_model.igb.spec.receive import RETA
from device_model.packet import segment as segmentation
from device_model.packet.checksum import checksum, insert_l4_checksum, l4_checksum_ok
from device_model.packet.parse import PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP, parse

if TYPE_CHECKING:
    from device_model.igb.filters import Steering
    from device_model.igb.nic import Igb
    from device_model.igb.offload import Offload
    from device_model.packet.parse import Parsed
    from emulator.card import Card

MUTANTS = {
    "OFF-01": "wrong_udp_sums_are_blanked",
    "OFF-02": "sums_are_inserted_unasked",
    "OFF-03": "long_frames_that_are_not_segmented_end_in_zero",
    "OFF-04": "lone_buffers_are_fetched_up_to_1024_bytes",
    "OFF-07": "lowest_bit_of_the_hash_does_not_count",
    "OFF-11": "sctp_gets_a_ones_complement_sum",
    "OFF-12": "outer_checksum_covers_20_bytes",
}

BUFFER = 1024
LONG = 1500


def wrong_udp_sums_are_blanked(card: Card) -> None:
    """A UDP checksum that is wrong is stored as 0, which means that there is none."""
    receiver = cast("Igb", card.nic).receiver
    arrive = receiver.arrive

    def blank(frame: bytes, *, looped: bool = False) -> None:
        parsed = parse(frame)
        if parsed.l4_protocol == PROTOCOL_UDP and l4_checksum_ok(frame, parsed) is False:
            at = parsed.l4_offset + 6
            frame = frame[:at] + bytes(2) + frame[at + 2 :]
        arrive(frame, looped=looped)

    receiver.arrive = blank  # type: ignore[method-assign]


def sums_are_inserted_unasked(_card: Card) -> None:
    """TXSM counts as set in every descriptor: a sum that is there already is summed in."""
    finish: Any = transmit.finish_advanced  # type: ignore[attr-defined]

    def spoiled(data: bytearray, word1: int, context: tuple[int, int], registers: Offload) -> list[bytes]:
        parsed = parse(bytes(data))
        if not word1 & (TxData.txsm.mask | TxData.tse.mask) and parsed.l4_protocol in (PROTOCOL_TCP, PROTOCOL_UDP):
            insert_l4_checksum(data, parsed.l4_offset, parsed.l4_protocol)
        frames: list[bytes] = finish(data, word1, context, registers)
        return frames

    transmit.finish_advanced = spoiled  # type: ignore[attr-defined, assignment]


def long_frames_that_are_not_segmented_end_in_zero(_card: Card) -> None:
    """The last byte of a frame of more than 1500 bytes is lost, unless the card has cut it itself."""
    finish: Any = transmit.finish_advanced  # type: ignore[attr-defined]

    def spoiled(data: bytearray, word1: int, context: tuple[int, int], registers: Offload) -> list[bytes]:
        if not TxData.tse.of(word1) and len(data) > LONG:
            data[-1] = 0
        frames: list[bytes] = finish(data, word1, context, registers)
        return frames

    transmit.finish_advanced = spoiled  # type: ignore[attr-defined, assignment]


def lone_buffers_are_fetched_up_to_1024_bytes(card: Card) -> None:
    """Of a packet in a single buffer the card fetches no more than 1024 bytes; the rest is sent as zeros."""
    block: Any = cast("Igb", card.nic).transmitter
    gather = block._gather

    def short(n: int, queue: Any, iova: int, word1: int) -> None:
        alone = TxData.eop.of(word1) and not queue.data
        gather(n, queue, iova, word1)
        if alone and len(queue.data) > BUFFER:
            queue.data[BUFFER:] = bytes(len(queue.data) - BUFFER)

    block._gather = short


def lowest_bit_of_the_hash_does_not_count(card: Card) -> None:
    """Of two neighbouring entries of the table only the first is used."""
    nic = cast("Igb", card.nic)
    steer = nic.receiver.filters.steer

    def coarse(parsed: Parsed) -> Steering:
        right = steer(parsed)
        entry = right.rss_hash & 0x7E
        word = nic.regs.peek(RETA, entry // 4)
        return right._replace(queue=word >> 8 * (entry % 4) & 0xF) if right.rss_type else right

    nic.receiver.filters.steer = coarse  # type: ignore[method-assign]


def sctp_gets_a_ones_complement_sum(_card: Card) -> None:
    """SCTP is summed as if it were TCP, in the first half of its field."""
    insert: Any = offload.insert_l4_checksum  # type: ignore[attr-defined]

    def spoiled(data: bytearray, start: int, protocol: int, *rest: int) -> bool:
        if protocol != PROTOCOL_SCTP:
            return bool(insert(data, start, protocol, *rest))
        data[start + 8 : start + 12] = bytes(4)
        data[start + 8 : start + 10] = checksum(bytes(data[start:])).to_bytes(2, "big")
        return True

    offload.insert_l4_checksum = spoiled  # type: ignore[attr-defined, assignment]


def outer_checksum_covers_20_bytes(_card: Card) -> None:
    """The IPv4 checksum of a segment covers 20 bytes, whatever IPLEN says, so that a tunnel's seed cancels nothing."""
    insert: Any = segmentation.insert_ipv4_checksum  # type: ignore[attr-defined]
    vars(segmentation)["insert_ipv4_checksum"] = lambda data, start, _length: insert(data, start, 20)
