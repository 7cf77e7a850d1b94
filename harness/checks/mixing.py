# SPDX-License-Identifier: BSD-3-Clause
"""Mixed traffic from the guest: on every queue a TCP stream and UDP datagrams, sent by a CPU that owns the queue."""

from __future__ import annotations

import base64
import socket
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from device_model.igb.spec.descriptors import TxContext, TxData
from harness.answers_tcp import answer_tcp
from harness.checks.bursts import pin
from harness.checks.sending import udp_socket
from harness.deadline import Deadline, wait_until
from harness.errors import NotSeen
from harness.lab import PEER_IPV4
from harness.oracles.transmit import bytecount, segments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from harness.lab import Bound
    from harness.seen import Seen

TCP_PORT, UDP_PORT = 5001, 7000
STREAM_S = 60.0
UDP_SIZES = (18, 200, 700, 1472)
APART_US = 500


@contextmanager
def cpu_owns_queue(bound: Bound) -> Iterator[None]:
    """Give every CPU the transmit queue of its number, and the queue's interrupts too."""
    for queue in range(bound.netif.queue_count[1]):
        bound.netif.set_xps(queue, [queue])
        pin(bound, f"{bound.netif.name}-tx-{queue}", queue)
    with bound.peer.answering(answer_tcp):
        yield


@dataclass(frozen=True, slots=True)
class Mix:
    """A TCP connection and a UDP socket for each of ``cpus``."""

    bound: Bound
    cpus: tuple[int, ...]
    tcp: tuple[int, ...]
    udp: tuple[int, ...]

    def round(self, *, stream: int, datagrams: int) -> None:
        """Send from each CPU ``stream`` bytes over TCP and ``datagrams`` datagrams of each size, all at the same time.

        The datagrams keep a distance, so that the queue runs dry now and then.
        """
        start = self.bound.guest.agent.start
        pending = []
        for cpu, tcp, udp in zip(self.cpus, self.tcp, self.udp, strict=True):
            if stream:
                pending.append(start("send_stream", cpus=[cpu], handle=tcp, size=stream, seed=cpu))
            how = {"handle": udp, "count": datagrams, "interval_us": APART_US}
            sizes = UDP_SIZES if datagrams else ()
            pending += [start("send_numbered", cpus=[cpu], size=size, **how) for size in sizes]
        for each in pending:
            each.result(STREAM_S)


def connect_mix(bound: Bound, cpus: Sequence[int] = (0, 1, 2, 3)) -> Mix:
    """Open the sockets; the peer must be answering TCP. Closing them resets the connections: nothing is sent again."""
    agent = bound.guest.agent
    tcp = []
    for cpu in cpus:
        tcp.append(agent.call("open_socket", kind="tcp"))
        abort = base64.b64encode(struct.pack("ii", 1, 0)).decode()
        agent.call("setsockopt", handle=tcp[-1], level=socket.SOL_SOCKET, option=socket.SO_LINGER, value=abort)
        agent.call("connect", cpus=[cpu], handle=tcp[-1], address=[PEER_IPV4, TCP_PORT + cpu])
    udp = [udp_socket(bound, port=UDP_PORT + cpu) for cpu in cpus]
    return Mix(bound, tuple(cpus), tuple(tcp), tuple(udp))


def wait_all_idle(bound: Bound, seconds: float = 15.0) -> None:
    """Wait until no transmit queue has anything waiting or in flight. Raises NotSeen."""
    queues = range(bound.netif.queue_count[1])

    def idle() -> bool:
        return not any(bound.netif.bql(queue).inflight for queue in queues) and not bound.netif.qdisc_backlog()

    wait_until(idle, Deadline.after(seconds), "every transmit queue being idle", NotSeen)


@dataclass(frozen=True, slots=True)
class Sent:
    """One packet as the card fetched it: bytes as the driver counts them, and the frames that it makes.

    ``last`` is the slot that ends it and ``end`` the number of that slot's event.
    """

    queue: int
    last: int
    end: int
    bytes: int
    frames: int


def sent_packets(events: Iterable[Seen]) -> list[Sent]:
    """Return the whole packets in TxDescriptor events of any queues, by the descriptors alone (82576 7.2.2).

    A segmented packet's PAYLEN leaves out the headers, which igb counts once for each frame (Linux igb_tso).
    """
    contexts: dict[tuple[int, int], bytes] = {}
    first: dict[int, int] = {}
    found = []
    for event in events:
        (word,) = struct.unpack_from("<Q", event.raw, 8)
        if TxData.dtyp.of(word) == TxContext.DTYP:
            contexts[event.queue, TxContext.idx.of(word)] = event.raw
            continue
        head = first.setdefault(event.queue, word)
        if TxData.eop.of(word):
            context = contexts.get((event.queue, TxData.idx.of(head)), bytes(16))
            found.append(_sent(event, first.pop(event.queue), context))
    return found


def _sent(event: Seen, head: int, context: bytes) -> Sent:
    payload = TxData.paylen.of(head)
    if not TxData.tse.of(head):
        return Sent(event.queue, event.index, event.number, bytecount(payload), 1)
    low, high = struct.unpack("<QQ", context)
    headers = TxContext.maclen.of(low) + TxContext.iplen.of(low) + TxContext.l4len.of(high)
    count = segments(payload, TxContext.mss.of(high))
    return Sent(event.queue, event.index, event.number, bytecount(headers + payload, headers, count), count)
