# SPDX-License-Identifier: BSD-3-Clause
"""Byte queue limits from outside: the card withholds completions and releases them by script; sysfs must follow."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from harness.checks.filling import FULL, filling
from harness.claims import claim

if TYPE_CHECKING:
    from harness.checks.filling import Filling
    from harness.evidence import Evidence
    from harness.lab import Bound


def round_of(queue: Filling) -> tuple[int, int]:
    """Complete all that is in flight with one message; return how many packets that were, and the limit now."""
    count = len(queue.twin.flying)
    queue.release(count)
    return count, queue.expect().limit


@claim("BQL-03")
def test_lone_packets_raise_the_limit_as_predicted(bound: Bound, evidence: Evidence) -> None:
    """A size twice in a row, and one below the limit, neither of which may move it; numbers worked out by hand."""
    limits = []
    with filling(bound) as queue:
        before = queue.messages()
        for size in (98, 98, FULL, FULL, 60):
            queue.send(size)
            queue.expect()
            limits.append(round_of(queue)[1])
        sent = queue.messages() - before
    evidence.note(guest={"limits": limits}, device={"messages": sent, "bytes": queue.handed_over()})
    assert limits == [98, 98, 1612, 1612, 1612]
    assert sent == len(limits)
