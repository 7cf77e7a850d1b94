# SPDX-License-Identifier: BSD-3-Clause
"""A network interface of the guest, through ethtool, iproute2 and sysfs; what is changed can be undone."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.deadline import Deadline, wait_until
from harness.errors import GuestFault, NotSeen
from harness.guest.ethtool import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.guest.agent import Agent, Done
    from harness.guest.proc import Irq, Proc
    from harness.guest.undo import Undo

COUNTER = re.compile(r"^\s*([\w.-]+):\s*(\d+)$", re.MULTILINE)
BQL_FILES = ("limit", "limit_min", "limit_max", "hold_time", "inflight", "stall_thrs", "stall_cnt", "stall_max")


class ToolRefusedError(GuestFault):
    """ethtool, ip or tc ended with a status other than 0; ``rc`` and ``said`` are what it gave."""

    def __init__(self, argv: Sequence[str], done: Done) -> None:
        self.rc = done.rc
        self.said = (done.err or done.out).strip()
        super().__init__(f"{' '.join(argv)} must succeed in the guest, but ended with {done.rc}: {self.said}")


@dataclass(frozen=True, slots=True)
class PerQueue:
    """One number for each queue."""

    values: tuple[int, ...]

    def __sub__(self, before: PerQueue) -> PerQueue:
        """Return the growth since ``before``."""
        return PerQueue(tuple(now - then for now, then in zip(self.values, before.values, strict=True)))

    def __iter__(self) -> Iterator[int]:
        return iter(self.values)

    def __getitem__(self, queue: int) -> int:
        return self.values[queue]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def total(self) -> int:
        """All queues together."""
        return sum(self.values)


@dataclass(frozen=True, slots=True)
class Bql:
    """A transmit queue's byte_queue_limits folder (Documentation/ABI/testing/sysfs-class-net-queues)."""

    limit: int
    limit_min: int
    limit_max: int
    hold_time: int
    inflight: int
    stall_thrs: int
    stall_cnt: int
    stall_max: int


