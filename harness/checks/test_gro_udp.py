# SPDX-License-Identifier: BSD-3-Clause
"""GRO of UDP: only for a socket that knows how to take several datagrams at once."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING

import pytest

from harness.checks.bursts import PATIENCE_S
from harness.checks.merging import HELD, MERGED, NORMAL, merging
from harness.checks.sending import SOL_UDP
from harness.checks.sinks import UDP_HEADERS, sink
from harness.claims import claim

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

UDP_GRO = 104
"""Linux include/uapi/linux/udp.h."""

SIZE, LAST = 1000, 400
IP_UDP = 28


@claim("GRO-11")
@pytest.mark.parametrize("asked", [True, False])
def test_datagrams_are_merged_only_for_those_who_ask(bound: Bound, evidence: Evidence, asked: bool) -> None:
    """Ten datagrams of 1000 bytes, then five that end with one of 400: messages, their contents, and segment sizes."""
    target = sink(bound)
    if asked:
        bound.guest.agent.call("setsockopt", handle=target.handle, level=SOL_UDP, option=UDP_GRO, value=1)
    first = 0
    with merging(bound) as ring:
        for sizes in ([SIZE] * 10, [SIZE] * 4 + [LAST]):
            frames = target.frames(sizes, first=first)
            first += len(sizes)
            bodies = [data[UDP_HEADERS:] for data in frames]
            wanted = [b"".join(bodies)] if asked else bodies
            receiving = bound.guest.agent.start(
                "receive_messages", handle=target.handle, count=len(wanted), seconds=PATIENCE_S
            )
            found = ring.poll_frames([(None, data) for data in frames])
            answer = receiving.result(PATIENCE_S + 5)
            got = [(length, crc) for length, crc, _ in answer]
            control = [[(level, kind, number(body)) for level, kind, body in each] for _, _, each in answer]
            evidence.note(
                what=f"{sizes}, UDP_GRO {'on' if asked else 'off'}",
                guest={**found.told(), "messages": [length for length, _ in got], "control": control},
                device={"write-backs": len(found.written), "hashes": len({s["rss_hash"] for s in found.written})},
            )
            more = len(sizes) - 1
            assert found.returns == ([HELD] + [MERGED] * more if asked else [NORMAL] * len(sizes))
            assert got == [(len(body), zlib.crc32(body)) for body in wanted]
            assert control == ([[(SOL_UDP, UDP_GRO, SIZE)]] if asked else [[]] * len(sizes))
            assert found.lengths == [IP_UDP + len(body) for body in wanted]
            assert (len(found.written), found.messages) == (len(sizes), 1)


def number(body: str) -> int:
    """Return the number in a control message."""
    return int.from_bytes(base64.b64decode(body), "little")
