# SPDX-License-Identifier: BSD-3-Clause
"""A driver that does nothing but what a seeded script says: the card's other side without a guest and without time.

Every step waits until the card has told of its end, so that nothing depends on how fast anybody is.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from device_model.igb.spec.descriptors import TxData
from device_model.igb.spec.general import CTRL
from device_model.igb.spec.interrupts import EIAC, EIAM, EIMS, GPIE, IVAR, IVAR_MISC
from device_model.igb.spec.receive import MRQC, RCTL, RDBAH, RDBAL, RDLEN, RDT, RETA, RSSRK, RXCSUM, RXDCTL, SRRCTL
from device_model.igb.spec.transmit import TCTL, TDBAH, TDBAL, TDLEN, TDT, TXDCTL
from harness import frames
from harness.deadline import Deadline

if TYPE_CHECKING:
    from device_model.declare import Register
    from harness.card import Card
    from harness.seen import Recording
    from harness.vfio_user import ScriptedHost

SIZE, BASE = 1 << 21, 0x10_0000
SLOTS, QUEUES, BUFFER = 64, 2, 2048
RX_RING, TX_RING, RX_BUFFERS, TX_BUFFERS = BASE, BASE + 0x1000, BASE + 0x10_000, BASE + 0x100_000
RING_STEP = 0x2000
VECTORS = 5
ALL = (1 << VECTORS) - 1
GPIE_MSIX = 0xC000_0011
RSS_IPV4_TCP_IPV4 = 0x0003_0002
SRRCTL_ADVANCED_2K = 0x0200_0002
MAC = bytes.fromhex("525400825760")
STEP_S = 10.0


class ScriptedDriver:
    """Two queues each way; vectors: other 0, receive 1 and 2, transmit 3 and 4, all masked by their messages."""

    def __init__(self, host: ScriptedHost, card: Card, seen: Recording, seed: int) -> None:
        self._host = host
        self._card = card
        self._seen = seen
        self._pick = random.Random(seed)  # noqa: S311 - a reproducible choice, not a secret
        self._rx_tail = [0] * QUEUES
        self._tx_tail = [0] * QUEUES
        self._withheld = [0] * QUEUES
        self._held: set[int] = set()
        self.messages: list[list[int]] = []

    def put(self, register: type[Register], value: int, n: int = 0) -> None:
        """Write a register."""
        self._host.write(register.at + n * register.stride, value)

    def up(self) -> None:
        """Bring the card up, and wait for its link."""
        put = self.put
        put(CTRL, CTRL.slu.mask)
        self._seen.wait(1, Deadline.after(STEP_S), kind="LinkChanged", where=lambda event: event.speed_mbps > 0)
        put(RXCSUM, RXCSUM.pcsd.mask)
        put(TCTL, TCTL.en.mask | TCTL.psp.mask)
        put(RCTL, RCTL.en.mask | RCTL.bam.mask | RCTL.upe.mask)
        for word in range(RSSRK.count):
            put(RSSRK, self._pick.getrandbits(32), word)
        for word in range(RETA.count):
            put(RETA, self._pick.getrandbits(32) & 0x0101_0101, word)
        put(MRQC, RSS_IPV4_TCP_IPV4)
        for queue in range(QUEUES):
            self._queue_up(queue)
        put(GPIE, GPIE_MSIX)
        put(IVAR_MISC, 0x8000)
        for register in (EIAC, EIAM, EIMS):
            put(register, ALL)

    def _queue_up(self, queue: int) -> None:
        rings = ((TDLEN, TDBAL, TDBAH, TX_RING), (RDLEN, RDBAL, RDBAH, RX_RING))
        for length, low, high, base in rings:
            self.put(length, SLOTS * 16, queue)
            self.put(low, base + queue * RING_STEP, queue)
            self.put(high, 0, queue)
        self.put(TXDCTL, TXDCTL.enable.mask, queue)
        self.put(SRRCTL, SRRCTL_ADVANCED_2K, queue)
        self.put(RXDCTL, RXDCTL.enable.mask, queue)
        self.put(IVAR, (0x83 + queue) << 8 | 0x81 + queue, queue)
        self.post(queue, SLOTS - 1)

    def post(self, queue: int, many: int) -> None:
        """Hand over receive buffers."""
        for _ in range(many):
            index = self._rx_tail[queue]
            buffer = RX_BUFFERS + (queue * SLOTS + index) * BUFFER
            self._host.put(RX_RING + queue * RING_STEP + index * 16, buffer.to_bytes(8, "little") + bytes(8))
            self._rx_tail[queue] = (index + 1) % SLOTS
        self.put(RDT, self._rx_tail[queue], queue)

    def step(self) -> None:
        """Do one thing that the script picks."""
        deeds = (self._receive, self._receive, self._send, self._send, self._hold, self._withhold, self._release)
        self._pick.choice(deeds)()
        self.messages.append(self._host.taken())
        self.put(EIMS, ALL)
        self.messages.append(self._host.taken())

    def _receive(self) -> None:
        """Let a few frames of random flows and sizes arrive, and give the buffers back that they took."""
        count = self._pick.randint(1, 6)
        before = {queue: self._stored(queue) for queue in range(QUEUES)}
        self._card.inject(*(self._frame() for _ in range(count)))
        for queue, stored in before.items():
            self.post(queue, self._stored(queue) - stored)

    def _stored(self, queue: int) -> int:
        return len(self._seen.all("RxWriteBack", lambda event: event.queue == queue))

    def _frame(self) -> bytes:
        source, destination = self._pick.randbytes(4), self._pick.randbytes(4)
        payload = self._pick.randbytes(self._pick.randint(6, 1400))
        segment = frames.tcp((source, destination), self._pick.randrange(65536), 80, payload)
        packet = frames.ipv4(source, destination, frames.TCP, segment)
        return frames.ethernet(MAC, b"\2" + self._pick.randbytes(5), frames.ETHERTYPE_IPV4, packet)

    def _send(self) -> None:
        """Send a few frames behind one tail write, and wait until they have left and are reported."""
        queue, count = self._pick.randrange(QUEUES), self._pick.randint(1, 5)
        left = len(self._seen.all("FrameEmitted"))
        written = len(self._seen.all("TxWriteBack"))
        for _ in range(count):
            index = self._tx_tail[queue]
            data = self._frame()
            buffer = TX_BUFFERS + (queue * SLOTS + index) * BUFFER
            self._host.put(buffer, data)
            fields: dict[str, Any] = {"dtyp": 3, "dext": 1, "ifcs": 1, "eop": 1, "rs": 1}
            descriptor = TxData.encode(address=buffer, dtalen=len(data), paylen=len(data), **fields)
            self._host.put(TX_RING + queue * RING_STEP + index * 16, descriptor)
            self._tx_tail[queue] = (index + 1) % SLOTS
        self.put(TDT, self._tx_tail[queue], queue)
        self._seen.wait(left + count, Deadline.after(STEP_S), kind="FrameEmitted")
        if queue in self._card.faults().get("withheld_queues", []):
            self._withheld[queue] += count
        else:
            self._seen.wait(written + count, Deadline.after(STEP_S), kind="TxWriteBack")

    def _hold(self) -> None:
        """Hold a vector's messages, or let those go that are held."""
        if self._held:
            self._card.release_interrupts(self._held.pop())
        else:
            self._held.add(self._pick.randrange(1, VECTORS))
            self._card.hold_interrupts(min(self._held))

    def _withhold(self) -> None:
        self._card.withhold_completions(self._pick.randrange(QUEUES))

    def _release(self) -> None:
        """Release some withheld packets, or all."""
        queue = self._pick.randrange(QUEUES)
        if self._withheld[queue] > 1:
            count = self._pick.randint(1, self._withheld[queue] - 1)
            self._withheld[queue] -= self._card.release_completions(queue, count)
        else:
            self._card.release_completions(queue)
            self._withheld[queue] = 0
