# SPDX-License-Identifier: BSD-3-Clause
"""Mixed traffic from the guest: on every queue a TCP stream and UDP datagrams of all sizes, each from a CPU of its own."""

from __future__ import annotations

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

    from harness.guest.agent import Pending
    from harness.lab import Bound
    from harness.seen import Seen

TCP_PORT, UDP_PORT = 5001, 7000
STREAM_S = 60.0
UDP_SIZES = (18, 200, 700, 1472)


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
    """Senders under way."""

    pending: tuple[Pending, ...]

    def finish(self) -> int:
        """Wait for all of them; return how many payload bytes or datagrams they sent."""
        return sum(int(each.result(STREAM_S)["sent"]) for each in self.pending)


def start_mix(bound: Bound, cpus: Sequence[int], *, stream: int, datagrams: int) -> Mix:
    """Start on each CPU a TCP stream of ``stream`` bytes and ``datagrams`` datagrams of each size."""
    agent = bound.guest.agent
    pending = []
    for cpu in cpus:
        if stream:
            tcp = agent.call("open_socket", kind="tcp")
            agent.call("connect", cpus=[cpu], handle=tcp, address=[PEER_IPV4, TCP_PORT + cpu])
            pending.append(agent.start("send_stream", cpus=[cpu], handle=tcp, size=stream, seed=cpu))
        if datagrams:
            udp = udp_socket(bound, port=UDP_PORT + cpu)
        for size in UDP_SIZES if datagrams else ():
            pending.append(agent.start("send_numbered", cpus=[cpu], handle=udp, count=datagrams, size=size))
    return Mix(tuple(pending))


def wait_all_idle(bound: Bound, seconds: float = 15.0) -> None:
    """Wait until no transmit queue has anything waiting or in flight. Raises NotSeen."""
    queues = range(bound.netif.queue_count[1])

    def idle() -> bool:
        return not any(bound.netif.bql(queue).inflight for queue in queues) and not bound.netif.qdisc_backlog()

    wait_until(idle, Deadline.after(seconds), "every transmit queue being idle", NotSeen)


@dataclass(frozen=True, slots=True)
class Sent:
    """One packet as the card fetched it: the slot that ends it, bytes as the driver counts them, frames it makes."""

    queue: int
    last: int
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
            found.append(_sent(event.queue, event.index, first.pop(event.queue), context))
    return found


def _sent(queue: int, last: int, head: int, context: bytes) -> Sent:
    payload = TxData.paylen.of(head)
    if not TxData.tse.of(head):
        return Sent(queue, last, bytecount(payload), 1)
    low, high = struct.unpack("<QQ", context)
    headers = TxContext.maclen.of(low) + TxContext.iplen.of(low) + TxContext.l4len.of(high)
    count = segments(payload, TxContext.mss.of(high))
    return Sent(queue, last, bytecount(headers + payload, headers, count), count)
