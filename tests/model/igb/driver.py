# SPDX-License-Identifier: BSD-3-Clause
"""The part of a driver that model tests need: it sets up rings as Linux igb does, posts buffers and sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.igb.spec.descriptors import RxWriteback, TxContext, TxData
from device_model.igb.spec.filters import VFTA
from device_model.igb.spec.general import CTRL
from device_model.igb.spec.interrupts import EIAC, EIAM, EIMS, GPIE, IVAR, IVAR_MISC
from device_model.igb.spec.receive import RCTL, RDBAH, RDBAL, RDLEN, RDT, RLPML, RXCSUM, RXDCTL, SRRCTL
from device_model.igb.spec.transmit import TCTL, TDBAH, TDBAL, TDLEN, TDT, TXDCTL

from .world import BASE, World

if TYPE_CHECKING:
    from device_model.declare import Register

RX_RING, TX_RING, RX_BUFFERS, TX_BUFFERS = BASE, BASE + 0x10000, BASE + 0x20000, BASE + 0x80000
RX_BUFFER_SIZE = 2048


class Driver:
    """Queues 0 and 1 both ways; vectors as igb assigns them with two CPUs: other 0, rx 1 and 2, tx 3 and 4."""

    def __init__(self, world: World, slots: int = 64, queues: int = 2) -> None:
        self.world = world
        self.slots = slots
        self.queues = queues
        self.rx_tail = [0] * queues
        self.tx_tail = [0] * queues
        self.rx_next = [0] * queues

    def put(self, reg: type[Register], value: int, n: int = 0) -> None:
        self.world.write(reg.at + n * reg.stride, value)

    def get(self, reg: type[Register], n: int = 0) -> int:
        return self.world.read(reg.at + n * reg.stride)

    def up(self) -> None:
        """Bring the card up as igb_configure and igb_irq_enable do."""
        put = self.put
        put(CTRL, self.get(CTRL) | CTRL.vme.mask | CTRL.slu.mask)
        put(RLPML, 1536)
        put(VFTA, 1)
        put(RXCSUM, 0x2B00)
        put(TCTL, TCTL.en.mask | TCTL.psp.mask)
        put(RCTL, RCTL.en.mask | RCTL.bam.mask | RCTL.secrc.mask | RCTL.lpe.mask | RCTL.vfe.mask)
        for q in range(self.queues):
            put(TDLEN, self.slots * 16, q)
            put(TDBAL, self.tx_ring(q) & 0xFFFFFFFF, q)
            put(TDBAH, self.tx_ring(q) >> 32, q)
            put(TXDCTL, TXDCTL.enable.mask | 1 << 16 | 0x108, q)
            put(RDBAL, self.rx_ring(q) & 0xFFFFFFFF, q)
            put(RDBAH, self.rx_ring(q) >> 32, q)
            put(RDLEN, self.slots * 16, q)
            put(SRRCTL, 0x02000402, q)
            put(RXDCTL, RXDCTL.enable.mask | 1 << 16 | 0x808, q)
            self.post(q, self.slots - 1)
        put(GPIE, 0xC0000011)
        put(IVAR_MISC, 0x8000)
        for q in range(self.queues):
            put(IVAR, (0x81 + self.queues + q) << 8 | 0x81 + q, q)
        mask = (1 << 1 + 2 * self.queues) - 1
        put(EIAC, mask)
        put(EIAM, mask)
        put(EIMS, mask)

    def rx_ring(self, q: int) -> int:
        return RX_RING + q * 0x4000

    def tx_ring(self, q: int) -> int:
        return TX_RING + q * 0x4000

    def rx_buffer(self, q: int, index: int) -> int:
        return RX_BUFFERS + (q * self.slots + index) * RX_BUFFER_SIZE

    def post(self, q: int, many: int) -> None:
        """Hand ``many`` fresh buffers to the card."""
        for _ in range(many):
            index = self.rx_tail[q]
            self.world.memory.write(
                self.rx_ring(q) + index * 16, self.rx_buffer(q, index).to_bytes(8, "little") + bytes(8)
            )
            self.rx_tail[q] = (index + 1) % self.slots
        self.put(RDT, self.rx_tail[q], q)

    def received(self, q: int) -> list[tuple[dict[str, int], bytes]]:
        """Return what has arrived on queue ``q``: (write-back fields, bytes in the buffer)."""
        out: list[tuple[dict[str, int], bytes]] = []
        while True:
            index = self.rx_next[q]
            raw = self.world.memory.read(self.rx_ring(q) + index * 16, 16)
            fields = RxWriteback.decode(raw)
            if not fields["length"] or index == self.rx_tail[q]:
                return out
            out.append((fields, self.world.memory.read(self.rx_buffer(q, index), fields["length"])))
            self.rx_next[q] = (index + 1) % self.slots

    def send(
        self,
        q: int,
        data: bytes,
        *,
        context: dict[str, int] | None = None,
        pieces: int = 1,
        ring: bool = True,
        **fields: int,
    ) -> int:
        """Queue one packet in ``pieces`` descriptors; return the slot of the last. Fields go into every descriptor."""
        if context is not None:
            self._descriptor(q, TxContext.encode(dtyp=2, dext=1, **context))
        buffer = TX_BUFFERS + q * 0x20000 + (self.tx_tail[q] % 32) * 0x1000
        if len(data) > 0x1000:
            buffer = TX_BUFFERS + q * 0x20000
        self.world.memory.write(buffer, data)
        size = -(-len(data) // pieces)
        last = 0
        for n in range(pieces):
            chunk = data[n * size : (n + 1) * size]
            end = n == pieces - 1
            first_only = {} if n else {k: v for k, v in fields.items() if k in ("ixsm", "txsm", "paylen")}
            every = {k: v for k, v in fields.items() if k not in ("ixsm", "txsm", "paylen")}
            if not n and "paylen" not in fields:
                first_only["paylen"] = len(data)
            settings = {"dtyp": 3, "dext": 1, "ifcs": 1, "eop": end, "rs": end, **every, **first_only}
            last = self._descriptor(q, TxData.encode(address=buffer + n * size, dtalen=len(chunk), **settings))
        if ring:
            self.doorbell(q)
        return last

    def doorbell(self, q: int) -> None:
        self.put(TDT, self.tx_tail[q], q)

    def _descriptor(self, q: int, raw: bytes) -> int:
        index = self.tx_tail[q]
        self.world.memory.write(self.tx_ring(q) + index * 16, raw)
        self.tx_tail[q] = (index + 1) % self.slots
        return index

    def done(self, q: int, index: int) -> bool:
        return bool(self.world.memory.read(self.tx_ring(q) + index * 16 + 12, 1)[0] & 1)
