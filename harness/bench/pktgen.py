# SPDX-License-Identifier: BSD-3-Clause
"""Transmit: the kernel's packet generator, one thread a queue (Linux Documentation/networking/pktgen.rst)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.bench.figures import Quantity
from harness.bench.wirings import DISCARD
from harness.deadline import Deadline, wait_until
from harness.errors import GuestFault

if TYPE_CHECKING:
    from harness.bench.rig import Side
    from harness.guest.agent import Agent

FOLDER = "/proc/net/pktgen"
FCS = 4
HEADER = 14
TRIAL = 1000
LEAST, MOST = 500, 3_000_000
FOR_S = 1.0
RUN_S = 90.0
COME_S = 5.0
OUTCOME = re.compile(r"^Result: OK: (\d+)\(.*?\) usec, (\d+) \(", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Generated:
    """What pktgen says of a run: packets that the driver took, in microseconds."""

    packets: int
    usec: int

    @property
    def rate(self) -> float:
        """Packets per second."""
        return self.packets * 1e6 / self.usec if self.usec else 0.0


def parse(text: str) -> Generated | None:
    """Read the result out of a device's file (net/core/pktgen.c: show_results); None while there is none."""
    found = OUTCOME.search(text)
    return None if found is None else Generated(int(found[2]), int(found[1]))


def devices(text: str) -> list[str]:
    """Return the interfaces that a thread's file names (net/core/pktgen.c: pktgen_thread_show)."""
    lines = (line.partition(":") for line in text.splitlines())
    return [name for key, _, names in lines if key in ("Running", "Stopped") for name in names.split()]


@dataclass(frozen=True, slots=True)
class Transmit:
    """Frames of ``size`` bytes (64 counts the FCS, as on the wire; 1500 is the MTU), ``burst`` to a doorbell.

    Each of ``queues`` has a thread of its own; every buffer is sent ``clones`` times more before the next is made.
    """

    size: int
    queues: int
    burst: int
    clones: int

    @property
    def name(self) -> str:
        """How the workload is called."""
        return f"transmit {self.size} B, {self.queues} queues, burst {self.burst}, clones {self.clones}"

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What it measures: by the guest's clock and count, and what the card's own count lacks of it."""
        return (
            Quantity(self.name, "packets/s"),
            Quantity(f"{self.name}: not counted by the card", "% of sent", more_is_better=False),
        )

    @property
    def frame_bytes(self) -> int:
        """The frame as pktgen counts it, without FCS."""
        return self.size - FCS if self.size == 64 else self.size + HEADER

    def measure(self, side: Side) -> tuple[float, ...]:
        """Run for about a second, after a short trial that tells how much that is."""
        prepare(side, self.queues)
        trial = self._run(side, TRIAL)
        count = min(MOST, max(LEAST, round(trial.rate / self.queues * FOR_S)))
        before = side.netif.counter("tx_packets")
        generated = self._run(side, count)
        sent = side.netif.counter("tx_packets") - before
        return generated.rate, 100.0 * (generated.packets - sent) / generated.packets

    def _run(self, side: Side, count: int) -> Generated:
        """Let every thread send ``count`` packets; their rates add up, for they run side by side."""
        agent = side.guest.agent
        devices = [f"{FOLDER}/{side.netif.name}@{queue}" for queue in range(self.queues)]
        for queue, device in enumerate(devices):
            settings = (
                f"count {count}",
                f"pkt_size {self.frame_bytes}",
                f"burst {self.burst}",
                f"clone_skb {self.clones}",
                "delay 0",
                f"dst {side.partner}",
                f"dst_mac {side.partner_mac}",
                f"udp_dst_min {DISCARD}",
                f"udp_dst_max {DISCARD}",
                f"queue_map_min {queue}",
                f"queue_map_max {queue}",
            )
            agent.write_many((device, setting) for setting in settings)
        deadline = Deadline.after(RUN_S)
        agent.start("write", path=f"{FOLDER}/pgctrl", text="start\n").result(deadline.remaining)
        # The writer gives a thread an eighth of a second to begin and then takes it for done (pktgen_run_all_threads).
        found = [
            wait_until(lambda: parse(agent.read(device)), deadline, f"pktgen on {device}", GuestFault)  # noqa: B023 - called at once
            for device in devices
        ]
        return Generated(sum(each.packets for each in found), max(each.usec for each in found))


def prepare(side: Side, queues: int) -> None:
    """Give ``queues`` generators this interface and no other, on CPUs in turn, and each queue's interrupt too."""
    agent, cpus = side.guest.agent, side.guest.cpus
    if not agent.exists(FOLDER):
        side.run("modprobe", "pktgen", seconds=20.0)
    side.with_queues(max(queues, min(cpus, 8)))
    for cpu in range(cpus):
        let_go(agent, f"{FOLDER}/kpktgend_{cpu}")
    for queue in range(queues):
        cpu = cpus - 1 - queue % cpus
        agent.write(f"{FOLDER}/kpktgend_{cpu}", f"add_device {side.netif.name}@{queue}")
        for name, irq in side.netif.irqs().items():
            if name.endswith((f"-tx-{queue}", f"-TxRx-{queue}")):
                side.guest.proc.set_affinity(irq.number, [cpu])


def let_go(agent: Agent, thread: str) -> None:
    """Take all interfaces from a generator's thread."""
    agent.write(thread, "rem_device_all")
    wait_until(lambda: not devices(agent.read(thread)), Deadline.after(COME_S), f"{thread} letting go of interfaces")
