# SPDX-License-Identifier: BSD-3-Clause
"""What the guest's /proc says, typed: softirq statistics, interrupts, counters, sysctls, the kernel log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.guest.agent import Agent
    from harness.guest.undo import Undo

TAINTED = "/proc/sys/kernel/tainted"


@dataclass(frozen=True, slots=True)
class Softnet:
    """One CPU's line of /proc/net/softnet_stat (net/core/net-procfs.c: softnet_seq_show)."""

    cpu: int
    processed: int
    dropped: int
    time_squeeze: int
    received_rps: int
    flow_limit_count: int
    backlog_len: int
    input_qlen: int
    process_qlen: int

    def __sub__(self, before: Softnet) -> Softnet:
        """Return the growth of the counters; lengths are those of now."""
        return Softnet(
            self.cpu,
            self.processed - before.processed,
            self.dropped - before.dropped,
            self.time_squeeze - before.time_squeeze,
            self.received_rps - before.received_rps,
            self.flow_limit_count - before.flow_limit_count,
            self.backlog_len,
            self.input_qlen,
            self.process_qlen,
        )


class Lines(dict[str, "Irq"]):
    """Interrupts by handler name. Asked for one direction of a queue, it finds the line that both directions share.

    That is ``eth0-TxRx-2`` for ``eth0-rx-2`` and ``eth0-tx-2``, where the driver pairs them (Linux igb_request_msix).
    """

    def __missing__(self, name: str) -> Irq:
        shared = re.sub(r"-[rt]x-([0-9]+)$", r"-TxRx-\1", name)
        if shared not in self:
            raise KeyError(name)
        return self[shared]


@dataclass(frozen=True, slots=True)
class Irq:
    """One line of /proc/interrupts: what each CPU has counted, chip and the name of its handler."""

    number: int
    counts: tuple[int, ...]
    chip: str
    name: str

    @property
    def total(self) -> int:
        """Interrupts on all CPUs."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record of the kernel log."""

    sequence: int
    level: int
    usec: int
    text: str


class Proc:
    """Reads /proc and writes sysctls; what is written is remembered in ``undo``."""

    def __init__(self, agent: Agent, undo: Undo) -> None:
        self._agent = agent
        self._undo = undo

    def softnet(self) -> tuple[Softnet, ...]:
        """Return every CPU's softirq statistics."""
        return parse_softnet(self._agent.read("/proc/net/softnet_stat"))

    def interrupts(self) -> dict[int, Irq]:
        """Return the numbered interrupts."""
        return parse_interrupts(self._agent.read("/proc/interrupts"))

    def irqs(self, prefix: str = "eth0") -> Lines:
        """Return the interrupts whose handler is ``prefix`` or ``prefix-…``, by handler name."""
        found = self.interrupts().values()
        return Lines({irq.name: irq for irq in found if irq.name == prefix or irq.name.startswith(f"{prefix}-")})

    def affinity(self, irq: int) -> tuple[int, ...]:
        """Return the CPUs that an interrupt is really delivered to."""
        return parse_cpu_list(self._agent.read(f"/proc/irq/{irq}/effective_affinity_list"))

    def set_affinity(self, irq: int, cpus: Sequence[int]) -> None:
        """Allow an interrupt on these CPUs."""
        path = f"/proc/irq/{irq}/smp_affinity_list"
        self.set(path, ",".join(str(cpu) for cpu in cpus))

    def set(self, path: str, text: str) -> None:
        """Write a file of /proc or /sys that shows what was written, and remember what it held."""
        if not self._undo.knows(path):
            before = self._agent.read(path).strip()
            self._undo.remember(path, lambda: self._agent.write(path, before))
        self._agent.write(path, text)

    def sysctl(self, name: str) -> str:
        """Return a sysctl by its dotted name."""
        return self._agent.read(f"/proc/sys/{name.replace('.', '/')}").strip()

    def set_sysctl(self, name: str, value: object) -> None:
        """Set a sysctl by its dotted name."""
        self.set(f"/proc/sys/{name.replace('.', '/')}", str(value))

    def rss_key(self) -> bytes:
        """Return the 52 bytes of net.core.netdev_rss_key."""
        return bytes(int(part, 16) for part in self.sysctl("net.core.netdev_rss_key").split(":"))

    def snmp(self) -> dict[str, int]:
        """Return /proc/net/snmp, netstat and snmp6 as ``UdpInErrors``-style names."""
        two_lined = self._agent.read("/proc/net/snmp") + self._agent.read("/proc/net/netstat")
        numbers = parse_two_lined(two_lined)
        for line in self._agent.read("/proc/net/snmp6").splitlines():
            name, value = line.split()
            numbers[name] = int(value)
        return numbers

    def tainted(self) -> int:
        """Return the taint bits."""
        return int(self._agent.read(TAINTED))

    def log(self, since: int = -1) -> tuple[LogRecord, ...]:
        """Return the kernel log after sequence number ``since``."""
        return tuple(LogRecord(*record) for record in self._agent.call("kmsg", since=since))


def parse_softnet(content: str) -> tuple[Softnet, ...]:
    """Return softnet_stat's lines."""
    lines = []
    for line in content.splitlines():
        n = [int(word, 16) for word in line.split()]
        lines.append(Softnet(n[12], n[0], n[1], n[2], n[9], n[10], n[11], n[13], n[14]))
    return tuple(lines)


def parse_interrupts(content: str) -> dict[int, Irq]:
    """Return the numbered lines of /proc/interrupts."""
    head, *lines = content.splitlines()
    cpus = len(head.split())
    found = {}
    for line in lines:
        label, _, rest = line.partition(":")
        if not label.strip().isdigit():
            continue
        words = rest.split()
        counts = tuple(int(word) for word in words[:cpus])
        handlers = words[cpus:]
        found[int(label)] = Irq(int(label), counts, handlers[0] if handlers else "", handlers[-1] if handlers else "")
    return found


def parse_cpu_list(content: str) -> tuple[int, ...]:
    """Return the CPUs of a list such as ``0-2,5``."""
    cpus: list[int] = []
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", content):
        cpus.extend(range(int(first), int(last or first) + 1))
    return tuple(cpus)


def parse_two_lined(content: str) -> dict[str, int]:
    """Return tables whose names and numbers are on two lines that begin with the same word."""
    lines = content.splitlines()
    numbers = {}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        group = names.partition(":")[0]
        pairs = zip(names.split()[1:], values.split()[1:], strict=True)
        numbers.update({f"{group}{name}": int(value) for name, value in pairs})
    return numbers
