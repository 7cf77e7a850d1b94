# SPDX-License-Identifier: BSD-3-Clause
"""A UDP socket of the guest that says of each datagram how long it was and what its CRC-32 is."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.lab import GUEST_IPV4
from harness.traffic import Flow, frame, numbered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.guest.agent import Pending
    from harness.lab import Bound

PORT = 5201
UDP_HEADERS = 42


@dataclass(frozen=True, slots=True)
class Sink:
    """A UDP socket of the guest, and the flow from the link partner to it."""

    bound: Bound
    handle: int
    flow: Flow

    def frames(self, sizes: Sequence[int], first: int = 0) -> list[bytes]:
        """Return frames with payloads of ``sizes`` bytes, numbered from ``first`` on."""
        return [frame(self.flow, numbered(self.flow.number, first + n, size)) for n, size in enumerate(sizes)]

    def start(self, count: int, seconds: float) -> Pending:
        """Begin to receive ``count`` datagrams within ``seconds``."""
        return self.bound.guest.agent.start("receive", handle=self.handle, count=count, seconds=seconds, keep=16)


def sink(bound: Bound, port: int = PORT, receive_buffer: int = 16 << 20) -> Sink:
    """Open the guest's socket for ``port``; it is closed after the check."""
    agent = bound.guest.agent
    handle = agent.call("open_socket", kind="udp")
    agent.call("bind", handle=handle, address=[GUEST_IPV4, port])
    agent.call("buffers", handle=handle, send=None, receive=receive_buffer)
    guest = bound.peer.guest
    assert guest is not None
    return Sink(bound, handle, Flow(bound.peer.station, guest, 4, "udp", 40000, port, port))


def summaries(frames: Sequence[bytes]) -> list[tuple[int, int]]:
    """Return length and CRC-32 of the datagram in each frame, without what pads a short one."""
    payloads = [data[UDP_HEADERS:][: int.from_bytes(data[38:40], "big") - 8] for data in frames]
    return [(len(payload), zlib.crc32(payload)) for payload in payloads]


def got(answer: dict[str, Any]) -> list[tuple[int, int]]:
    """Return length and CRC-32 of each datagram that the guest received."""
    return [(length, crc) for length, crc, _, _ in answer["got"]]
