# SPDX-License-Identifier: BSD-3-Clause
"""Receive side scaling as the 82576 data sheet (7.1.1.7) defines it: Toeplitz hash, indirection table, queue.

Written apart from the device model, in another way (one long integer instead of a table), so that both can be wrong
only in different places.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

KEY_BYTES = 40
TABLE_ENTRIES = 128
TCP = 6
UDP = 17

#: The key of the published test vectors ("Verifying the RSS hash calculation", Microsoft).
PUBLISHED_KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")


@dataclass(frozen=True, slots=True)
class Flow:
    """What tells one flow from another. Addresses are texts of one family; ports count for TCP and UDP only."""

    source: str
    destination: str
    protocol: int = 0
    source_port: int = 0
    destination_port: int = 0
    fragment: bool = False


@dataclass(frozen=True, slots=True)
class Rss:
    """The settings of the card: the key, the 128 entries of the table, and which UDP flows are hashed with ports."""

    key: bytes
    table: tuple[int, ...]
    udp4_ports: bool = False
    udp6_ports: bool = False

    def __post_init__(self) -> None:
        """Refuse a key or table of another size."""
        if len(self.key) != KEY_BYTES:
            raise ValueError(f"an RSS key must be {KEY_BYTES} bytes, not {len(self.key)}")
        if len(self.table) != TABLE_ENTRIES:
            raise ValueError(f"an indirection table must have {TABLE_ENTRIES} entries, not {len(self.table)}")

    def hash_of(self, flow: Flow) -> int:
        """Return the hash that the card writes back for a frame of ``flow``."""
        return toeplitz(self.key, hashed_bytes(flow, with_ports=self._with_ports(flow)))

    def queue_of(self, flow: Flow) -> int:
        """Return the queue on which a frame of ``flow`` lands."""
        return self.table[self.hash_of(flow) & 0x7F]

    def spread(self, flows: Iterable[Flow]) -> Counter[int]:
        """Count how many of ``flows`` land on each queue."""
        return Counter(self.queue_of(flow) for flow in flows)

    def _with_ports(self, flow: Flow) -> bool:
        if flow.fragment:
            return False
        if flow.protocol == UDP:
            return self.udp6_ports if ":" in flow.source else self.udp4_ports
        return flow.protocol == TCP


def toeplitz(key: bytes, data: bytes) -> int:
    """Return the 32-bit Toeplitz hash: for each set bit of ``data``, the 32 bits of ``key`` that begin at its place.

    >>> source, destination = ipaddress.ip_address("66.9.149.187"), ipaddress.ip_address("161.142.100.80")
    >>> hex(toeplitz(PUBLISHED_KEY, source.packed + destination.packed))
    '0x323e8fc2'
    """
    if len(data) + 4 > len(key):
        raise ValueError(f"hashed data must be at most {len(key) - 4} bytes under this key, not {len(data)}")
    key_bits = len(key) * 8
    number = int.from_bytes(key, "big")
    total = 0
    for index in range(len(data) * 8):
        if data[index // 8] >> (7 - index % 8) & 1:
            total ^= number >> (key_bits - 32 - index) & 0xFFFFFFFF
    return total


def hashed_bytes(flow: Flow, *, with_ports: bool) -> bytes:
    """Return what is hashed: source address, destination address and perhaps both ports, in network order."""
    data = ipaddress.ip_address(flow.source).packed + ipaddress.ip_address(flow.destination).packed
    if with_ports:
        data += flow.source_port.to_bytes(2, "big") + flow.destination_port.to_bytes(2, "big")
    return data


def blocks(queues: int) -> tuple[int, ...]:
    """Return the table that igb_setup_mrqc writes at open: (i * n) / 128.

    >>> blocks(4)[31:33], blocks(3)[42:44]
    ((0, 1), (0, 1))
    """
    return tuple(index * queues // TABLE_ENTRIES for index in range(TABLE_ENTRIES))


def round_robin(queues: int) -> tuple[int, ...]:
    """Return the table of ``ethtool -X default`` and ``equal n``: i mod n."""
    return tuple(index % queues for index in range(TABLE_ENTRIES))


def weighted(weights: Sequence[int]) -> tuple[int, ...]:
    """Return the table that ``ethtool -X weight ...`` makes: each queue a run of entries as long as its weight says.

    >>> Counter(weighted([1, 3]))
    Counter({1: 96, 0: 32})
    """
    table, queue, partial = [], -1, 0
    for index in range(TABLE_ENTRIES):
        while index >= TABLE_ENTRIES * partial // sum(weights):
            queue += 1
            partial += weights[queue]
        table.append(queue)
    return tuple(table)


def key_words(key: bytes) -> tuple[int, ...]:
    """Return the values of RSSRK[0..9] for a key: little-endian words in order (igb_setup_mrqc)."""
    return tuple(int.from_bytes(key[start : start + 4], "little") for start in range(0, KEY_BYTES, 4))


def table_words(table: Sequence[int]) -> tuple[int, ...]:
    """Return the values of RETA[0..31] for a table: four entries a word, the first in the low byte."""
    return tuple(int.from_bytes(bytes(table[start : start + 4]), "little") for start in range(0, TABLE_ENTRIES, 4))
