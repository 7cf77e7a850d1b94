# SPDX-License-Identifier: BSD-3-Clause
"""A TCP connection whose far end is the check itself: each segment to the guest is written by hand."""

from __future__ import annotations

import base64
import socket
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness import frames
from harness.checks.bursts import PATIENCE_S
from harness.checks.merging import Segment, stream, train
from harness.dissect import dissect
from harness.lab import GUEST_IPV4
from harness.traffic import Flow, frame

if TYPE_CHECKING:
    from harness.guest.agent import Pending
    from harness.lab import Bound

PORT, SOURCE_PORT = 5301, 41000
FIRST_SEQUENCE = 0x1357_9BDF
READ_S = 2 * PATIENCE_S


@dataclass(frozen=True, slots=True)
class Connection:
    """An open connection of the guest, and the flow towards it; ``acknowledged`` is what its segments acknowledge."""

    bound: Bound
    handle: int
    flow: Flow
    acknowledged: int

    def train(self, *sizes: int, at: int = 0) -> list[Segment]:
        """Return consecutive segments of the connection with the bytes from place ``at`` of the stream on."""
        tcp = {"acknowledgement": self.acknowledged}
        return train(self.flow, *sizes, at=at, tcp=tcp, begin=FIRST_SEQUENCE + 1)

    def start(self, size: int) -> Pending:
        """Begin to read ``size`` bytes in the guest."""
        return self.bound.guest.agent.start("receive_stream", handle=self.handle, size=size, seconds=READ_S)


def connect(bound: Bound, port: int = PORT) -> Connection:
    """Open a connection to the guest. Closing it resets it, so that nothing is sent again after the check."""
    agent, guest = bound.guest.agent, bound.peer.guest
    assert guest is not None
    listener = agent.call("open_socket", kind="tcp")
    abort = base64.b64encode(struct.pack("ii", 1, 0)).decode()
    agent.call("setsockopt", handle=listener, level=socket.SOL_SOCKET, option=socket.SO_LINGER, value=abort)
    agent.call("bind", handle=listener, address=[GUEST_IPV4, port])
    agent.call("listen", handle=listener)
    accepting = agent.start("accept", handle=listener, seconds=PATIENCE_S)
    flow = Flow(bound.peer.station, guest, 4, "tcp", SOURCE_PORT, port)

    def accepts(data: bytes) -> bool:
        packet = dissect(data)
        return (packet.source_port, packet.tcp_flags) == (port, frames.SYN | frames.ACK)

    bound.peer.send(frame(flow, b"", sequence=FIRST_SEQUENCE, flags=frames.SYN))
    [answer] = bound.peer.expect(1, accepts)
    acknowledged = dissect(answer).tcp_sequence + 1 & 0xFFFF_FFFF
    bound.peer.send(Segment(flow, 0, 0, 0, {"acknowledgement": acknowledged}, begin=FIRST_SEQUENCE + 1).frame)
    handle, _ = accepting.result(PATIENCE_S + 5)
    return Connection(bound, handle, flow, acknowledged)


def crc_of(size: int) -> dict[str, Any]:
    """Return what the guest must say of the first ``size`` bytes of the stream."""
    return {"got": size, "crc": zlib.crc32(stream(0, size)), "why": "size"}


def told(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what the guest said of a stream that it read: how much, its CRC-32, and why it ended."""
    return {name: answer[name] for name in ("got", "crc", "why")}
