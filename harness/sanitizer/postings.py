# SPDX-License-Identifier: BSD-3-Clause
"""What the driver has handed to the card, buffer by buffer, as the card's events tell it.

A buffer is the card's from the fetch of its descriptor to the write-back (82576 data sheet 7.1, 7.2); a reset, and
disabling its queue, give it back too. Clocks are the card's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from device_model.igb.spec.descriptors import RxRead, RxWriteback, TxContext, TxData
from device_model.igb.spec.receive import RLPML, RXDCTL, SRRCTL
from device_model.igb.spec.transmit import TXDCTL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from harness.card import Card
    from harness.seen import Seen

KINDS = (
    "DmaRead", "DmaWrite", "TxDescriptor", "RxDescriptor", "TxWriteBack", "RxWriteBack", "RegisterWritten",
    "DeviceReset",
)  # fmt: skip
"""Events that the account needs."""

PAGE = 4096
KIB = 1024
INDEXED = re.compile(r"(TXDCTL|RXDCTL|SRRCTL)\[(\d+)\]")
ENABLE = {"TXDCTL": TXDCTL.enable, "RXDCTL": RXDCTL.enable}
USES = {"tx-payload": "read", "rx-payload": "written"}


@dataclass(slots=True, eq=False)
class Posting:
    """One buffer in the card's hands: ``direction`` is tx or rx; times are 0 for what has not happened.

    ``whole`` says that the account of its ring began before anything was handed over in it.
    """

    direction: str
    queue: int
    index: int
    address: int
    size: int
    fetched_ns: int
    whole: bool
    used_ns: int = 0
    done_ns: int = 0

    @property
    def where(self) -> str:
        """Its descriptor, in words."""
        return f"{self.direction}-{self.queue} slot {self.index}, {self.size} bytes at {self.address:#x}"

    @property
    def last_use(self) -> tuple[int, str]:
        """When the card last did something with it, and what."""
        return max(
            (self.fetched_ns, "fetched its descriptor"),
            (self.used_ns, "read it" if self.direction == "tx" else "wrote to it"),
            (self.done_ns, "reported it"),
        )

    def overlaps(self, other: Posting) -> bool:
        """Say whether both hold a byte."""
        return self.address < other.address + other.size and other.address < self.address + self.size


@dataclass(frozen=True, slots=True)
class Clash:
    """``newer`` was handed over while ``older``, which holds some of the same memory, was the card's."""

    older: Posting
    newer: Posting

    @property
    def same(self) -> bool:
        """Whether it is the very same buffer."""
        return (self.older.address, self.older.direction) == (self.newer.address, self.newer.direction)


@dataclass(slots=True)
class Sizes:
    """How large a receive buffer is: what SRRCTL says for its queue, but no frame is longer than RLPML.

    Linux igb names 2 KiB for a buffer that begins 64 bytes into half a page, and lets RLPML guard the rest.
    """

    buffer: int = 2 * KIB
    longest: int = 1522
    queues: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of_card(cls, card: Card) -> Sizes:
        """Return what the registers of a card say now."""
        values = card.registers("RLPML", *(f"SRRCTL[{n}]" for n in range(SRRCTL.count)))
        queues = {n: SRRCTL.bsizepacket.of(values[f"SRRCTL[{n}]"]) * KIB for n in range(SRRCTL.count)}
        return cls(longest=RLPML.rlpml.of(values["RLPML"]), queues=queues)

    def of(self, queue: int) -> int:
        """Return the bytes that a frame may take in a buffer of ``queue``."""
        return min(self.queues.get(queue, self.buffer), self.longest)


