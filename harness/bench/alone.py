# SPDX-License-Identifier: BSD-3-Clause
"""The card alone: a driver without a guest, over the card's socket and shared memory, against a copy of the same bytes.

The driver is as cheap as one can be: a ring that was written beforehand, one doorbell for a thousand packets, one look
at the last of them. What is counted is the card's own CPU time; with several threads it is the time that passes,
against one thread, and the driver sleeps between two looks so that the card has the CPUs.
"""

from __future__ import annotations

import os
import struct
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from device_model.igb.spec.descriptors import TxContext, TxData
from device_model.igb.spec.general import CTRL
from device_model.igb.spec.receive import MRQC, RCTL, RDBAH, RDBAL, RDLEN, RDT, RETA, RSSRK, RXDCTL, SRRCTL
from device_model.igb.spec.transmit import TCTL, TDBAH, TDBAL, TDLEN, TDT, TXDCTL
from harness.bench.figures import Quantity
from harness.card import Card
from harness.deadline import Deadline, wait_until
from harness.emulator import CardOptions, CardProcess, CardSockets
from harness.errors import LabBroken
from harness.vfio_user import ScriptedHost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from device_model.declare import Register

BASE = 0x1_0000_0000
RINGS, BUFFERS = BASE, BASE + 0x10_0000
MEMORY = 128 << 20
SLOT = 16
SLOTS = 4096
FLOWS = 64
BUFFER = 2048
FOR_S = 1.0
NAP_S = 50e-6
LINK_S = 10.0
ENOUGH_S = 30.0
MAC = "52:54:00:82:57:60"
FCS = 4
HEADERS, MSS, BIG = 54, 1460, 64 * 1024
LINK_UP = 2
RECEIVE_IN_2_KIB = 0x0200_0002
"""SRRCTL: advanced descriptors of one buffer, 2 KiB."""

RSS_OF_UDP = 2 | MRQC.udp_ipv4.mask
"""MRQC: RSS by addresses and ports of UDP over IPv4."""

DONE = 1


