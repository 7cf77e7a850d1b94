# SPDX-License-Identifier: BSD-3-Clause
"""What the driver has mapped for DMA, as the guest's trace tells it (Linux include/trace/events/dma.h, from 6.12 on).

Each mapping carries the call stacks that made and ended it. Times are on whatever clock ``on_card`` leads to.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.guest.trace import STACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from harness.guest.ringbuffer import Record
    from harness.lab import Bound

MAP, UNMAP = "dma:dma_map_page", "dma:dma_unmap_page"
EVENTS = (MAP, UNMAP)
"""igb maps with dma_map_page_attrs alone: dma_map_single and skb_frag_dma_map are calls of it."""

MACHINERY = ("trace_event_", "__traceiter_", "dma_")
"""How functions begin that say nothing in a stack."""

FOREVER = 1 << 63
DEPTH = 8


@dataclass(frozen=True, slots=True)
class Doing:
    """Who called, when and whence: the innermost function first."""

    t_ns: int
    who: str
    stack: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"by {self.who}" + (f": {' < '.join(self.stack[:DEPTH])}" if self.stack else "")


@dataclass(slots=True, eq=False)
class Mapping:
    """Memory that the card may reach from ``begun`` to ``ended`` (None: still)."""

    address: int
    size: int
    begun: Doing
    ended: Doing | None = None

    @property
    def until_ns(self) -> int:
        """When it ended."""
        return FOREVER if self.ended is None else self.ended.t_ns

    def holds(self, address: int, size: int) -> bool:
        """Say whether all of a buffer is in it."""
        return self.address <= address and address + size <= self.address + self.size


class Mappings:
    """All mappings of one device. ``unmatched`` are unmappings of what was never seen mapped."""

    def __init__(self) -> None:
        self.all: list[Mapping] = []
        self.unmatched: list[tuple[int, int, Doing]] = []
        self._open: dict[int, list[Mapping]] = {}
        self._by_address: dict[int, list[Mapping]] | None = None
        self._addresses: list[int] = []
        self._largest = 0

    def follow(
        self,
        records: Sequence[Record],
        device: str,
        on_card: Callable[[int], int],
        names: Callable[[int], str],
    ) -> None:
        """Take note of a trace's records; ``device`` is its PCI address, ``names`` gives the function of an address."""
        self._by_address = None
        for record, stack in with_stacks(records):
            if record["device"] != device:
                continue
            who = f"{record.comm}-{record.pid} on CPU {record.cpu}"
            frames = tuple(name for name in map(names, stack) if name and not name.startswith(MACHINERY))
            doing = Doing(on_card(record.t), who, frames)
            if record.name == MAP:
                made = Mapping(record["dma_addr"], record["size"], doing)
                self.all.append(made)
                self._open.setdefault(made.address, []).append(made)
                continue
            address, size = record["addr"], record["size"]
            mine = self._open.get(address, [])
            found = next((each for each in mine if each.size == size), None)
            if found is None:
                self.unmatched.append((address, size, doing))
            else:
                found.ended = doing
                mine.remove(found)

    def near(self, address: int, size: int) -> Iterator[Mapping]:
        """Yield those that hold the whole buffer, whenever they did."""
        if self._by_address is None:
            self._by_address = {}
            for mapping in self.all:
                self._by_address.setdefault(mapping.address, []).append(mapping)
            self._addresses = sorted(self._by_address)
            self._largest = max((mapping.size for mapping in self.all), default=0)
        at = bisect_right(self._addresses, address)
        for start in reversed(self._addresses[:at]):
            if start + self._largest < address + size:
                return
            yield from (each for each in self._by_address[start] if each.holds(address, size))


def with_stacks(records: Iterable[Record]) -> Iterator[tuple[Record, tuple[int, ...]]]:
    """Yield each mapping or unmapping with the addresses of its call stack, which follows it on its CPU."""
    waiting: dict[int, list[Record]] = {}
    done: list[tuple[Record, tuple[int, ...]]] = []
    for record in records:
        if record.name in EVENTS:
            waiting.setdefault(record.cpu, []).append(record)
        elif record.name == STACK and waiting.get(record.cpu):
            # An interrupt between an event and its stack has both of its own in between: the newest comes first.
            words = record["caller"]
            callers = tuple(int.from_bytes(words[at : at + 8], "little") for at in range(0, record["size"] * 8, 8))
            done.append((waiting[record.cpu].pop(), callers))
    done += [(record, ()) for left in waiting.values() for record in left]
    done.sort(key=lambda pair: pair[0].t)
    yield from done


def pci_address(bound: Bound) -> str:
    """Return how the guest calls the card: ``0000:01:00.0``."""
    link: str = bound.guest.agent.call("readlink", path=f"/sys/class/net/{bound.netif.name}/device")
    return link.rpartition("/")[2]
