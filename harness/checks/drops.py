# SPDX-License-Identifier: BSD-3-Clause
"""Why the guest's kernel freed a packet, by the names that it prints itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.guest.trace import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.guest.ringbuffer import Record
    from harness.lab import Bound

FREED = "skb:kfree_skb"
REASON = re.compile(r'\{\s*(\w+),\s*"(\w+)"\s*\}')


def drop_reason(bound: Bound, name: str) -> int:
    """Return the number of a drop reason (enum skb_drop_reason), out of the format of the event."""
    listed = REASON.findall(bound.guest.agent.read(f"{ROOT}/events/{FREED.replace(':', '/')}/format"))
    return {text: int(number, 0) for number, text in listed}[name]


def freed_for(records: Iterable[Record], reason: int) -> list[Record]:
    """Return the packets freed for ``reason``."""
    return [record for record in records if record.name == FREED and record["reason"] == reason]
