# SPDX-License-Identifier: BSD-3-Clause
"""The fixed workload: numbered datagrams both ways over every queue; what a driver owes in whatever order they come."""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.deadline import Deadline, wait_until
from harness.dissect import dissect
from harness.errors import GuestFault, LabBroken, NotSeen
from harness.explore.moves import Shape
from harness.guest.program.sockets import numbered
from harness.lab import GUEST_IPV4, PEER_IPV4
from harness.oracles.vectors import handlers
from harness.traffic import frame

if TYPE_CHECKING:
    from harness.explore.moves import Move
    from harness.explore.schedule import Schedule
    from harness.lab import Bound

EACH = 75
FLOWS_A_QUEUE = 4
"""Of those that come: more flows than queues, and the hash decides which goes where."""

FRAMES = EACH * FLOWS_A_QUEUE
"""Datagrams a queue and direction: more than one poll of a driver may clean."""

SLOTS = 1024
"""Of each ring: all datagrams fit, each with a context descriptor, so that a card may take them before it says so."""

SIZE = 100
PORT = 7000
ROOM = 1 << 20
"""Bytes that byte queue limits let into the even queues at least; the odd ones keep their own limits."""

NO_LIMIT = 10_000
"""Packets in a queueing discipline: none is dropped there for having waited."""

BUFFER = 16 << 20
"""Bytes of a socket: neither sender nor receiver waits for the other."""

REST_S = 2.0
NO_NET = "ignore_eics on=true"
"""Every two seconds the watchdog causes an interrupt on each vector (igb_watchdog_task), which would hide a queue that
was forgotten: the card does not listen."""

PATIENCE_S = 20.0
LOOK_S = 0.2
QUIET_S = 1.0
"""Whoever hears nothing for so long has got all that there is: a message is late by LIMIT_US at most."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of the workload showed: sentences about what the driver owed and did not do, if any.

    ``made`` counts the moves that the card has really made: those whose event came.
    """

    owed: tuple[str, ...]
    made: int = 0

    @property
    def harmed(self) -> bool:
        """Whether the driver misbehaved."""
        return bool(self.owed)


