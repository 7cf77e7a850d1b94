# SPDX-License-Identifier: BSD-3-Clause
"""Cards that transmit wrongly: rings, descriptors, offloads, and the moment of completion."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from device_model.igb import offload, transmit
from device_model.igb.spec.descriptors import TxContext, TxData
from device_model.igb.spec.transmit import TDLEN, TDT

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_model.igb.offload import Offload
    from emulator.card import Card

MUTANTS = {
    "TX-01": "tdlen_stays_at_256_descriptors",
    "TX-02": "ifcs_is_lost",
    "TX-03": "checksum_only_for_contexts_with_ipv4",
    "TX-04": "last_byte_of_long_buffers_is_not_fetched",
    "TX-05": "one_packet_more_is_released",
    "TX-06": "one_descriptor_past_the_tail",
    "TX-07": "first_packet_is_completed_although_withheld",
    "TX-08": "one_packet_more_is_released",
    "TX-09": "segments_step_one_byte_too_far",
    "TX-10": "tcp_headers_are_20_bytes",
    "TX-11": "large_datagrams_are_fragmented",
    "TX-12": "checksum_of_zero_is_sent_as_zero",
    "TX-14": "tags_are_not_inserted",
    "TX-18": "first_packet_is_completed_although_withheld",
    "TX-19": "short_frames_stay_short",
    "TX-21": "payload_is_read_after_dd",
}


UDP = 17


class Spoiled:
    """Guest memory whose ``read`` goes through ``read``, given the true one."""

    def __init__(self, memory: Any, read: Callable[[Any, int, int], bytes]) -> None:
        self._memory = memory
        self._read = read

    def read(self, iova: int, size: int) -> bytes:
        """Read what is not there."""
        return self._read(self._memory, iova, size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._memory, name)


def transmitter(card: Card) -> Any:
    """Return the card's transmit block."""
    return card.nic.transmitter  # type: ignore[attr-defined]


def tdlen_stays_at_256_descriptors(card: Card) -> None:
    """TDLEN holds 4096 whatever is written, so that rings of another size turn round at the wrong place."""
    regs = card.nic.regs  # type: ignore[attr-defined]
    blocks = transmitter(card)

    def forget(n: int, _old: int, _new: int) -> None:
        regs.poke(TDLEN, 4096, n)
        blocks._ring_moved(n, 0, 0)

    regs.on_write(TDLEN, forget)


def ifcs_is_lost(card: Card) -> None:
    """Bit 25 of every descriptor reads 0: the card takes the last four bytes of each packet for its check sequence."""
    for queue in transmitter(card).queues:
        queue.ring._memory = Spoiled(queue.ring._memory, without_ifcs)


def without_ifcs(memory: Any, iova: int, size: int) -> bytes:
    """Read descriptors, and clear IFCS in each."""
    words = struct.unpack(f"<{size // 8}Q", memory.read(iova, size))
    return struct.pack(f"<{len(words)}Q", *(word & ~(TxData.ifcs.mask * (at % 2)) for at, word in enumerate(words)))


def checksum_only_for_contexts_with_ipv4(_card: Card) -> None:
    """TXSM is obeyed only where TUCMD.IPV4 is set, which Linux does for segmentation alone."""
    finish = transmit.finish_advanced  # type: ignore[attr-defined]

    def spoiled(data: bytearray, word1: int, context: tuple[int, int], offload: Offload) -> list[bytes]:
        if not TxContext.ipv4.of(context[1]):
            word1 &= ~TxData.txsm.mask
        return finish(data, word1, context, offload)

    transmit.finish_advanced = spoiled  # type: ignore[attr-defined]


def last_byte_of_long_buffers_is_not_fetched(card: Card) -> None:
    """Of a buffer of more than 1000 bytes the last is taken for 0."""

    def read(memory: Any, iova: int, size: int) -> bytes:
        data: bytes = memory.read(iova, size)
        return data if size <= 1000 else data[:-1] + b"\0"

    block = transmitter(card)
    block._memory = Spoiled(block._memory, read)


def one_descriptor_past_the_tail(card: Card) -> None:
    """From the 50th tail write of a queue on, the card takes the slot at the tail too, which is not written yet."""
    regs, queues = card.nic.regs, transmitter(card).queues  # type: ignore[attr-defined]
    writes = Counter[int]()

    def further(n: int, _old: int, new: int) -> None:
        writes[n] += 1
        ring = queues[n].ring
        if writes[n] >= 50 and ring.count:
            ring.set_tail((new + 1) % ring.count)

    regs.on_write(TDT, further)


