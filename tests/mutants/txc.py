# SPDX-License-Identifier: BSD-3-Clause
"""Cards that report transmitted packets wrongly: not, twice, in the wrong order, to the wrong vector, after a reset."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from device_model.igb.spec.statistics import GPTC
from device_model.igb.spec.transmit import TDH

if TYPE_CHECKING:
    from emulator.card import Card

MUTANTS = {
    "TXC-01": "completions_raise_nothing",
    "TXC-02": "completions_raise_the_neighbours_vector",
    "TXC-03": "newest_packet_is_released_first",
    "TXC-04": "every_500th_packet_is_not_written_back",
    "TXC-05": "last_withheld_packet_is_not_released",
    "TXC-06": "frames_count_twice_in_gptc",
    "TXC-07": "released_packets_raise_nothing",
    "TXC-09": "tdh_reads_one_too_far",
    "TXC-11": "withheld_packets_survive_a_reset",
    "TXC-17": "withheld_packets_survive_a_reset",
    "TXC-18": "a_late_packet_is_not_written_back",
    "TXC-12": "withheld_packets_survive_a_reset",
    "TXC-14": "losing_the_link_reports_what_was_withheld",
    "TXC-15": "reports_come_late",
    "TXC-16": "interrupts_are_not_moderated",
}


LATE_NS = 300_000_000


def transmitter(card: Card) -> Any:
    """Return the card's transmit block."""
    return card.nic.transmitter  # type: ignore[attr-defined]


def completions_raise_nothing(card: Card) -> None:
    """DD is written back, and no message ever says so."""
    card.nic.interrupts.raise_transmit = lambda _queue, _many=1: None  # type: ignore[attr-defined]


def completions_raise_the_neighbours_vector(card: Card) -> None:
    """A completion of queue 1 interrupts as one of queue 0, and so on."""
    interrupts: Any = card.nic.interrupts  # type: ignore[attr-defined]
    original = interrupts.raise_transmit
    interrupts.raise_transmit = lambda queue, many=1: original(queue ^ 1, many)


def newest_packet_is_released_first(card: Card) -> None:
    """Of the packets that wait for their write-back, the last comes first."""
    block = transmitter(card)
    release = block.release

    def backwards(n: int, count: int | None) -> int:
        withheld = block.queues[n].withheld
        withheld.reverse()
        released: int = release(n, count)
        withheld.reverse()
        return released

    block.release = backwards


def every_500th_packet_is_not_written_back(card: Card) -> None:
    """Now and then a packet leaves and its descriptor is forgotten."""
    _forget_every(card, 500)


def a_late_packet_is_not_written_back(card: Card) -> None:
    """The 50th packet leaves and its descriptor is forgotten, and so is every 50th after it."""
    _forget_every(card, 50)


def _forget_every(card: Card, period: int) -> None:
    block = transmitter(card)
    report = block._report
    packets = iter(range(1, 1 << 32))

    def forgetful(n: int, slots: list[int]) -> None:
        if next(packets) % period:
            report(n, slots)

    block._report = forgetful


def last_withheld_packet_is_not_released(card: Card) -> None:
    """The first release of everything leaves the newest packet out."""
    block = transmitter(card)
    release, done = block.release, set[int]()

    def short(n: int, count: int | None) -> int:
        withheld = block.queues[n].withheld
        kept = withheld.pop() if count is None and withheld and n not in done else None
        released: int = release(n, count)
        if kept is not None:
            done.add(n)
            withheld.append(kept)
        return released

    block.release = short


def frames_count_twice_in_gptc(card: Card) -> None:
    """Each frame that leaves adds two to GPTC."""
    regs: Any = card.nic.regs  # type: ignore[attr-defined]
    statistics: Any = card.nic.statistics  # type: ignore[attr-defined]
    transmitted = statistics.transmitted

    def twice(frame: bytes) -> None:
        transmitted(frame)
        regs.add(GPTC, 1)

    statistics.transmitted = twice


def released_packets_raise_nothing(card: Card) -> None:
    """Withheld packets get their DD in the end, but no message tells the driver."""
    block = transmitter(card)
    release = block.release

    def silent(n: int, count: int | None) -> int:
        raised, block._raise = block._raise, lambda: block._finished.pop(n, None)
        try:
            released: int = release(n, count)
        finally:
            block._raise = raised
        return released

    block.release = silent


def tdh_reads_one_too_far(card: Card) -> None:
    """The head that the driver reads is the slot after the true one."""
    regs: Any = card.nic.regs  # type: ignore[attr-defined]
    queues = transmitter(card).queues
    regs.on_read(TDH, lambda n: queues[n].ring.after(queues[n].ring.head))


class Lasting(deque[Any]):
    """A store that cannot be emptied at once."""

    def clear(self) -> None:
        """Keep everything."""


def withheld_packets_survive_a_reset(card: Card) -> None:
    """Neither CTRL.RST nor TCTL.EN = 0 drops the packets that wait for their write-back."""
    for queue in transmitter(card).queues:
        queue.withheld = Lasting()


def losing_the_link_reports_what_was_withheld(card: Card) -> None:
    """When the cable is pulled, everything that was withheld is reported."""
    link: Any = card.nic.link  # type: ignore[attr-defined]
    block, connect = transmitter(card), link.connect

    def spoilt(partner: Any) -> None:
        connect(partner)
        if partner is None:
            for queue in range(len(block.queues)):
                block.release(queue, None)

    link.connect = spoilt


def reports_come_late(card: Card) -> None:
    """A packet that has left is reported 300 ms later."""
    block = transmitter(card)
    report = block._report

    def late(n: int, slots: list[int]) -> None:
        def now() -> None:
            report(n, slots)
            block._raise()

        card.clock.call_at(card.clock.now_ns() + LATE_NS, now)

    block._report = late


def interrupts_are_not_moderated(card: Card) -> None:
    """EITR keeps its values and does nothing."""
    card.nic.interrupts._throttled = lambda _vector: False  # type: ignore[attr-defined]