@dataclass(frozen=True, slots=True)
class Alone:
    """``size`` bytes a frame (64 counts the FCS), or with ``size`` BIG a packet that the card cuts up.

    Over ``queues`` rings of ``slots`` descriptors each; received frames are of ``flows`` flows.
    """

    size: int
    receive: bool = False
    queues: int = 1
    slots: int = SLOTS
    flows: int = FLOWS
    threads: int = 1

    @property
    def name(self) -> str:
        """How the workload is called; what is usual goes without saying."""
        what = "64 KiB cut up" if self.size == BIG else f"{self.size} B"
        usual = Alone(self.size, self.receive)
        more = "".join(
            f", {value} {name}"
            for name, value, common in (
                ("queues", self.queues, usual.queues),
                ("descriptors", self.slots, usual.slots),
                ("flows", self.flows, usual.flows),
                ("threads", self.threads, usual.threads),
            )
            if value != common
        )
        return f"card alone, {'receive' if self.receive else 'transmit'} {what}{more}"

    @property
    def names(self) -> tuple[str, ...]:
        """What is measured in turns: our card, beside it one thread, or a plain copy once for each size."""
        if self.threads > 1:
            return ("our card", "one thread")
        return ("our card", "a copy") if self == Alone(self.size, self.receive) else ("our card",)

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What it measures, for each second of the card's CPU time, or of the clock where there are several threads."""
        unit = "Gbit/s" if self.size == BIG else "packets/s"
        return (Quantity(self.name, unit if self.threads > 1 else f"{unit} of a core"),)

    def measure(self, folder: Path, card: tuple[str, ...], which: int = 0) -> tuple[float, ...]:
        """Measure what ``names`` has at ``which`` for about a second; a card is a fresh one."""
        if which == 0:
            return self._driven(folder, card, self.threads)
        return self._driven(folder, card, 1) if self.threads > 1 else self._copied()

    def _driven(self, folder: Path, card: tuple[str, ...], threads: int) -> tuple[float, ...]:
        with ExitStack() as undo:
            sockets = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="hilnic-bench-")))
            wire = f"generate:mac={MAC},flows={self.flows},size={self.size},rate=0" if self.receive else "null"
            words = (*card, "--threads", str(threads)) if self.threads > 1 else card
            options = CardOptions(mac=MAC, rate="unlimited", wire=wire, capture=False, arguments=words)
            paths = CardSockets(*(sockets / name for name in ("vfio", "control", "wire", "peer")))
            process = undo.enter_context(CardProcess(options, paths, folder))
            process.wait_ready()
            undo.enter_context(Card(paths.control)).call("record", kinds=[])
            host = undo.enter_context(ScriptedHost(paths.vfio_user, MEMORY, BASE, 1))
            driver = Driver(host, process.child.pid, self.queues, self.slots, NAP_S if self.threads > 1 else None)
            driver.link_up()
            if self.receive:
                return (driver.receive(),)
            return (driver.cut_up() if self.size == BIG else driver.transmit(self.size),)

    def _copied(self) -> tuple[float, ...]:
        """Return the same for a plain copy of as many bytes as a ring holds."""
        source = bytes(range(256)) * (SLOTS * min(self.size, BUFFER) // 256 + 1)
        target = bytearray(len(source))
        rounds = 0
        began = time.perf_counter()
        while (took := time.perf_counter() - began) < FOR_S / 4:
            target[:] = source
            rounds += 1
        rate = rounds * len(source) / took
        return (rate * 8 / 1e9 if self.size == BIG else rate / self.size,)


class Driver:
    """``queues`` queues, both ways, of the card of process ``pid``; each ring has ``slots`` descriptors.

    With ``nap_s`` it sleeps so long between two looks at memory, and rates are by the clock.
    """

    def __init__(self, host: ScriptedHost, pid: int, queues: int, slots: int, nap_s: float | None = None) -> None:
        self._host = host
        self._pid = pid
        self._queues = queues
        self._slots = slots
        self._nap_s = nap_s

    def _put(self, reg: type[Register], value: int, n: int = 0) -> None:
        self._host.write(reg.at + n * reg.stride, value)

    def link_up(self) -> None:
        """Let the MAC have its link."""
        self._put(CTRL, self._host.read(CTRL.at) | CTRL.slu.mask)
        status = CTRL.at + 8
        wait_until(lambda: self._host.read(status) & LINK_UP, Deadline.after(LINK_S), "the card's link")

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _rate(self, rounds: Iterator[int]) -> float:
        """Return how many of what ``rounds`` yields there are in a second of the card's CPU time, or of the clock."""
        next(rounds)
        done, cpu, began = 0, self._cpu_s(), time.monotonic()
        while (passed := time.monotonic() - began) < FOR_S:
            done += next(rounds)
        return done / (max(self._cpu_s() - cpu, 1e-3) if self._nap_s is None else passed)

    def _rest(self) -> None:
        """Let the card work."""
        if self._nap_s is not None:
            time.sleep(self._nap_s)

    def _ring(self, queue: int) -> int:
        """Where in memory the ring of a queue begins."""
        return queue * self._slots * SLOT

    # -- transmit --------------------------------------------------------------------------------------

    def transmit(self, size: int) -> float:
        """Return packets a second."""
        length = size - FCS
        raw = b"".join(
            TxData.encode(
                address=BUFFERS + n * BUFFER, dtalen=length, dtyp=3, dext=1, ifcs=1, eop=1, rs=1, paylen=length
            )
            for n in range(self._slots)
        )
        for n in range(self._slots):
            self._host.put(BUFFERS + n * BUFFER, bytes(12) + b"\x88\xb5" + bytes(length - 14))
        return self._rate(self._sent(raw, self._slots // 2))

    def cut_up(self) -> float:
        """Return gigabits a second of packets that leave in segments of MSS bytes."""
        context = TxContext.encode(maclen=14, iplen=20, l4len=20, ipv4=1, l4t=1, dtyp=2, dext=1, mss=MSS)
        payload = BIG - HEADERS
        pieces = [BIG // 4] * 4
        packet = [context]
        for n, size in enumerate(pieces):
            last = n == len(pieces) - 1
            fields = {"tse": 1, "ixsm": 1, "txsm": 1, "paylen": payload} if n == 0 else {"tse": 1}
            address = BUFFERS + sum(pieces[:n])
            packet.append(
                TxData.encode(address=address, dtalen=size, dtyp=3, dext=1, ifcs=1, eop=last, rs=last, **fields)
            )
        many = SLOTS // 16
        headers = bytes(12) + b"\x08\x00\x45" + bytes(8) + b"\x06" + bytes(22) + b"\x50\x10" + bytes(8)
        self._host.put(BUFFERS, headers.ljust(HEADERS, b"\0"))
        slots = len(packet) * many
        self._slots = 2 * slots
        packets = self._rate(self._sent(b"".join(packet * many) * 2, slots)) / len(packet)
        return packets * BIG * 8 / 1e9

    def _sent(self, raw: bytes, half: int) -> Iterator[int]:
        """Send one half of each ring after the other; yield the descriptors of each when its last is done."""
        slots = len(raw) // SLOT
        for queue in range(self._queues):
            start = RINGS + self._ring(queue)
            self._put(TDBAL, start & 0xFFFF_FFFF, queue)
            self._put(TDBAH, start >> 32, queue)
            self._put(TDLEN, slots * SLOT, queue)
            self._put(TXDCTL, TXDCTL.enable.mask | 1 << 16, queue)
        self._put(TCTL, TCTL.en.mask)
        memory = self._host.memory
        while True:
            for first in range(0, slots, half):
                ends = []
                for queue in range(self._queues):
                    at = RINGS - BASE + self._ring(queue) + first * SLOT
                    memory[at : at + half * SLOT] = raw[first * SLOT : (first + half) * SLOT]
                    self._put(TDT, (first + half) % slots, queue)
                    ends.append(at + half * SLOT - 4)
                for end in ends:
                    self._until(end)
                yield half * self._queues

    # -- receive ---------------------------------------------------------------------------------------

    def receive(self) -> float:
        """Return packets a second."""
        for queue in range(self._queues):
            start = RINGS + self._ring(queue)
            self._put(RDBAL, start & 0xFFFF_FFFF, queue)
            self._put(RDBAH, start >> 32, queue)
            self._put(RDLEN, self._slots * SLOT, queue)
            self._put(SRRCTL, RECEIVE_IN_2_KIB, queue)
            self._put(RXDCTL, RXDCTL.enable.mask, queue)
        if self._queues > 1:
            for n in range(RSSRK.count):
                self._put(RSSRK, 0x6D5A_56DA + n * 0x0103_0507, n)
            for n in range(RETA.count):
                entries = ((4 * n + place) % self._queues for place in range(4))
                self._put(RETA, sum(entry << 8 * place for place, entry in enumerate(entries)), n)
            self._put(MRQC, RSS_OF_UDP)
        return self._rate(self._received())

    def _received(self) -> Iterator[int]:
        """Hand over the halves of the rings again as frames have filled them; yield how many frames that were."""
        half = self._slots // 2
        raw = [
            b"".join(struct.pack("<QQ", BUFFERS + (queue * self._slots + n) * BUFFER, 0) for n in range(self._slots))
            for queue in range(self._queues)
        ]
        memory, turn = self._host.memory, [0] * self._queues
        for queue in range(self._queues):
            at = RINGS - BASE + self._ring(queue)
            memory[at : at + len(raw[queue])] = raw[queue]
            self._put(RDT, self._slots - 1, queue)
        self._put(RCTL, RCTL.en.mask | RCTL.upe.mask)
        end = time.monotonic() + ENOUGH_S
        while True:
            self._rest()
            for queue in range(self._queues):
                first = turn[queue] * half
                at = RINGS - BASE + self._ring(queue) + first * SLOT
                if not memory[at + half * SLOT - 8] & DONE:
                    if time.monotonic() > end:
                        raise LabBroken(f"the card must fill half a ring within {ENOUGH_S:g} s")
                    continue
                end = time.monotonic() + ENOUGH_S
                memory[at : at + half * SLOT] = raw[queue][first * SLOT : (first + half) * SLOT]
                self._put(RDT, (first + half - 1) % self._slots, queue)
                turn[queue] ^= 1
                yield half

    def _until(self, at: int) -> None:
        """Wait, without waking anybody, until the bit DONE is set in the byte of memory at ``at``."""
        memory, end = self._host.memory, time.monotonic() + ENOUGH_S
        while not memory[at] & DONE:
            self._rest()
            if time.monotonic() > end:
                wait_until(lambda: memory[at] & DONE, Deadline.after(0.1), "the card finishing half a ring")
