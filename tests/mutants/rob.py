# SPDX-License-Identifier: BSD-3-Clause
"""Cards whose accounts do not add up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from device_model import events

if TYPE_CHECKING:
    from emulator.card import Card

MUTANTS = {
    "ROB-01": "every_fiftieth_frame_vanishes",
    "ROB-02": "every_fortieth_packet_is_not_sent",
    "ROB-03": "every_tenth_message_is_only_counted",
    "ROB-04": "fidgets",
    "ROB-05": "every_twentieth_report_is_lost",
    "ROB-06": "writes_on_after_a_reset",
    "ROB-07": "hash_depends_on_the_time",
    "ROB-08": "interrupts_after_a_reset",
    "ROB-09": "every_tenth_message_is_lost",
    "ROB-10": "storm_wears_the_vector_out",
    "ROB-11": "every_hundredth_frame_is_damaged",
    "ROB-12": "received_frames_vanish",
    "ROB-13": "every_fortieth_packet_is_not_sent",
    "ROB-14": "reads_again_after_the_report",
    "ROB-15": "takes_receive_buffers_twice",
}

FIDGET_NS = 100_000_000
LATER_NS = 1_000_000
WORN_OUT = 10_000
LOSING = 2


def nic(card: Card) -> Any:
    """Return the card's NIC with its insides."""
    return card.nic


def every_fiftieth_frame_vanishes(card: Card) -> None:
    """Every fiftieth frame from the wire is seen and then neither delivered nor counted."""
    block = nic(card).receiver
    arrive, counted = block.arrive, [0]

    def spoilt(frame: bytes, *, looped: bool = False) -> None:
        counted[0] += 1
        if counted[0] % 50:
            arrive(frame, looped=looped)
        else:
            nic(card).tell(events.FrameArrived(card.clock.now_ns(), frame))

    block.arrive = spoilt


def every_fortieth_packet_is_not_sent(card: Card) -> None:
    """Every fortieth packet is fetched and reported, but does not leave."""
    block = nic(card).transmitter
    finish, counted = block._finish, [0]

    def spoilt(*arguments: Any) -> Any:
        packet = finish(*arguments)
        counted[0] += 1
        if counted[0] % 40 == 0:
            packet.frames.clear()
        return packet

    block._finish = spoilt


def every_tenth_message_is_only_counted(card: Card) -> None:
    """With every tenth message goes the account of another that is not sent."""
    block = nic(card).interrupts
    send, counted = block._send, [0]

    def spoilt(vector: int, why: str) -> None:
        send(vector, why)
        counted[0] += 1
        if counted[0] % 10 == 0:
            nic(card).tell(events.InterruptSent(card.clock.now_ns(), vector, "msix", why))

    block._send = spoilt


def fidgets(card: Card) -> None:
    """Ten times a second a message is sent for no reason."""

    def fidget() -> None:
        if nic(card).link.up:
            nic(card).send_spurious(3)
        card.clock.call_at(card.clock.now_ns() + FIDGET_NS, fidget)

    fidget()


def every_twentieth_report_is_lost(card: Card) -> None:
    """Of the slots to be written back every twentieth is forgotten."""
    block = nic(card).transmitter
    write_back, counted = block._write_back, [0]

    def spoilt(n: int) -> None:
        kept = []
        for slot in block.queues[n].done:
            counted[0] += 1
            if counted[0] % 20:
                kept.append(slot)
        block.queues[n].done = kept
        write_back(n)

    block._write_back = spoilt


def writes_on_after_a_reset(card: Card) -> None:
    """A millisecond after a reset the newest transmit slot is reported once more."""
    block = nic(card).transmitter
    write_back, reset, newest = block._write_back, block.reset, [(0, 0)]

    def spoilt(n: int) -> None:
        if block.queues[n].done:
            newest[0] = (n, block.queues[n].ring.address(block.queues[n].done[-1]) + 12)
        write_back(n)

    def late() -> None:
        queue, iova = newest[0]
        card.memory.store32(iova, 1)
        nic(card).tell(events.DmaWrite(card.clock.now_ns(), iova, 4, "tx-write-back", queue))

    def spoilt_reset() -> None:
        reset()
        if newest[0][1]:
            card.clock.call_at(card.clock.now_ns() + LATER_NS, late)

    block._write_back, block.reset = spoilt, spoilt_reset


