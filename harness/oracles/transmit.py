# SPDX-License-Identifier: BSD-3-Clause
"""What a packet becomes on its way out: descriptors, frames, bytes counted; and when the ring stops and wakes.

Sources: igb_tx_map, igb_tso, igb_maybe_stop_tx, igb_clean_tx_irq of Linux 6.12; 82576 data sheet 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: IGB_MAX_DATA_PER_TXD, MAX_SKB_FRAGS + 4 (DESC_NEEDED), 2 * DESC_NEEDED (TX_WAKE_THRESHOLD).
MAX_DATA = 32768
DESC_NEEDED = 21
WAKE = 2 * DESC_NEEDED

SHORTEST_FRAME = 60


def segments(payload: int, segment_size: int) -> int:
    """Return how many frames a segmented payload makes.

    >>> segments(14480, 1448), segments(14481, 1448), segments(1, 1448)
    (10, 11, 1)
    """
    if segment_size < 1:
        raise ValueError(f"a segment size must be 1 or more, not {segment_size}")
    return max(1, -(-payload // segment_size))


def bytecount(skb_length: int, header_length: int = 0, gso_segments: int = 1) -> int:
    """Return the bytes that BQL and the queue's statistics count for one skb (without frame check sequence).

    A segmented skb counts its headers once for each frame on the wire.

    >>> bytecount(1514), bytecount(66 + 14480, 66, 10)
    (1514, 15140)
    """
    return skb_length + (gso_segments - 1) * header_length


def frame_lengths(header_length: int, payload: int, segment_size: int) -> list[int]:
    """Return the lengths on the wire of a segmented skb, padded to 60, without frame check sequence.

    >>> frame_lengths(66, 3000, 1448)
    [1514, 1514, 170]
    """
    count = segments(payload, segment_size)
    parts = [segment_size] * (count - 1) + [payload - segment_size * (count - 1)]
    return [max(header_length + part, SHORTEST_FRAME) for part in parts]


def data_descriptors(buffers: Iterable[int]) -> int:
    """Return how many data descriptors buffers of these lengths take; none covers more than 32768 bytes.

    >>> data_descriptors([1514]), data_descriptors([66, 32768, 32769])
    (1, 4)
    """
    return sum(max(1, -(-length // MAX_DATA)) for length in buffers)


def unused(ring: int, outstanding: int) -> int:
    """Return the free descriptors of a ring as igb_desc_unused counts them: one always stays free."""
    return ring - outstanding - 1


def accepted_until_stop(ring: int, descriptors_each: int = 1) -> int:
    """Return how many packets a ring takes, none completing, before the driver stops the queue.

    >>> accepted_until_stop(256), accepted_until_stop(256, 2)
    (235, 118)
    """
    packets = 0
    while unused(ring, packets * descriptors_each) >= DESC_NEEDED:
        packets += 1
    return packets


def completed_until_wake(ring: int, outstanding: int) -> int:
    """Return how many descriptors must complete before a stopped queue wakes.

    >>> completed_until_wake(256, 235)
    22
    """
    return max(0, WAKE - unused(ring, outstanding))


def octets_on_wire(frames: Iterable[int]) -> int:
    """Return what GOTC counts for frames of these lengths: padded, and 4 bytes of frame check sequence each."""
    return sum(max(length, SHORTEST_FRAME) + 4 for length in frames)
