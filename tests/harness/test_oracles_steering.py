# SPDX-License-Identifier: BSD-3-Clause
"""The oracle of receive packet steering, against numbers worked out by hand."""

from __future__ import annotations

import doctest

from harness.oracles import steering
from harness.oracles.steering import FlowLimit, chosen_cpu


def test_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(steering).failed == 0


def test_hash_is_scaled_to_the_cpus_in_ascending_order() -> None:
    third = (1 << 32) // 3
    assert [chosen_cpu(value, (5, 2, 7)) for value in (0, third, third + 1, 2 * third, 2 * third + 1)] == [
        2,
        2,
        5,
        5,
        7,
    ]


def test_flow_limit_counts_from_half_a_backlog_on_and_remembers() -> None:
    limit = FlowLimit(70)
    mixed = [1 if at % 4 else 2 for at in range(60)]
    dropped = [sum(limit.dropped(mixed)) for _ in range(6)]
    # 35 frames pass uncounted, so each burst counts 25, of which 18 or 19 are the heavy flow's: over 64 in the fourth.
    assert dropped[:3] == [0, 0, 0]
    assert dropped[3] > 0
    assert dropped[5] >= 18


def test_buckets_are_the_lower_bits_of_the_hash() -> None:
    limit = FlowLimit(2)
    assert sum(limit.dropped([7 + 4096 * at for at in range(100)])) == 100 - 1 - 64