class NetIf:
    """One interface by name; ``settings`` is what ethtool changes.

    Methods that begin with ``set`` remember the former state in ``undo``.
    """

    def __init__(self, name: str, agent: Agent, proc: Proc, undo: Undo) -> None:
        self.name = name
        self._agent = agent
        self._proc = proc
        self._undo = undo
        self.settings = Settings(self, agent, undo)

    # tools

    def tool(self, *argv: str, check: bool = True, seconds: float = 30.0) -> Done:
        """Run a program in the guest. Raises ToolRefusedError if ``check`` and it fails."""
        done = self._agent.run(argv, seconds)
        if check and done.rc != 0:
            raise ToolRefusedError(argv, done)
        return done

    def ethtool(self, option: str, *words: object, check: bool = True, seconds: float = 30.0) -> Done:
        """Run ``ethtool OPTION NAME WORDS…``."""
        return self.tool("ethtool", option, self.name, *(str(word) for word in words), check=check, seconds=seconds)

    def ip(self, *words: object) -> Done:
        """Run ``ip WORDS…``."""
        return self.tool("ip", *(str(word) for word in words))

    def tc(self, *words: object) -> Done:
        """Run ``tc WORDS…``."""
        return self.tool("tc", *(str(word) for word in words))

    # sysfs

    def path(self, name: str) -> str:
        """Return the path of a file in the interface's sysfs folder."""
        return f"/sys/class/net/{self.name}/{name}"

    def read(self, name: str) -> str:
        """Return a sysfs file, stripped."""
        return self._agent.read(self.path(name)).strip()

    def set_file(self, name: str, value: object) -> None:
        """Write a sysfs file, remembering what it held."""
        self._proc.set(self.path(name), str(value))

    @property
    def queue_count(self) -> tuple[int, int]:
        """Return the numbers of receive and transmit queues."""
        names = self._agent.listdir(self.path("queues"))
        return sum(n.startswith("rx-") for n in names), sum(n.startswith("tx-") for n in names)

    # link

    def up(self) -> None:
        """Bring the interface up."""
        self.ip("link", "set", "dev", self.name, "up")

    def down(self) -> None:
        """Take the interface down."""
        self.ip("link", "set", "dev", self.name, "down")

    def wait_carrier(self, *, present: bool = True, seconds: float = 15.0) -> None:
        """Wait until the carrier is as wanted. Raises GuestFault if it does not come to that."""
        want = "1" if present else "0"
        answer = self._agent.start("wait_text", path=self.path("carrier"), text=want, seconds=seconds).result(
            seconds + 5
        )
        if answer is None:
            raise GuestFault(
                f"{self.name} must have carrier {want} within {seconds:g} s, but operstate is {self.operstate}"
            )

    @property
    def operstate(self) -> str:
        """Return the operational state: up, down, …."""
        return self.read("operstate")

    @property
    def carrier(self) -> bool:
        """Whether the link is there (the interface must be up)."""
        return self.read("carrier") == "1"

    @property
    def mac(self) -> str:
        """The address in force, as aa:bb:cc:dd:ee:ff."""
        return self.read("address")

    @property
    def mtu(self) -> int:
        """The largest packet."""
        return int(self.read("mtu"))

    def set_mtu(self, mtu: int) -> None:
        """Set the largest packet; igb re-initialises its rings for that."""
        before = self.mtu
        self._undo.remember((self.name, "mtu"), lambda: self.ip("link", "set", "dev", self.name, "mtu", before))
        self.ip("link", "set", "dev", self.name, "mtu", mtu)

    def add_address(self, address: str) -> None:
        """Add an address with its prefix length, ready for use at once (no duplicate address detection)."""
        words = ("address", "add", address, "dev", self.name, *(("nodad",) if ":" in address else ()))
        self.ip(*words)
        self._undo.remember((self.name, address), lambda: self.ip("address", "del", address, "dev", self.name))

    def add_neighbour(self, address: str, mac: str) -> None:
        """Make the link-layer address of a neighbour known for good."""
        self.ip("neigh", "replace", address, "lladdr", mac, "dev", self.name, "nud", "permanent")
        way_back = ("neigh", "del", address, "dev", self.name)
        self._undo.remember((self.name, "neigh", address), lambda: self.tool("ip", *way_back, check=False))

    def details(self) -> dict[str, Any]:
        """Return ``ip -j -s -d link show``."""
        found: list[dict[str, Any]] = json.loads(self.ip("-j", "-s", "-d", "link", "show", "dev", self.name).out)
        return found[0]

    # statistics

    def statistics(self) -> dict[str, int]:
        """Return ``ethtool -S``."""
        return {name: int(value) for name, value in COUNTER.findall(self.ethtool("-S").out)}

    def per_queue(self, direction: str, what: str) -> PerQueue:
        """Return a per-queue statistic: direction rx or tx, what packets, bytes, drops, csum_err, restart."""
        numbers = self.statistics()
        pattern = re.compile(rf"{direction}_queue_(\d+)_{what}")
        found = {int(m[1]): value for name, value in numbers.items() if (m := pattern.fullmatch(name))}
        return PerQueue(tuple(found[queue] for queue in sorted(found)))

    def queue_packets(self) -> PerQueue:
        """Return packets received by each queue."""
        return self.per_queue("rx", "packets")

    def counter(self, name: str) -> int:
        """Return a file of the statistics folder."""
        return int(self.read(f"statistics/{name}"))

    # interrupts

    def irqs(self) -> dict[str, Irq]:
        """Return this interface's interrupts by handler name."""
        return self._proc.irqs(self.name)

    # queues

    def bql(self, queue: int) -> Bql:
        """Return a transmit queue's byte queue limits."""
        base = self.path(f"queues/tx-{queue}/byte_queue_limits")
        contents = self._agent.read_many([f"{base}/{name}" for name in BQL_FILES])
        return Bql(*(int(content or 0) for content in contents))

    def read_many(self, paths: Sequence[str]) -> list[str | None]:
        """Return the text of several files of the guest, None for one that cannot be read."""
        return self._agent.read_many(paths)

    def set_bql(self, queue: int, **values: object) -> None:
        """Write byte queue limits files of a transmit queue, as ``limit_max=3000``."""
        for name, value in values.items():
            self.set_file(f"queues/tx-{queue}/byte_queue_limits/{name}", value)

    def set_xps(self, queue: int, cpus: Sequence[int]) -> None:
        """Let these CPUs, and no others, choose a transmit queue."""
        self.set_file(f"queues/tx-{queue}/xps_cpus", mask(cpus))

    def set_rps(self, queue: int, cpus: Sequence[int]) -> None:
        """Steer packets of a receive queue to these CPUs."""
        self.set_file(f"queues/rx-{queue}/rps_cpus", mask(cpus))

    def set_rfs(self, queue: int, entries: int) -> None:
        """Set the flow table size of a receive queue."""
        self.set_file(f"queues/rx-{queue}/rps_flow_cnt", entries)

    def use_pfifo(self, limit: int = 2000) -> None:
        """Replace every queue's fq_codel by a plain pfifo, so that no packet is dropped for its age."""
        _, count = self.queue_count
        self._undo.remember((self.name, "qdisc"), lambda: self.tc("qdisc", "del", "dev", self.name, "root"))
        lines = [f"qdisc replace dev {self.name} root handle 1: mq"]
        lines += [f"qdisc replace dev {self.name} parent 1:{n + 1:x} pfifo limit {limit}" for n in range(count)]
        argv = ("tc", "-batch", "-")
        answer = self._agent.call("run", argv=list(argv), seconds=20.0, stdin="\n".join(lines) + "\n")
        if answer["rc"] != 0:
            raise GuestFault(f"tc must take {lines}, but said: {answer['err']}")

    def qdisc_backlog(self) -> int:
        """Return the packets waiting in all qdiscs of the interface."""
        found = json.loads(self.tc("-j", "-s", "qdisc", "show", "dev", self.name).out)
        return sum(int(item.get("qlen", 0)) for item in found if item.get("kind") != "mq")

    def wait_statistic(self, name: str, least: int, seconds: float = 5.0) -> int:
        """Wait until a counter of ``ethtool -S`` is at least ``least``; return it. Raises NotSeen."""

        def look() -> int | None:
            now = self.statistics()[name]
            return now if now >= least else None

        what = f"{name} of {self.name} reaching {least}"
        return wait_until(look, Deadline.after(seconds), what, NotSeen) if least else 0


def mask(cpus: Sequence[int]) -> str:
    """Return CPUs as the hexadecimal mask that the kernel reads."""
    return f"{sum(1 << cpu for cpu in set(cpus)):x}"
