# SPDX-License-Identifier: BSD-3-Clause
"""Interrupt moderation: what ``ethtool -C`` writes to EITR, and what the adaptive setting computes from traffic.

Sources: igb_set_coalesce, igb_write_itr, igb_update_ring_itr of Linux 6.12; 82576 data sheet 8.8.12 (EITR).
"""

from __future__ import annotations

from dataclasses import dataclass

INTERVAL_MASK = 0x7FFC
KEEP_COUNTER = 0x80000000

#: Values of igb.h, in quarter microseconds: IGB_START_ITR, IGB_20K_ITR, IGB_4K_ITR.
START_ITR = 648
ITR_20K = 196
ITR_4K = 980

#: The settings of rx-usecs that mean "adaptive" and "adaptive, without the lowest latency".
DYNAMIC = 1
CONSERVATIVE = 3


def accepts(usecs: int) -> bool:
    """Return whether igb takes this rx-usecs: 0, 1, 3 or 10 to 10000.

    >>> [usecs for usecs in range(12) if accepts(usecs)], accepts(10000), accepts(10001)
    ([0, 1, 3, 10, 11], True, False)
    """
    return usecs in {0, DYNAMIC, CONSERVATIVE} or 10 <= usecs <= 10000


def eitr(itr: int) -> int:
    """Return the value written to EITR for an interval in quarter microseconds; the counter is left alone.

    >>> hex(eitr(4 * 50)), hex(eitr(769))
    ('0x800000c8', '0x80000300')
    """
    return itr & INTERVAL_MASK | KEEP_COUNTER


def fixed_eitr(usecs: int) -> int:
    """Return the value written to EITR for a fixed rx-usecs of 10 or more."""
    if not 10 <= usecs <= 10000:
        raise ValueError(f"a fixed interval must be 10 to 10000 us, not {usecs}")
    return eitr(usecs << 2)


def interval_us(register: int) -> int:
    """Return the microseconds between two messages that a value of EITR asks for."""
    return (register & INTERVAL_MASK) >> 2


def most_messages(window_us: float, register: int) -> int:
    """Return how many messages of one vector may lie in a window; the first may come at once.

    >>> most_messages(1_000_000, fixed_eitr(200))
    5001
    """
    interval = interval_us(register)
    if interval == 0:
        raise ValueError("a bound on messages must come from an interval above 0, not EITR 0")
    return int(window_us // interval) + 1


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a vector's rings did in the polls since the last adjustment."""

    rx_packets: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0


def adaptive_itr(before: int, traffic: Traffic, setting: int = CONSERVATIVE, *, gigabit: bool = True) -> int:
    """Return the next interval of a vector in quarter microseconds, as igb_update_ring_itr computes it.

    >>> adaptive_itr(START_ITR, Traffic(rx_packets=1, rx_bytes=60)), adaptive_itr(START_ITR, Traffic(1, 60), DYNAMIC)
    (196, 42)
    >>> adaptive_itr(START_ITR, Traffic(rx_packets=2, rx_bytes=2 * 1514))
    769
    """
    if not gigabit:
        return ITR_4K
    average = traffic.rx_bytes // traffic.rx_packets if traffic.rx_packets else 0
    if traffic.tx_packets:
        average = max(average, traffic.tx_bytes // traffic.tx_packets)
    if average == 0:
        return before
    average = min(average + 24, 3000)
    after = average // 3 if 300 < average < 1200 else average // 2
    return ITR_20K if after < ITR_20K and setting == CONSERVATIVE else after