def interrupts_after_a_reset(card: Card) -> None:
    """A millisecond after a reset a message is sent."""
    block = nic(card).transmitter
    reset = block.reset

    def spoilt() -> None:
        reset()
        card.clock.call_at(card.clock.now_ns() + LATER_NS, lambda: nic(card).send_spurious(3))

    block.reset = spoilt


def every_tenth_message_is_lost(card: Card) -> None:
    """Every tenth message of vector 2, receive queue 1's, is not sent; the vector stays masked."""
    block = nic(card).interrupts
    send, counted = block._send, [0]

    def spoilt(vector: int, why: str) -> None:
        counted[0] += vector == LOSING and why != "fault"
        if vector != LOSING or why == "fault" or counted[0] % 10:
            send(vector, why)

    block._send = spoilt


def storm_wears_the_vector_out(card: Card) -> None:
    """After ten thousand messages a vector sends none any more."""
    block = nic(card).interrupts
    send, counted = block._port.send, dict[int, int]()

    def spoilt(vector: int) -> None:
        counted[vector] = counted.get(vector, 0) + 1
        if counted[vector] < WORN_OUT:
            send(vector)

    block._port.send = spoilt


def every_hundredth_frame_is_damaged(card: Card) -> None:
    """One bit of the payload of every hundredth frame is wrong on the wire, and a checksum does not tell."""
    block = nic(card).transmitter
    emit, counted = block._emit, [0]

    def spoilt(frame: bytes) -> None:
        counted[0] += 1
        damaged = frame[:50] + bytes((frame[50] ^ 1,)) + frame[51:]
        emit(frame if counted[0] % 100 else damaged)

    block._emit = spoilt


def received_frames_vanish(card: Card) -> None:
    """No frame that comes from the wire is taken."""
    nic(card).receiver.arrive = lambda *_arguments, **_how: None


def hash_depends_on_the_time(card: Card) -> None:
    """The RSS hash that is reported has the clock mixed in."""
    block = nic(card).receiver
    steer = block._steer

    def spoilt(parsed: Any) -> Any:
        steering = steer(parsed)
        return steering._replace(rss_hash=steering.rss_hash ^ card.clock.now_ns() & 0xFFFF)

    block._steer = spoilt


def reads_again_after_the_report(card: Card) -> None:
    """A millisecond after every third transmit buffer was read it is read once more."""
    block = nic(card).transmitter
    gather, counted = block._gather, [0]

    def spoilt(n: int, queue: Any, iova: int, word1: int) -> None:
        gather(n, queue, iova, word1)
        counted[0] += 1
        size = word1 & 0xFFFF

        def again() -> None:
            card.memory.read(iova, size)
            nic(card).tell(events.DmaRead(card.clock.now_ns(), iova, size, "tx-payload", n))

        if counted[0] % 3 == 0:
            card.clock.call_at(card.clock.now_ns() + LATER_NS, again)

    block._gather = spoilt


class Doubling:
    """Guest memory in which the second receive descriptor of a batch names the buffer of the first."""

    def __init__(self, memory: Any) -> None:
        self._memory = memory

    def __getattr__(self, name: str) -> Any:
        return getattr(self._memory, name)

    def read(self, iova: int, size: int) -> bytes:
        """Return the bytes there, but for the second address."""
        raw: bytes = self._memory.read(iova, size)
        return raw[:16] + raw[:8] + raw[24:] if size >= 32 else raw


def takes_receive_buffers_twice(card: Card) -> None:
    """Of each batch of receive descriptors the second has the first one's buffer."""
    for ring in nic(card).receiver.rings:
        ring._memory = Doubling(ring._memory)