class Postings:
    """Follows the card's events in order, from a moment at which no transmit ring holds anything.

    ``all`` has every buffer that was handed over, ``clashes`` what met, ``strays`` the DMA of payload to or from memory
    that was not the card's.
    """

    def __init__(self, sizes: Sizes | None = None) -> None:
        self.all: list[Posting] = []
        self.clashes: list[Clash] = []
        self.strays: list[Seen] = []
        self.resets = 0
        self._sizes = sizes or Sizes()
        self._rings: dict[tuple[str, int], dict[int, Posting]] = {}
        self._enabled: dict[str, bool] = {}
        self._whole: set[tuple[str, int]] = set()
        self._pages: dict[int, set[Posting]] = {}

    def follow(self, events: Iterable[Seen]) -> None:
        """Take note of ``events``."""
        for event in events:
            match event.kind:
                case "TxDescriptor":
                    fields = TxData.decode(event.raw)
                    if fields["dtyp"] != TxContext.DTYP and fields["dtalen"]:
                        self._post("tx", event, fields["address"], fields["dtalen"])
                case "RxDescriptor":
                    self._post("rx", event, RxRead.decode(event.raw)["packet_address"], self._sizes.of(event.queue))
                case "DmaRead" | "DmaWrite" if event.purpose in USES:
                    self._use(event)
                case "TxWriteBack":
                    self._transmitted(event)
                case "RxWriteBack" if RxWriteback.decode(event.raw)["length"]:
                    self._finish(("rx", event.queue), event.index, event.t_ns)
                case "RegisterWritten":
                    self._written(event)
                case "DeviceReset":
                    self.resets += 1
                    self._whole |= set(self._rings) | {(way, n) for way in ("tx", "rx") for n in range(16)}
                    for name in self._rings:
                        self._empty(name, event.t_ns)

    def held(self) -> Iterator[Posting]:
        """Yield what is the card's now."""
        for ring in self._rings.values():
            yield from ring.values()

    def _post(self, direction: str, event: Seen, address: int, size: int) -> None:
        name = direction, event.queue
        ring = self._rings.setdefault(name, {})
        if event.index in ring:
            self._finish(name, event.index, event.t_ns)
        whole = self._is_whole(direction, event.queue)
        posting = Posting(direction, event.queue, event.index, address, size, event.t_ns, whole)
        for other in {other for page in pages(posting) for other in self._pages.get(page, ())}:
            if "rx" in (other.direction, direction) and posting.overlaps(other):
                self.clashes.append(Clash(other, posting))
        ring[event.index] = posting
        self.all.append(posting)
        for page in pages(posting):
            self._pages.setdefault(page, set()).add(posting)

    def _is_whole(self, direction: str, queue: int) -> bool:
        """Say whether nothing was handed over in a ring before the account began: at rest, transmit rings are empty."""
        return direction == "tx" or (direction, queue) in self._whole

    def _use(self, event: Seen) -> None:
        direction = event.purpose[:2]
        found = False
        for posting in self._pages.get(event.iova // PAGE, ()):
            if (posting.direction, posting.queue) == (direction, event.queue) and (
                posting.address <= event.iova and event.iova + event.size <= posting.address + posting.size
            ):
                posting.used_ns = event.t_ns
                found = True
        if not found and self._is_whole(direction, event.queue):
            self.strays.append(event)

    def _transmitted(self, event: Seen) -> None:
        """A packet is reported in its last slot: all older ones are done, too."""
        ring = self._rings.get(("tx", event.queue), {})
        if event.index not in ring:
            return
        for index in list(ring):
            self._finish(("tx", event.queue), index, event.t_ns)
            if index == event.index:
                return

    def _finish(self, name: tuple[str, int], index: int, t_ns: int, *, reported: bool = True) -> None:
        posting = self._rings.get(name, {}).pop(index, None)
        if posting is None:
            return
        if reported:
            posting.done_ns = t_ns
        for page in pages(posting):
            self._pages[page].discard(posting)

    def _empty(self, name: tuple[str, int], t_ns: int) -> None:
        for index in list(self._rings.get(name, ())):
            self._finish(name, index, t_ns, reported=False)

    def _written(self, event: Seen) -> None:
        if event.register == "RLPML":
            self._sizes.longest = RLPML.rlpml.of(event.value)
            return
        found = INDEXED.fullmatch(event.register)
        if not found:
            return
        queue = int(found[2])
        if found[1] == "SRRCTL":
            self._sizes.queues[queue] = SRRCTL.bsizepacket.of(event.value) * KIB
            return
        enabled = bool(ENABLE[found[1]].of(event.value))
        if enabled != self._enabled.get(event.register, not enabled):
            self._empty((found[1][:2].lower(), queue), event.t_ns)
        self._enabled[event.register] = enabled


def pages(posting: Posting) -> range:
    """Return the numbers of the pages that a buffer touches."""
    return range(posting.address // PAGE, (posting.address + max(posting.size, 1) - 1) // PAGE + 1)