class Workload:
    """Runs on ``bound``, whose guest it prepares; one run takes about a second."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
        self._queues = bound.netif.queue_count[1]
        agent = bound.guest.agent
        bound.netif.settings.set_rings(SLOTS, SLOTS)
        self._out = [self._socket() for _ in range(self._queues)]
        self._in = [self._socket() for _ in range(self._queues)]
        for queue, handle in enumerate(self._in):
            agent.call("bind", handle=handle, address=[GUEST_IPV4, PORT + queue])
        for queue in range(self._queues):
            bound.netif.set_file(f"queues/tx-{queue}/xps_cpus", f"{1 << queue:x}")
        for queue in range(0, self._queues, 2):
            bound.netif.set_file(f"queues/tx-{queue}/byte_queue_limits/limit_min", ROOM)
        bound.netif.wait_carrier()
        bound.netif.tc("qdisc", "replace", "dev", bound.netif.name, "root", "handle", "1:", "mq")
        for queue, handle in enumerate(self._out):
            parent = f"1:{queue + 1:x}"
            bound.netif.tc("qdisc", "replace", "dev", bound.netif.name, "parent", parent, "pfifo", "limit", NO_LIMIT)
            self._warm_up(queue, handle)
        self._flows = FLOWS_A_QUEUE * self._queues
        flows = [
            replace(flow, destination_port=PORT + flow.number % self._queues) for flow in bound.peer.flows(self._flows)
        ]
        self._coming = [frame(flow, numbered(bytes([flow.number]), n, SIZE)) for n in range(EACH) for flow in flows]
        vectors = handlers(self._queues)
        self.shape = Shape(self._queues, tuple(sorted(set(vectors.values()) - {0})), FRAMES)

    def _socket(self) -> int:
        agent = self._bound.guest.agent
        handle = int(agent.call("open_socket", kind="udp"))
        agent.call("buffers", handle=handle, send=BUFFER, receive=BUFFER)
        return handle

    def _warm_up(self, queue: int, handle: int) -> None:
        """Wait until what is sent arrives: after a reset the queues drop for a while, even with the carrier there."""

        def arrives() -> bool:
            self._bound.guest.agent.call("send_numbered", handle=handle, count=1, size=SIZE, address=self._there(queue))
            try:
                return bool(self._bound.peer.expect(1, _ours, Deadline.after(LOOK_S)))
            except NotSeen:
                return False

        wait_until(arrives, Deadline.after(PATIENCE_S), f"the first datagram to port {PORT + queue} arriving")

    def _there(self, queue: int) -> list[str | int]:
        return [PEER_IPV4, PORT + queue]

    def run(self, schedule: Schedule) -> Outcome:
        """Send and receive while the card makes the moves of ``schedule``. LabBroken: it is the lab's fault."""
        card = self._bound.card
        card.heal()
        card.fault_as(NO_NET)
        first = [self._rules_of(move) for move in schedule]
        try:
            owed = self._traffic()
        except GuestFault as error:
            owed = [str(error)]
        made = {rule["rule"] for rule in card.rules() if rule["acted"]}
        card.heal()
        return Outcome(tuple(owed), len(made.intersection(first)))

    def _rules_of(self, move: Move) -> int:
        """Put a move's rules in force; return the number of the first, which begins it."""
        numbers = [int(self._bound.card.rule(text)["rule"]) for text in move.rules()]
        return numbers[0]

    def _traffic(self) -> list[str]:
        bound, agent, peer = self._bound, self._bound.guest.agent, self._bound.peer
        peer.forget()
        before = bound.netif.statistics()
        told = bound.card.counts()
        sinks = [
            agent.start("receive", handle=handle, count=FRAMES, seconds=PATIENCE_S, quiet_s=QUIET_S, keep=5)
            for handle in self._in
        ]
        sending = [
            agent.start(
                "send_numbered", handle=handle, count=FRAMES, size=SIZE, address=self._there(queue), cpus=[queue]
            )
            for queue, handle in enumerate(self._out)
        ]
        peer.send_burst(self._coming)
        owed = []
        for queue, each in enumerate(sending):
            try:
                each.result(PATIENCE_S)
            except LabBroken:
                bound.guest.check()
                owed.append(f"the sender on CPU {queue} must get rid of {FRAMES} datagrams, and hangs")
        got = [each.result(PATIENCE_S + 5)["got"] for each in sinks]
        grown = {kind: count - told[kind] for kind, count in bound.card.counts().items()}
        dropped = grown["FrameDropped"]
        heads = [base64.b64decode(head) for answer in got for _, _, _, head in answer]
        came: list[list[int]] = [[] for _ in range(self._flows)]
        for head in heads:
            came[head[0]].append(int.from_bytes(head[1:5], "big"))
        for flow, numbers in enumerate(came):
            owed += _in_order(f"datagrams of flow {flow} to the guest", numbers, EACH, dropped)
            dropped -= EACH - len(set(numbers))
        owed += self._sent()
        owed += self._rest(before)
        if grown["GuestError"]:
            owed.append(f"the driver must not ask for nonsense, and did {grown['GuestError']} times")
        bound.guest.check()
        return owed

    def _sent(self) -> list[str]:
        """Say what is missing at the far end of the wire."""
        try:
            frames = self._bound.peer.expect(FRAMES * self._queues, _ours, Deadline.after(REST_S))
        except NotSeen:
            frames = [arrival.frame for arrival in self._bound.peer.arrivals if _ours(arrival.frame)]
        by_port: dict[int, list[int]] = {PORT + queue: [] for queue in range(self._queues)}
        for data in frames:
            by_port[int.from_bytes(data[36:38], "big")].append(int.from_bytes(data[42:46], "big"))
        return [
            sentence
            for port, numbers in by_port.items()
            for sentence in _in_order(f"datagrams to our port {port}", numbers, FRAMES)
        ]

    def _rest(self, before: dict[str, int]) -> list[str]:
        """Say what the driver has not cleaned up although all has been written back."""
        netif = self._bound.netif
        paths = [netif.path(f"queues/tx-{queue}/byte_queue_limits/inflight") for queue in range(self._queues)]
        unclean: list[str] = []

        def clean() -> bool:
            inflight = self._bound.guest.agent.read_many(paths)
            unclean[:] = [
                f"queue {queue} must have nothing in flight, and has {text.strip()} bytes"
                for queue, text in enumerate(inflight)
                if text is not None and int(text)
            ]
            return not unclean

        try:
            wait_until(clean, Deadline.after(REST_S), "everything being cleaned up")
        except LabBroken:
            return unclean
        now = netif.statistics()
        cleaned = sum(
            now[f"tx_queue_{queue}_packets"] - before[f"tx_queue_{queue}_packets"] for queue in range(self._queues)
        )
        wanted = FRAMES * self._queues
        return [f"the driver must have cleaned {wanted} packets, and says {cleaned}"] if cleaned < wanted else []


def _ours(data: bytes) -> bool:
    packet = dissect(data)
    return packet.protocol == 17 and PORT <= int.from_bytes(data[36:38], "big") < PORT + 64


def _in_order(what: str, numbers: list[int], count: int, dropped: int = 0) -> list[str]:
    """Say what is wrong with ``count`` datagrams numbered from 0 on, of which ``dropped`` at most may be missing."""
    missing = count - len(set(numbers))
    twice = sum(many - 1 for many in Counter(numbers).values())
    told = [f"{missing} are missing"] * (missing > max(0, dropped)) + [f"{twice} came twice"] * bool(twice)
    told += ["their order is another"] * (numbers != sorted(numbers))
    return [f"{what} must come once and in order, and {', '.join(told)}"] if told else []
