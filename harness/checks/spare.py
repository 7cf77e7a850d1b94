# SPDX-License-Identifier: BSD-3-Clause
"""Rings of our own on a queue that igb leaves alone: a program of the guest hands out descriptors itself.

What such a check sees, it sees through registers, memory and the wire alone: it runs on any 82576.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from device_model.igb.spec.descriptors import RxRead, TxData
from device_model.igb.spec.receive import RDBAH, RDBAL, RDH, RDLEN, RDT, RETA, RXDCTL, SRRCTL
from device_model.igb.spec.transmit import TDBAH, TDBAL, TDH, TDLEN, TDT, TXDCTL
from harness import frames
from harness.guest.bare import PAGE, SPARE_QUEUE, Registers, block, offset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.guest.bare import Block
    from harness.lab import Bound

DESCRIPTOR = 16
SLOTS = PAGE // DESCRIPTOR
"""Descriptors of a ring that fills a page."""

ETHERTYPE = 0x88B5
"""For experiments (IEEE 802)."""

ALL_PROTOCOLS = 0x0003
SOL_PACKET, IGNORE_OUTGOING = 263, 23
"""Linux include/uapi/linux/if_packet.h: a packet socket with that option sees received frames only."""

ENTRIES = 0x0101_0101
"""Times a queue: a RETA register whose four entries name it."""


def registers(bound: Bound) -> Registers:
    """Return the registers of the card under test as a program of the guest reaches them."""
    return Registers(bound.guest.agent, bound.netif.name)


def plain(bound: Bound, size: int, seed: int, *, to_guest: bool) -> bytes:
    """Return a frame of an EtherType that nobody listens to; its bytes depend on ``seed``."""
    ends = (frames.mac(bound.netif.mac), bound.peer.station.mac)
    destination, source = ends if to_guest else ends[::-1]
    return frames.ethernet(destination, source, ETHERTYPE, bytes((seed + 7 * n) & 0xFF for n in range(size - 14)))


def tap(bound: Bound, protocol: int = ETHERTYPE) -> int:
    """Return a packet socket of the guest that sees received frames of one EtherType."""
    handle = int(bound.guest.agent.call("open_socket", kind="packet", protocol=protocol))
    bound.guest.agent.call("setsockopt", handle=handle, level=SOL_PACKET, option=IGNORE_OUTGOING, value=1)
    bound.guest.agent.call("bind", handle=handle, address=[bound.netif.name, protocol])
    return handle


@dataclass(frozen=True, slots=True)
class Ring:
    """One ring on the spare queue: descriptors in the first page of ``memory``, buffers behind them."""

    registers: Registers
    memory: Block

    def buffer(self, number: int, size: int = PAGE) -> int:
        """Return where buffer ``number`` of ``size`` bytes lies in the block."""
        return PAGE + number * size

    def put(self, index: int, descriptor: bytes) -> None:
        """Write a descriptor."""
        self.memory.store(index * DESCRIPTOR, descriptor)

    def get(self, index: int) -> bytes:
        """Read a descriptor."""
        return self.memory.load(index * DESCRIPTOR, DESCRIPTOR)


@contextmanager
def transmit_ring(bound: Bound, pages: int = 16) -> Iterator[Ring]:
    """Own a transmit ring of SLOTS descriptors on the spare queue, enabled and empty."""
    regs = registers(bound)
    with ExitStack() as undo:
        memory = undo.enter_context(block(bound.guest.agent, pages))
        undo.callback(regs.write, TXDCTL, 0, SPARE_QUEUE)
        regs.do(
            (offset(TXDCTL, SPARE_QUEUE), 0),
            (offset(TDBAL, SPARE_QUEUE), memory.address(0) & 0xFFFF_FFFF),
            (offset(TDBAH, SPARE_QUEUE), memory.address(0) >> 32),
            (offset(TDLEN, SPARE_QUEUE), SLOTS * DESCRIPTOR),
            (offset(TDH, SPARE_QUEUE), 0),
            (offset(TDT, SPARE_QUEUE), 0),
            (offset(TXDCTL, SPARE_QUEUE), TXDCTL.enable.mask),
        )
        yield Ring(regs, memory)


def send_plain(ring: Ring, first: int, packets: list[bytes]) -> None:
    """Hand one frame a descriptor to the card, from slot ``first`` on; buffer n is slot n's."""
    for at, frame in enumerate(packets, first):
        ring.memory.store(ring.buffer(at), frame)
        ring.put(at, data(ring.memory.address(ring.buffer(at)), len(frame)))
    ring.registers.write(TDT, first + len(packets), SPARE_QUEUE)


def data(address: int, size: int, **fields: int) -> bytes:
    """Return an advanced data descriptor of a packet in one buffer, to be reported."""
    common = {"dtyp": TxData.DTYP, "dext": 1, "eop": 1, "ifcs": 1, "rs": 1, **fields}
    return TxData.encode(address=address, dtalen=size, paylen=size, **common)


@contextmanager
def receive_ring(bound: Bound, posted: int, control: int) -> Iterator[Ring]:
    """Own a receive ring on the spare queue, with ``posted`` buffers of 2 KiB and SRRCTL ``control``.

    Every frame that RSS hashes lands on it until the end of the block.
    """
    regs = registers(bound)
    table = [(RETA, n) for n in range(RETA.count)]
    with ExitStack() as undo:
        memory = undo.enter_context(block(bound.guest.agent, 2 + posted // 2))
        undo.callback(regs.write, RXDCTL, 0, SPARE_QUEUE)
        ring = Ring(regs, memory)
        for index in range(posted):
            ring.put(index, RxRead.encode(packet_address=memory.address(ring.buffer(index, PAGE // 2))))
        regs.do(
            (offset(RXDCTL, SPARE_QUEUE), 0),
            (offset(RDBAL, SPARE_QUEUE), memory.address(0) & 0xFFFF_FFFF),
            (offset(RDBAH, SPARE_QUEUE), memory.address(0) >> 32),
            (offset(RDLEN, SPARE_QUEUE), SLOTS * DESCRIPTOR),
            (offset(RDH, SPARE_QUEUE), 0),
            (offset(SRRCTL, SPARE_QUEUE), control),
            (offset(RXDCTL, SPARE_QUEUE), RXDCTL.enable.mask),
            (offset(RDT, SPARE_QUEUE), posted),
        )
        undo.enter_context(regs.kept(*table))
        regs.do(*((offset(reg, n), SPARE_QUEUE * ENTRIES) for reg, n in table))
        yield ring
