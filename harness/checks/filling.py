# SPDX-License-Identifier: BSD-3-Clause
"""One transmit queue whose completions come by script, beside the oracle that tells every step of it in advance.

A pinned sender owns the queue, nothing else interrupts its vector, and the card sends but reports nothing until told.
So the guest's byte queue limits depend on nothing but what was sent and released.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from harness.checks.bursts import arms, pin, transmit_vector
from harness.checks.sending import CPU, QUEUE, Sender, fetched, packets, pinned_sender, undisturbed
from harness.deadline import Deadline, wait_until
from harness.errors import NotSeen
from harness.lab import GUEST_IPV6, PEER_IPV6, PEER_MAC
from harness.oracles.dql import MAX_LIMIT, Dql
from harness.oracles.stopping import Twin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.guest.netif import Bql
    from harness.lab import Bound
    from harness.seen import Recording, Seen

FULL = 1514
"""The largest untagged frame in bytes, without frame check sequence."""

FIRST = 60
"""Bytes of the packet with which ``start_over`` brings the limits to their beginning."""

NEVER_MS = 600_000
"""A hold time that does not pass during a check."""

NEVER_JIFFIES = 1 << 40
PATIENCE_S = 10.0
WATCHED = ("TxDescriptor", "TxWriteBack", "InterruptSent", "RegisterWritten")


def fresh_twin() -> Twin:
    """Return the twin of a queue that nothing was ever sent on."""
    return Twin(Dql(slack_hold_time=NEVER_JIFFIES))


@dataclass(slots=True)
class Filling:
    """The queue under test. ``twin`` is what the oracle says of it; every step is done on both."""

    bound: Bound
    sender: Sender
    seen: Recording
    vector: int
    twin: Twin = field(default_factory=fresh_twin)
    _fetched_before: int = 0
    _reported_before: int = 0
    _number: int = 0

    @property
    def queue(self) -> int:
        """The queue's number."""
        return self.sender.queue

    def guest(self) -> Bql:
        """Return what sysfs says of the queue."""
        return self.bound.netif.bql(self.queue)

    def handed_over(self) -> list[int]:
        """Return the bytes of every packet that the card has fetched since ``start_over`` or ``cleaned``."""
        return [packet.length for packet in packets(fetched(self.seen, self.queue))[self._fetched_before :]]

    def reported(self) -> int:
        """Return how many packets the card has reported since ``start_over`` or ``cleaned``."""
        return len(self.seen.all("TxWriteBack", self._is_mine)) - self._reported_before

    def messages(self) -> int:
        """Return how many messages of the queue's vector the card has sent."""
        return len(self.seen.all("InterruptSent", lambda event: event.vector == self.vector))

    def start_over(self) -> None:
        """Bring the queue's limits to what they are before the first packet ever, and withhold completions from now on.

        A limit that the next completion must change makes dql_completed forget what went before: limit_max 0 does.
        """
        self.bound.card.release_completions(self.queue)
        self.bound.netif.set_bql(self.queue, limit_max=0, limit=5)
        self.sender.send(1, FIRST)
        what = f"tx-{self.queue} having limit 0 and being idle"
        wait_until(self._is_empty, Deadline.after(PATIENCE_S), what, NotSeen)
        self.bound.netif.set_bql(self.queue, limit_max=MAX_LIMIT)
        self._rest()
        self._forget()
        self.twin = fresh_twin()
        self.bound.card.withhold_completions(self.queue)

    def cleaned(self) -> None:
        """Take note that the driver has cleaned the ring: what was in flight will never be reported."""
        self._forget()
        self.twin.reset()

    def set_limits(self, **values: int) -> None:
        """Write limit, limit_min or limit_max to sysfs and to the twin."""
        self.bound.netif.set_bql(self.queue, **values)
        members = {"limit": "limit", "limit_min": "min_limit", "limit_max": "max_limit"}
        for name, value in values.items():
            setattr(self.twin.dql, members[name], value)

    def raise_limit(self, limit: int) -> None:
        """Bring an idle queue to this ``limit``, larger than 60: one packet completes with limit_min at it."""
        self.set_limits(limit_min=limit)
        self.send(60)
        self.release(1)
        self.set_limits(limit_min=0)
        now = self.expect("after raising the limit")
        assert now.limit == self.twin.dql.limit == limit

    def send(self, *sizes: int) -> None:
        """Send frames of these sizes (22 bytes or more); what does not reach the card waits in the qdisc."""
        for size, group in groupby(sizes):
            count = len(list(group))
            self.sender.send(count, size, first=self._number)
            self._number += count
        self.twin.send(*sizes)

    def release(self, count: int) -> None:
        """Let the card report the oldest ``count`` packets behind one message; return when the guest has polled."""
        armings = len(self._armings())
        released = self.bound.card.release_completions(self.queue, count)
        if released != count:
            raise NotSeen(f"the card must hold back {count} packets of tx-{self.queue}, and had {released}")
        self.seen.wait(armings + 1, Deadline.after(PATIENCE_S), kind="RegisterWritten", where=self._arms)
        self.twin.complete(count)

    def expect(self, what: str = "") -> Bql:
        """Return sysfs once guest and card hold in flight what the twin says, and have come to rest.

        Raises NotSeen when they hold anything else.
        """
        flying = list(self.twin.flying)

        def states() -> tuple[int, list[int]]:
            return self.guest().inflight, self.handed_over()[self.reported() :]

        last: list[Any] = []

        def look() -> bool:
            last[:] = states()
            return last == [sum(flying), flying]

        try:
            wait_until(look, Deadline.after(PATIENCE_S), "the queue holding that", NotSeen)
        except NotSeen as error:
            said = f"guest {last[0]}, card {last[1]}"
            raise NotSeen(f"in flight on tx-{self.queue} must be {flying} {what}, not {said}") from error
        self._rest()
        assert look(), f"in flight on tx-{self.queue} must stay {flying} {what}, not become {last}"
        return self.guest()

    def finish(self) -> None:
        """Let everything go and wait until the queue is idle."""
        self.bound.card.release_completions(self.queue)
        idle = Deadline.after(PATIENCE_S)
        wait_until(lambda: self.guest().inflight == 0, idle, f"tx-{self.queue} being idle", NotSeen)

    def _forget(self) -> None:
        self._fetched_before = len(packets(fetched(self.seen, self.queue)))
        self._reported_before = len(self.seen.all("TxWriteBack", self._is_mine))

    def _is_empty(self) -> bool:
        now = self.guest()
        return (now.limit, now.inflight) == (0, 0)

    def _rest(self) -> None:
        """Wait until the vector is armed and the sender's CPU has left the softirq that it may be in."""

        def armed() -> bool:
            now = self.bound.card.registers("EIMS", "EICR")
            return bool(now["EIMS"] >> self.vector & 1) and not now["EICR"] >> self.vector & 1

        wait_until(armed, Deadline.after(PATIENCE_S), f"vector {self.vector} being armed", NotSeen)
        self.bound.guest.agent.call("clock", cpus=[self.sender.cpu])

    def _is_mine(self, event: Seen) -> bool:
        return bool(event.queue == self.queue)

    def _arms(self, event: Seen) -> bool:
        return arms(event, self.vector)

    def _armings(self) -> list[Seen]:
        return self.seen.all("RegisterWritten", self._arms)


