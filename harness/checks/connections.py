# SPDX-License-Identifier: BSD-3-Clause
"""One TCP connection of the guest to a partner that says nothing but what the check lets it say."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness import frames
from harness.answers_tcp import FIRST_SEQUENCE, answer_tcp
from harness.checks.sending import CPU, SEND_BUFFER, b64, text
from harness.deadline import Deadline, wait_until
from harness.dissect import Packet, dissect
from harness.errors import NotSeen
from harness.frames import ACK, PSH, SYN
from harness.lab import GUEST_IPV4, PEER_IPV4

if TYPE_CHECKING:
    from harness.lab import Bound
    from harness.traffic import Station

PORT = 5003
PATIENCE_S = 10.0
CLOSE_BY_RESET = b64(struct.pack("ii", 1, 0))
"""struct linger: closing resets the connection, so that nothing is sent again."""


def answer_handshake(frame: bytes, station: Station) -> bytes | None:
    """Accept connections and then say nothing: no segment is ever acknowledged."""
    return answer_tcp(frame, station) if dissect(frame).tcp_flags & SYN else None


@dataclass(slots=True)
class Connection:
    """An established connection; ``port`` and ``start`` are the guest's port and its first data's number."""

    bound: Bound
    handle: int
    port: int
    start: int
    said: int = field(default=0)

    def is_mine(self, frame: bytes) -> bool:
        """Tell whether a frame on the wire is the guest's, and of this connection."""
        packet = dissect(frame)
        return (packet.protocol, packet.source_port) == (frames.TCP, self.port)

    def is_data(self, frame: bytes) -> bool:
        """Tell whether a frame is one of this connection's segments with payload."""
        return self.is_mine(frame) and bool(dissect(frame).payload)

    def offset(self, packet: Packet) -> int:
        """Return where in the guest's stream a segment begins."""
        return (packet.tcp_sequence - self.start) & 0xFFFF_FFFF

    def acknowledged(self, frame: bytes) -> int:
        """Return how many bytes of what the partner said a frame of this connection acknowledges; 0 for others."""
        if not self.is_mine(frame):
            return 0
        at = dissect(frame).l4 + 8
        return (int.from_bytes(frame[at : at + 4], "big") - FIRST_SEQUENCE - 1) & 0xFFFF_FFFF

    def acknowledge(self, count: int) -> None:
        """Let the partner acknowledge ``count`` bytes of the guest's stream; return when the guest has heard it."""
        self.bound.peer.send(self.segment(acknowledged=count))
        heard = f"the guest hearing of byte {count}"
        wait_until(lambda: self.unacknowledged() == 0, Deadline.after(PATIENCE_S), heard, NotSeen)

    def tell(self, payload: bytes) -> None:
        """Let the partner say something, and with it offer its whole window; return when the guest has heard it."""
        self.bound.peer.send(self.segment(payload))

        def heard() -> bool:
            waiting = self.bound.guest.agent.call("queued", handle=self.handle)["in"]
            return bool(waiting == self.said)

        wait_until(heard, Deadline.after(PATIENCE_S), "the guest hearing the partner", NotSeen)

    def unacknowledged(self) -> int:
        """Return the bytes of the stream that the partner has not acknowledged (SIOCOUTQ)."""
        return int(self.bound.guest.agent.call("queued", handle=self.handle)["out"])

    def segment(self, payload: bytes = b"", acknowledged: int = 0) -> bytes:
        """Return the partner's next segment, which acknowledges so many bytes of the guest's stream."""
        station, guest = self.bound.peer.station, self.bound.peer.guest
        assert guest is not None
        flags = ACK | (PSH if payload else 0)
        addresses = station.ipv4, guest.ipv4
        body = frames.tcp(
            addresses, PORT, self.port, payload, flags=flags,
            sequence=(FIRST_SEQUENCE + 1 + self.said) & 0xFFFF_FFFF,
            acknowledgement=(self.start + acknowledged) & 0xFFFF_FFFF,
        )  # fmt: skip
        self.said += len(payload)
        head = frames.mac(self.bound.netif.mac), station.mac, frames.ETHERTYPE_IPV4
        return frames.pad(frames.ethernet(*head, frames.ipv4(*addresses, frames.TCP, body)))


def patient(bound: Bound, *options: object, metric: int = 100) -> None:
    """Let no connection to the partner send anything again for lack of an answer, until the check is over.

    ``options`` are more of the route's, as ("initcwnd", 100). A better route, of lower ``metric``, may be added later.
    """
    netif, to = bound.netif, (PEER_IPV4, "dev", bound.netif.name, "metric", metric)
    netif.ip("route", "replace", *to, "src", GUEST_IPV4, "rto_min", "100s", *options)
    bound.guest.undo.remember(("route", metric), lambda: netif.ip("route", "del", *to))
    bound.guest.proc.set_sysctl("net.ipv4.tcp_early_retrans", 0)


def connect(bound: Bound, cpu: int = CPU) -> Connection:
    """Connect to the partner, which must be answering handshakes; closing the socket resets the connection."""
    agent, station = bound.guest.agent, bound.peer.station
    handle = agent.call("open_socket", kind="tcp")
    agent.call("setsockopt", handle=handle, level=socket.SOL_SOCKET, option=socket.SO_LINGER, value=CLOSE_BY_RESET)
    agent.call("setsockopt", handle=handle, level=socket.IPPROTO_TCP, option=socket.TCP_NODELAY, value=1)
    agent.call("buffers", handle=handle, send=SEND_BUFFER, receive=None)
    _, port = agent.call("connect", cpus=[cpu], handle=handle, address=[text(station.ipv4), PORT])
    handshake = bound.peer.expect(2, lambda frame: dissect(frame).source_port == port)
    syn, last = map(dissect, handshake)
    assert (syn.tcp_flags & SYN, last.tcp_flags) == (SYN, ACK)
    return Connection(bound, handle, port, last.tcp_sequence)