def first_packet_is_completed_although_withheld(card: Card) -> None:
    """Of the packets that are withheld, the first of every queue is written back all the same."""
    block = transmitter(card)
    depart, leaked = block._depart, set()

    def leaky(packet: Any) -> None:
        depart(packet)
        held = block.queues[packet.queue].withheld
        if held and packet.queue not in leaked:
            leaked.add(packet.queue)
            block._report(packet.queue, held.popleft())

    block._depart = leaky


def one_packet_more_is_released(card: Card) -> None:
    """Asked to complete some packets, the card completes one more."""
    nic: Any = card.nic
    release = nic.transmitter.release
    nic.transmitter.release = lambda queue, count: release(queue, None if count is None else count + 1)


def payload_is_read_after_dd(card: Card) -> None:
    """DD is written back as soon as the descriptors are fetched, and the buffers are read 5 ms later."""
    block = transmitter(card)
    gather, finish = block._gather, block._finish
    todo: list[tuple[Any, ...]] = []

    def finished(n: int, queue: Any, index: int) -> Any:
        block._report(n, queue.report)
        block._raise()
        queue.report = []
        until = block._clock.now_ns() + 5_000_000
        while block._clock.now_ns() < until:
            pass
        for later in [buffer for buffer in todo if buffer[1] is queue]:
            gather(*later)
            todo.remove(later)
        return finish(n, queue, index)

    block._gather = lambda *buffer: todo.append(buffer)
    block._finish = finished


def segments_step_one_byte_too_far(_card: Card) -> None:
    """The TCP sequence number of each segment but the first is one too high."""
    segment: Any = offload.segment  # type: ignore[attr-defined]

    def spoiled(packet: Any, **how: Any) -> list[bytes]:
        cut: list[bytes] = segment(packet, **how)
        at = how["mac_len"] + how["ip_len"] + 7
        return cut[:1] + [one[:at] + bytes([one[at] + 1 & 0xFF]) + one[at + 1 :] for one in cut[1:]]

    offload.segment = spoiled  # type: ignore[attr-defined]


def tcp_headers_are_20_bytes(_card: Card) -> None:
    """L4LEN of the context is not looked at."""
    segment: Any = offload.segment  # type: ignore[attr-defined]
    offload.segment = lambda packet, **how: segment(packet, **{**how, "l4_len": 20 if how["tcp"] else 8})  # type: ignore[attr-defined]


def large_datagrams_are_fragmented(_card: Card) -> None:
    """A UDP packet to be segmented leaves as fragments of one IP datagram, as from QEMU's igb."""
    segment: Any = offload.segment  # type: ignore[attr-defined]

    def spoiled(packet: Any, **how: Any) -> list[bytes]:
        if how["tcp"] or not how["ipv4"]:
            cut: list[bytes] = segment(packet, **how)
            return cut
        start = how["mac_len"] + how["ip_len"]
        size = how["mss"] & ~7
        frames = []
        for at in range(start, len(packet), size):
            head = bytearray(packet[:start])
            more = at + size < len(packet)
            head[start - 14 : start - 12] = ((at - start) // 8 | more << 13).to_bytes(2, "big")
            frames.append(bytes(head) + packet[at : at + size])
        return frames

    offload.segment = spoiled  # type: ignore[attr-defined]


def checksum_of_zero_is_sent_as_zero(_card: Card) -> None:
    """A UDP checksum that comes out as 0 is not replaced by 0xFFFF, which makes it "no checksum"."""
    insert: Any = offload.insert_l4_checksum  # type: ignore[attr-defined]

    def spoiled(data: bytearray, start: int, protocol: int, *rest: int) -> bool:
        done: bool = insert(data, start, protocol, *rest)
        if protocol == UDP and data[start + 6 : start + 8] == b"\xff\xff":
            data[start + 6 : start + 8] = b"\0\0"
        return done

    offload.insert_l4_checksum = spoiled  # type: ignore[attr-defined, assignment]


def tags_are_not_inserted(_card: Card) -> None:
    """VLE is ignored."""
    without(vlan_insertion=False)


def short_frames_stay_short(_card: Card) -> None:
    """TCTL.PSP is ignored."""
    without(pad_short=False)


def without(**switches: bool) -> None:
    """Let packets be finished as if registers switched something off."""
    finish: Any = transmit.finish_advanced  # type: ignore[attr-defined]

    def spoiled(data: bytearray, word1: int, context: tuple[int, int], registers: Offload) -> list[bytes]:
        frames: list[bytes] = finish(data, word1, context, replace(registers, **switches))
        return frames

    transmit.finish_advanced = spoiled  # type: ignore[attr-defined, assignment]