def own_queue(bound: Bound, queue: int = QUEUE, cpu: int = CPU) -> int:
    """Keep every other CPU off transmit queue ``queue`` and bring its interrupts to ``cpu``; return its vector."""
    bound.guest.proc.set_sysctl(f"net.ipv6.conf.{bound.netif.name}.router_solicitations", 0)
    others = [other for other in range(bound.guest.cpus) if other != cpu]
    for other in range(bound.netif.queue_count[1]):
        bound.netif.set_xps(other, [cpu] if other == queue else others)
    pin(bound, f"{bound.netif.name}-tx-{queue}", cpu)
    return transmit_vector(bound, queue)


def without_ipv6(bound: Bound) -> None:
    """Keep IPv6 from greeting a link that comes up again, until the check is over."""
    name, agent = bound.netif.name, bound.guest.agent
    switch = f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6"

    def back() -> None:
        agent.write(switch, "0")
        bound.netif.ip("address", "add", f"{GUEST_IPV6}/64", "dev", name, "nodad")
        bound.netif.ip("neigh", "replace", PEER_IPV6, "lladdr", PEER_MAC, "dev", name, "nud", "permanent")

    bound.guest.undo.remember((name, "ipv6"), back)
    agent.write(switch, "1")


@contextmanager
def filling(bound: Bound, queue: int = QUEUE, cpu: int = CPU) -> Iterator[Filling]:
    """Hand out a queue that is as if it had never been used, its completions withheld."""
    undisturbed(bound)
    bound.netif.use_pfifo()
    bound.netif.set_bql(queue, hold_time=NEVER_MS)
    vector = own_queue(bound, queue, cpu)
    sender = pinned_sender(bound, queue, cpu)
    with bound.card.recording(*WATCHED) as seen:
        made = Filling(bound, sender, seen, vector)
        made.start_over()
        yield made
        made.finish()
