# SPDX-License-Identifier: BSD-3-Clause
"""Memory that nobody has written: the guest's kernel fills it with bytes of its own, and no frame may carry them.

``slub_debug=P`` fills slab objects with POISON_FREE until they are written, ``page_poison=1`` fills free pages (Linux
include/linux/poison.h). Whoever sends sixteen such bytes in a row on purpose is taken for a driver that sends rubbish.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.sanitizer.judge import UNWRITTEN, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from harness.seen import Seen

LEAST = 16
PATTERN = re.compile(rb"\x6b{%d,}|\xaa{%d,}|\x5a{%d,}" % (LEAST, LEAST, LEAST))
WHAT = {0x6B: "slab object that nobody has written", 0xAA: "page that nobody has written", 0x5A: "slab object's end"}


def unwritten(events: Iterable[Seen]) -> Iterator[Finding]:
    """Yield each frame that left with poison in it, and the newest descriptor fetched from its queue before."""
    newest: dict[int, Seen] = {}
    for event in events:
        if event.kind == "TxDescriptor":
            newest[event.queue] = event
        if event.kind != "FrameEmitted":
            continue
        found = PATTERN.search(event.frame)
        if found is None:
            continue
        slot = f" slot {newest[event.queue].index}" if event.queue in newest else ""
        where = f"tx-{event.queue}{slot}, bytes {found.start()} to {found.end() - 1} of a frame of {len(event.frame)}"
        yield Finding(UNWRITTEN, where, (f"{found[0][0]:#04x} throughout, as in a {WHAT[found[0][0]]}",))
