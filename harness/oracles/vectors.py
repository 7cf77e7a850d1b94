# SPDX-License-Identifier: BSD-3-Clause
"""Which MSI-X vectors igb takes and what it calls and writes them (igb_main.c of Linux 6.12, 82576).

Sources: igb_init_queue_configuration, igb_set_flag_queue_pairs, igb_request_msix, igb_assign_vector,
igb_configure_msix; 82576 data sheet 8.8 (GPIE, IVAR, IVAR_MISC).
"""

from __future__ import annotations

MOST_QUEUES = 8
VALID = 0x80

#: E1000_GPIE_PBA, EIAME, MSIX_MODE and NSICR.
GPIE = 0xC0000011

#: Other causes go to vector 0; the TCP timer's entry stays invalid.
IVAR_MISC = 0x8000


def queues(cpus: int) -> int:
    """Return the receive queues that igb takes with this many CPUs online.

    >>> queues(4), queues(12)
    (4, 8)
    """
    return min(MOST_QUEUES, cpus)


def paired(count: int) -> bool:
    """Return whether ``count`` queues share a vector with the transmit queue of their number."""
    return count > MOST_QUEUES // 2


def handlers(count: int, name: str = "eth0") -> dict[str, int]:
    """Return the vector of each handler's name with ``count`` queues.

    >>> handlers(2)
    {'eth0': 0, 'eth0-rx-0': 1, 'eth0-rx-1': 2, 'eth0-tx-0': 3, 'eth0-tx-1': 4}
    >>> list(handlers(5).items())[-1]
    ('eth0-TxRx-4', 5)
    """
    if paired(count):
        return {name: 0} | {f"{name}-TxRx-{queue}": 1 + queue for queue in range(count)}
    receive = {f"{name}-rx-{queue}": 1 + queue for queue in range(count)}
    return {name: 0} | receive | {f"{name}-tx-{queue}": 1 + count + queue for queue in range(count)}


def ivar(count: int, queue: int) -> int:
    """Return what IVAR[queue] holds with ``count`` queues.

    >>> [hex(ivar(4, queue)) for queue in range(4)], hex(ivar(8, 2))
    (['0x8581', '0x8682', '0x8783', '0x8884'], '0x8383')
    """
    receive = 1 + queue
    transmit = receive if paired(count) else receive + count
    return (VALID | transmit) << 8 | VALID | receive
