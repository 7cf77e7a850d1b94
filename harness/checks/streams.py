# SPDX-License-Identifier: BSD-3-Clause
"""A TCP stream of the guest, seen everywhere: skbs above and below the qdisc, descriptors, frames, bytes."""

from __future__ import annotations

import base64
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import frames
from harness.answers_tcp import answer_tcp
from harness.checks.sending import CPU, PATIENCE_S, QUEUE, fetched, packets
from harness.deadline import Deadline, wait_until
from harness.dissect import dissect
from harness.errors import NotSeen
from harness.guest.probes import Probe
from harness.guest.program.sockets import pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.checks.sending import Packet
    from harness.guest.ringbuffer import Record
    from harness.lab import Bound
    from harness.traffic import Station

QUEUED, STARTED = "net:net_dev_queue", "net:net_dev_start_xmit"
SEGMENTED = Probe("f", "off", "gso", "__skb_gso_segment")
"""The stack segments for itself."""

STREAM, SEED = 60_000, 0x35
STREAM_S = 30.0
HEADERS_MOST = 160
"""No frame without payload is longer, tunnel included."""

ABORT = base64.b64encode(struct.pack("ii", 1, 0)).decode()


@dataclass(frozen=True, slots=True)
class Stream:
    """One connection: its skbs with payload at both places, how often software cut one, its packets and frames.

    ``whole`` says whether the partner got the very bytes that were sent.
    """

    queued: list[Record]
    started: list[Record]
    cut: int
    packets: list[Packet]
    frames: list[bytes]
    whole: bool


def abort_at_close(bound: Bound, handle: int) -> None:
    """Let closing the socket end its connection at once, so that nothing of it disturbs a later check."""
    bound.guest.agent.call("setsockopt", handle=handle, level=socket.SOL_SOCKET, option=socket.SO_LINGER, value=ABORT)


def send_stream(
    bound: Bound,
    to: str,
    port: int,
    answerer: Callable[[bytes, Station], bytes | None] = answer_tcp,
    inside: Callable[[bytes], bytes] = lambda frame: frame,
) -> Stream:
    """Send 60 000 bytes over a new connection to ``port`` at ``to``, which ``answerer`` plays.

    ``inside`` takes a frame off the wire and gives the frame whose TCP counts: in a tunnel they differ.
    """
    agent, name = bound.guest.agent, bound.netif.name
    bound.netif.set_xps(QUEUE, [CPU])
    only = dict.fromkeys((QUEUED, STARTED), f'name == "{name}" && len > {HEADERS_MOST}')
    with (
        bound.peer.answering(answerer),
        bound.guest.trace.session(QUEUED, STARTED, probes=[SEGMENTED], filters=only) as trace,
        bound.card.recording("TxDescriptor") as seen,
    ):
        handle = agent.call("open_socket", kind="tcp", family=10 if ":" in to else 2)
        abort_at_close(bound, handle)
        agent.call("connect", cpus=[CPU], handle=handle, address=[to, port])
        agent.call("send_stream", cpus=[CPU], within_s=STREAM_S, handle=handle, size=STREAM, seed=SEED)
        came = Deadline.after(PATIENCE_S)
        wait_until(lambda: covered(bound, port, inside) >= STREAM, came, f"{STREAM} bytes for port {port}", NotSeen)
        agent.call("close", handle=handle)
        bound.peer.expect(1, lambda frame: is_reset(inside(frame), port))
    taken = [one for queue in range(bound.netif.queue_count[1]) for one in packets(fetched(seen, queue))]
    arrived = [arrival.frame for arrival in bound.peer.arrivals]
    return Stream(
        [record for record in trace.records if record.name == QUEUED],
        [record for record in trace.records if record.name == STARTED],
        len(trace.named(SEGMENTED.event)),
        [packet for packet in taken if packet.length > HEADERS_MOST],
        [frame for frame in arrived if is_data(inside(frame), port)],
        received(bound, port, inside) == pattern(SEED, 0, STREAM),
    )


def is_data(frame: bytes, port: int) -> bool:
    """Say whether a frame carries payload to TCP ``port``."""
    packet = dissect(frame)
    return packet.protocol == frames.TCP and packet.destination_port == port and bool(packet.payload)


def is_reset(frame: bytes, port: int) -> bool:
    """Say whether a frame ends the connection to TCP ``port``: nothing of it comes after that."""
    packet = dissect(frame)
    return packet.protocol == frames.TCP and packet.destination_port == port and bool(packet.tcp_flags & frames.RST)


def received(bound: Bound, port: int, inside: Callable[[bytes], bytes]) -> bytes:
    """Return the stream that came to ``port``, put together by sequence number, as far as it has no gap."""
    segments = [dissect(inside(arrival.frame)) for arrival in bound.peer.arrivals]
    segments = [one for one in segments if one.protocol == frames.TCP and one.destination_port == port]
    starts = [one.tcp_sequence + 1 for one in segments if one.tcp_flags & frames.SYN]
    data = bytearray()
    for one in sorted(segments, key=lambda one: (one.tcp_sequence - starts[0]) & 0xFFFFFFFF):
        at = (one.tcp_sequence - starts[0]) & 0xFFFFFFFF
        if one.payload and at <= len(data):
            data[at : at + len(one.payload)] = one.payload
    return bytes(data)


def covered(bound: Bound, port: int, inside: Callable[[bytes], bytes]) -> int:
    """Return how many bytes of the stream have come."""
    return len(received(bound, port, inside))
