# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's packet generator on one transmit queue: it goes past the qdisc (Documentation/networking/pktgen.rst)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.checks.sending import QUEUE
from harness.deadline import Deadline, wait_until
from harness.errors import NotSeen
from harness.lab import PEER_IPV4

if TYPE_CHECKING:
    from harness.guest.agent import Pending
    from harness.lab import Bound

FOLDER = "/proc/net/pktgen"
CPU = 3
"""Whose thread generates; it is nobody's sender."""

PATIENCE_S = 20.0
DONE = re.compile(r"^Result: OK: .*? usec, (\d+) \(", re.MULTILINE)
SO_FAR = re.compile(r"pkts-sofar: (\d+) ")


@dataclass(frozen=True, slots=True)
class Generator:
    """A generator that is set up and waits for its start."""

    bound: Bound

    def start(self) -> Pending:
        """Let it run; the writer of pgctrl comes back when all has been sent, or sooner."""
        return self.bound.guest.agent.start("write", path=f"{FOLDER}/pgctrl", text="start\n")

    def so_far(self) -> int:
        """Return how many packets it has handed over."""
        found = SO_FAR.search(self._said())
        return int(found[1]) if found else 0

    def wait_done(self, running: Pending) -> int:
        """Wait until what ``start`` began has ended; return how many packets it says it has sent. Raises NotSeen.

        It does not end before its last packet has been completed (pktgen_wait_for_skb).
        """
        done = wait_until(lambda: DONE.search(self._said()), Deadline.after(PATIENCE_S), "pktgen ending", NotSeen)
        running.result(PATIENCE_S)
        return int(done[1])

    def _said(self) -> str:
        return self.bound.guest.agent.read(f"{FOLDER}/{self.bound.netif.name}")


def generator(bound: Bound, *, count: int, size: int, burst: int, queue: int = QUEUE) -> Generator:
    """Make ready to send ``count`` frames of ``size`` bytes on ``queue``, a doorbell for each ``burst`` of them.

    The module is gone after the check.
    """
    agent = bound.guest.agent
    bound.netif.tool("modprobe", "pktgen")
    bound.guest.undo.remember("pktgen", lambda: bound.netif.tool("modprobe", "-r", "pktgen"))
    agent.write(f"{FOLDER}/kpktgend_{CPU}", f"add_device {bound.netif.name}\n")
    options = (
        f"count {count}",
        "clone_skb 0",
        f"burst {burst}",
        f"pkt_size {size}",
        "delay 0",
        f"dst {PEER_IPV4}",
        f"dst_mac {bound.peer.station.mac.hex(':')}",
        f"queue_map_min {queue}",
        f"queue_map_max {queue}",
    )
    agent.write_many((f"{FOLDER}/{bound.netif.name}", f"{option}\n") for option in options)
    return Generator(bound)
