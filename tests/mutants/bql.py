# SPDX-License-Identifier: BSD-3-Clause
"""Cards that report transmitted packets wrongly: the byte queue limits of the guest must show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.card import Card

MUTANTS = {
    "BQL-01": "every_seventh_report_is_lost",
    "BQL-02": "every_seventh_report_is_lost",
    "BQL-03": "a_message_for_each_packet",
    "BQL-04": "withheld_packets_are_reported_by_themselves",
    "BQL-05": "withheld_packets_are_reported_by_themselves",
    "BQL-06": "every_seventh_report_is_lost",
    "BQL-07": "withheld_packets_are_reported_by_themselves",
    "BQL-08": "the_newest_is_kept_back",
    "BQL-09": "reports_only_when_idle",
    "BQL-10": "one_more_is_reported",
    "BQL-12": "spurious_message_reports_a_packet",
    "BQL-13": "a_message_for_each_packet",
    "BQL-14": "last_segment_is_not_sent",
    "BQL-15": "reset_ends_withholding",
    "BQL-16": "withheld_packets_are_reported_by_themselves",
    "BQL-17": "one_more_is_reported",
    "BQL-18": "one_withheld_queue_withholds_all",
    "BQL-19": "releases_come_late",
    "BQL-20": "one_more_is_reported",
    "BQL-21": "packets_wait_behind_their_report",
}

PAUSE_NS = 20_000_000
LATE_NS = 300_000_000


def transmitter(card: Card) -> Any:
    """Return the card's transmit block."""
    return card.nic.transmitter  # type: ignore[attr-defined]


def every_seventh_report_is_lost(card: Card) -> None:
    """Of the slots to be written back every seventh is forgotten."""
    block = transmitter(card)
    write_back, counted = block._write_back, [0]

    def spoilt(n: int) -> None:
        kept = []
        for slot in block.queues[n].done:
            counted[0] += 1
            if counted[0] % 7:
                kept.append(slot)
        block.queues[n].done = kept
        write_back(n)

    block._write_back = spoilt


def a_message_for_each_packet(card: Card) -> None:
    """Packets released together are reported one after the other, with a message and a pause each."""
    block = transmitter(card)
    release = block.release

    def spoilt(n: int, count: int | None) -> int:
        if count is None:
            return int(release(n, None))
        for later in range(1, count):
            card.clock.call_at(card.clock.now_ns() + later * PAUSE_NS, lambda: release(n, 1))
        release(n, min(count, 1))
        return count

    block.release = spoilt


def withheld_packets_are_reported_by_themselves(card: Card) -> None:
    """A packet whose completion is withheld is reported a little later all the same."""
    block = transmitter(card)
    depart = block._depart

    def spoilt(packet: Any) -> None:
        depart(packet)
        if not packet.frames and packet.queue in card.nic.faults.withheld_queues:  # type: ignore[attr-defined]
            card.clock.call_at(card.clock.now_ns() + PAUSE_NS, lambda: block.release(packet.queue, 1))

    block._depart = spoilt


def releases_come_late(card: Card) -> None:
    """What is released from withholding is reported 300 ms later."""
    block = transmitter(card)
    release = block.release

    def spoilt(n: int, count: int | None) -> int:
        held = len(block.queues[n].withheld)
        card.clock.call_at(card.clock.now_ns() + LATE_NS, lambda: release(n, count))
        return held if count is None else min(count, held)

    block.release = spoilt


def the_newest_is_kept_back(card: Card) -> None:
    """Of several packets released together the last is not reported."""
    block = transmitter(card)
    release = block.release

    def spoilt(n: int, count: int | None) -> int:
        if count is None or count < 2:
            return int(release(n, count))
        return int(release(n, count - 1)) + 1

    block.release = spoilt


def one_more_is_reported(card: Card) -> None:
    """With the packets released goes one that is not."""
    block = transmitter(card)
    release = block.release

    def spoilt(n: int, count: int | None) -> int:
        if count is None or len(block.queues[n].withheld) <= count:
            return int(release(n, count))
        return int(release(n, count + 1)) - 1

    block.release = spoilt


def reports_only_when_idle(card: Card) -> None:
    """Nothing is reported while there is more to send: the driver never sees a busy queue."""
    block = transmitter(card)
    idle = block._idle
    write_back = block._write_back
    allowed = [False]

    def spoilt(n: int) -> None:
        if allowed[0]:
            write_back(n)

    def spoilt_idle() -> None:
        allowed[0] = True
        idle()
        allowed[0] = False

    block._write_back, block._idle = spoilt, spoilt_idle


def spurious_message_reports_a_packet(card: Card) -> None:
    """A message without cause brings a report of a packet along."""
    nic: Any = card.nic
    send = nic.interrupts.send_spurious

    def spoilt(vector: int) -> None:
        for queue in sorted(nic.faults.withheld_queues):
            nic.transmitter.release(queue, 1)
        send(vector)

    nic.interrupts.send_spurious = spoilt


def last_segment_is_not_sent(card: Card) -> None:
    """A segmented packet loses its last frame."""
    block = transmitter(card)
    finish = block._finish

    def spoilt(*arguments: Any) -> Any:
        packet = finish(*arguments)
        if len(packet.frames) > 1:
            packet.frames.pop()
        return packet

    block._finish = spoilt


def reset_ends_withholding(card: Card) -> None:
    """After a reset everything is reported at once."""
    block = transmitter(card)
    reset = block.reset

    def spoilt() -> None:
        reset()
        card.nic.faults.withheld_queues.clear()  # type: ignore[attr-defined]

    block.reset = spoilt


class All:
    """A set that holds every queue as soon as it holds one."""

    def __init__(self, queues: set[int]) -> None:
        self._queues = queues

    def __contains__(self, _queue: int) -> bool:
        return bool(self._queues)


def one_withheld_queue_withholds_all(card: Card) -> None:
    """Where the completions of one queue are withheld, those of all are."""
    block = transmitter(card)
    depart = block._depart

    def spoilt(packet: Any) -> None:
        faults: Any = card.nic.faults
        withheld = faults.withheld_queues
        faults.withheld_queues = All(withheld)
        depart(packet)
        faults.withheld_queues = withheld

    block._depart = spoilt


def packets_wait_behind_their_report(card: Card) -> None:
    """The card takes and reports packets at once, and lets them wait for the slow link in a store of its own."""
    block = transmitter(card)
    emit, free_ns = block._emit, [0]

    def late(frame: bytes) -> None:
        rate = block.rate_mbps
        now = card.clock.now_ns()
        free_ns[0] = max(free_ns[0], now) + (len(frame) * 8000 // rate if rate else 0)
        card.clock.call_at(free_ns[0], lambda: emit(frame))

    block._emit = late
    block._rate_bps = lambda: 0
