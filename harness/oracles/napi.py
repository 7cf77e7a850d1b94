# SPDX-License-Identifier: BSD-3-Clause
"""How a burst is cut into polls, refills, lists and completions (net/core/dev.c, igb_main.c of Linux 6.12).

Each function takes a burst that was announced by one message after it was complete, and nothing else arriving.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: NAPI_POLL_WEIGHT, IGB_RX_BUFFER_WRITE, net.core.gro_normal_batch, IGB_DEFAULT_TX_WORK.
BUDGET = 64
REFILL = 16
LIST_BATCH = 8
TX_WORK = 128


def receive_polls(frames: int) -> list[int]:
    """Return the work of each poll of ``frames`` frames: full ones until less than a budget is left, then that.

    >>> receive_polls(63), receive_polls(64), receive_polls(200)
    ([63], [64, 0], [64, 64, 64, 8])
    """
    return [BUDGET] * (frames // BUDGET) + [frames % BUDGET]


def tail_steps(frames: int) -> list[int]:
    """Return the steps of the receive tail for ``frames`` single-buffer frames, polls taken together.

    >>> tail_steps(40), tail_steps(100)
    ([16, 16, 8], [16, 16, 16, 16, 16, 16, 4])
    """
    return [REFILL] * (frames // REFILL) + ([frames % REFILL] if frames % REFILL else [])


def list_calls(frames: int, batch: int = LIST_BATCH) -> int:
    """Return the calls of netif_receive_skb_list_internal for frames that GRO does not hold; a poll ends a list.

    >>> [list_calls(frames) for frames in (1, 16, 17, 40, 64, 100)]
    [1, 2, 3, 5, 8, 13]
    """
    return sum(-(-work // batch) for work in receive_polls(frames))


def transmit_polls(packets: int) -> list[int]:
    """Return the work that the polls of a transmit vector report for ``packets`` completed packets.

    A poll that used up its limit of packets reports a full budget, the last one reports 0.

    >>> transmit_polls(127), transmit_polls(128), transmit_polls(256)
    ([0], [64, 0], [64, 64, 0])
    """
    return [BUDGET] * (packets // TX_WORK) + [0]


def shared_polls(packets: int, frames: int) -> list[int]:
    """Return the work of each poll of a vector that serves ``packets`` completions and ``frames`` frames (igb_poll).

    Completions that used up their limit make the poll report a full budget, whatever was received.

    >>> shared_polls(5, 7), shared_polls(100, 63), shared_polls(128, 3)
    ([7], [63], [64, 0])
    """
    works = []
    while True:
        cleaned, received = min(packets, TX_WORK), min(frames, BUDGET)
        packets, frames = packets - cleaned, frames - received
        done = cleaned < TX_WORK and received < BUDGET
        works.append(received if done else BUDGET)
        if done:
            return works


def squeezes(full_polls: int, budget: int) -> bool:
    """Return whether one net_rx_action that makes ``full_polls`` polls of 64 runs out of its packet budget.

    >>> squeezes(1, 64), squeezes(1, 65), squeezes(4, 300), squeezes(5, 300)
    (True, False, False, True)
    """
    return full_polls * BUDGET >= budget


def repeats_after_full(polls: Sequence[tuple[str, int]]) -> list[str]:
    """Return the NAPIs that were polled again after a full poll, in the (napi, work) events of one net_rx_action.

    >>> repeats_after_full([("a", 64), ("b", 3), ("b", 0)]), repeats_after_full([("a", 64), ("b", 3), ("a", 8)])
    ([], ['a'])
    """
    full: set[str] = set()
    repeated = []
    for napi, work in polls:
        if napi in full:
            repeated.append(napi)
        if work == BUDGET:
            full.add(napi)
    return [napi for napi, _ in groupby(repeated)]
