# SPDX-License-Identifier: BSD-3-Clause
"""Transmit: the kernel's packet generator on one queue (Linux Documentation/networking/pktgen.rst)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.bench.figures import Quantity
from harness.bench.rig import DISCARD
from harness.deadline import Deadline, wait_until
from harness.errors import GuestFault

if TYPE_CHECKING:
    from harness.bench.rig import Side

FOLDER = "/proc/net/pktgen"
QUEUE = 0
FCS = 4
HEADER = 14
TRIAL = 1000
LEAST, MOST = 500, 3_000_000
FOR_S = 1.0
RUN_S = 90.0
COME_S = 5.0
CLONES = 1_000_000
"""One buffer is sent over and over, so that the guest's allocator is not what is measured."""

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
    """Frames of ``size`` bytes (64 counts the FCS, as on the wire; 1500 is the MTU), ``burst`` to a doorbell."""

    size: int
    burst: int

    @property
    def name(self) -> str:
        """How the workload is called."""
        return f"transmit {self.size} B, burst {self.burst}"

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What it measures: by the guest's clock and count, by the far end's, and what lies between the two."""
        return (
            Quantity(f"{self.name}, by the guest", "packets/s"),
            Quantity(f"{self.name}, by the wire", "packets/s"),
            Quantity(f"{self.name}, lost on the wire", "% of sent", more_is_better=False),
        )

    @property
    def frame_bytes(self) -> int:
        """The frame as pktgen counts it, without FCS."""
        return self.size - FCS if self.size == 64 else self.size + HEADER

    def measure(self, side: Side) -> tuple[float, ...]:
        """Run for about a second, after a short trial that tells how much that is."""
        prepare(side)
        trial = self._run(side, TRIAL)
        count = min(MOST, max(LEAST, round(trial.rate * FOR_S)))
        side.wire.restart()
        generated = self._run(side, count)
        came = side.wire.counted(generated.packets, Deadline.after(COME_S))
        return generated.rate, came.rate, 100.0 * (generated.packets - came.frames) / generated.packets

    def _run(self, side: Side, count: int) -> Generated:
        agent = side.guest.agent
        device = f"{FOLDER}/{side.netif.name}"
        settings = (
            f"count {count}",
            f"pkt_size {self.frame_bytes}",
            f"burst {self.burst}",
            f"clone_skb {CLONES}",
            "delay 0",
            f"dst {side.partner}",
            f"dst_mac {side.partner_mac}",
            f"udp_dst_min {DISCARD}",
            f"udp_dst_max {DISCARD}",
            f"queue_map_min {QUEUE}",
            f"queue_map_max {QUEUE}",
        )
        agent.write_many((device, setting) for setting in settings)
        deadline = Deadline.after(RUN_S)
        agent.start("write", path=f"{FOLDER}/pgctrl", text="start\n").result(deadline.remaining)
        # The writer gives a thread an eighth of a second to begin and then takes it for done (pktgen_run_all_threads).
        return wait_until(lambda: parse(agent.read(device)), deadline, f"pktgen on {side.netif.name}", GuestFault)


def prepare(side: Side) -> None:
    """Give the generator of one CPU this interface and no other, and the queue's interrupt to the same CPU."""
    cpu = side.guest.cpus - 1
    if not side.guest.agent.exists(FOLDER):
        side.run("modprobe", "pktgen", seconds=20.0)
    agent, thread = side.guest.agent, f"{FOLDER}/kpktgend_{cpu}"
    agent.write(thread, "rem_device_all")
    wait_until(lambda: not devices(agent.read(thread)), Deadline.after(COME_S), f"{thread} letting go of interfaces")
    agent.write(thread, f"add_device {side.netif.name}")
    for name, irq in side.netif.irqs().items():
        if name.endswith((f"-tx-{QUEUE}", f"-TxRx-{QUEUE}")):
            side.guest.proc.set_affinity(irq.number, [cpu])
