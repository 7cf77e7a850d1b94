# SPDX-License-Identifier: BSD-3-Clause
"""Where every frame went: host, wire, card and driver each count, and their counts must add up.

The host's TAP interface, the card's wire, the card's events and the driver's statistics are four books kept by four
programs. Each line of ``STATIONS`` says which of their entries are the same frames.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

from harness.deadline import Deadline, wait_still

if TYPE_CHECKING:
    from harness.bench.namespace import Namespace
    from harness.bench.rig import Side

SETTLE_S = 20.0
STILL_LOOKS = 5
"""With wait_until's pauses these span about a tenth of a second."""


@dataclass(frozen=True, slots=True)
class Books:
    """Frames since the beginning, by who counted them."""

    host_sent: int = 0
    host_received: int = 0
    wire_arrived: int = 0
    wire_emitted: int = 0
    wire_dropped: int = 0
    card_arrived: int = 0
    card_delivered: int = 0
    card_dropped: int = 0
    card_emitted: int = 0
    card_paused: int = 0
    driver_received: int = 0
    driver_sent: int = 0

    def __sub__(self, before: Self) -> Books:
        """Return what was counted since ``before``."""
        return Books(*(getattr(self, each.name) - getattr(before, each.name) for each in fields(self)))


@dataclass(frozen=True, slots=True)
class Station:
    """A place on the frames' way: what goes in, under the names of Books, and all that may come out."""

    name: str
    enters: tuple[str, ...]
    leaves: tuple[str, ...]

    def lacks(self, books: Books) -> str:
        """Return a sentence if the sums differ, else nothing."""
        enters, leaves = (sum(getattr(books, name) for name in names) for names in (self.enters, self.leaves))
        if enters == leaves:
            return ""
        return f"{self.name}: {' + '.join(self.enters)} = {enters}, but {' + '.join(self.leaves)} = {leaves}"


STATIONS = (
    Station("host to card", ("host_sent",), ("wire_arrived",)),
    Station("wire to receiver", ("wire_arrived",), ("card_arrived",)),
    Station("receiver", ("card_arrived",), ("card_delivered", "card_dropped")),
    Station("transmitter to wire", ("card_emitted", "card_paused"), ("wire_emitted", "wire_dropped")),
    Station("card to host", ("wire_emitted",), ("host_received",)),
)
"""These hold at any time nothing is under way."""

AT_THE_DRIVER = (
    Station("receiver to driver", ("card_delivered",), ("driver_received",)),
    Station("driver to transmitter", ("driver_sent",), ("card_emitted",)),
)
"""These hold as long as the driver empties no ring: not across a reset, which discards what is in one."""


def read(side: Side, namespace: Namespace, tap: str) -> Books:
    """Read all the books once."""
    assert side.control is not None, "our card has a control socket"
    host = namespace.counters(tap)
    wire = side.control.wire_counts()
    events = side.control.counts()
    return Books(
        host_sent=host["tx"]["packets"],
        host_received=host["rx"]["packets"],
        wire_arrived=wire["arrived"] + wire["malformed"],
        wire_emitted=wire["emitted"],
        wire_dropped=wire["dropped"],
        card_arrived=events["FrameArrived"] + wire["malformed"],
        card_delivered=events["FrameDelivered"],
        card_dropped=events["FrameDropped"] + wire["malformed"],
        card_emitted=events["FrameEmitted"],
        card_paused=events["PauseFrame"],
        driver_received=side.netif.counter("rx_packets"),
        driver_sent=side.netif.counter("tx_packets"),
    )


def settled(side: Side, namespace: Namespace, tap: str) -> Books:
    """Return the books once they have been the same several times in a row."""
    return wait_still(lambda: read(side, namespace, tap), STILL_LOOKS, Deadline.after(SETTLE_S), "all counters")
