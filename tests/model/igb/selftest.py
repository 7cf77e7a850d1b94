# SPDX-License-Identifier: BSD-3-Clause
"""``ethtool -t offline`` as Linux 6.12 igb_diag_test runs it, access by access, without QEMU.

Each part returns the driver's result: 0, or the number that ethtool would show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model import events
from device_model.igb.spec.general import CTRL, STATUS
from device_model.igb.spec.interrupts import EIMS, ICR, ICS, IMC, IMS, IVAR_MISC
from device_model.igb.spec.receive import MRQC, RCTL, RDBAH, RDBAL, RDLEN, RDT, RXDCTL, SRRCTL
from device_model.igb.spec.transmit import TCTL, TDBAH, TDBAL, TDH, TDLEN, TDT, TXDCTL
from device_model.ports import InterruptMode
from tests.model.registers.test_ethtool_registers import failures

from .linux import Linux
from .world import BASE, Memory, World

if TYPE_CHECKING:
    from device_model.declare import Register

MS = 1_000_000
ALL = 0xFFFFFFFF
TOGGLE = 0x7FFFF3FF
TESTED_CAUSES = 0x77D4FBFD
SLOTS = 256
RX_RING, TX_RING, TX_BUFFERS, RX_BUFFERS = BASE, BASE + 0x1000, BASE + 0x2000, BASE + 0x100000
BUFFER = 4096
FRAME = b"\xff" * 128 + b"\xaa" * 10 + b"\xbe" + b"\xaa" + b"\xaf" + b"\xaa" * 114 + b"\x00"


class SelfTest:
    """The driver's self test on a card of its own, in interrupt mode ``mode``."""

    def __init__(self, mode: InterruptMode) -> None:
        self.world = World(mode, memory=Memory(4 << 20))
        self.linux = Linux(self.world.read, self.world.write, self.sleep_ms)
        self.seen_causes = 0
        self.tx_next = self.rx_next = 0

    def put(self, reg: type[Register], value: int, n: int = 0) -> None:
        self.world.write(reg.at + n * reg.stride, value)

    def get(self, reg: type[Register], n: int = 0) -> int:
        return self.world.read(reg.at + n * reg.stride)

    def sleep_ms(self, ms: int) -> None:
        self.world.clock.advance(ms * MS)

    def reset(self) -> None:
        """igb_reset: bus mastering off, engines off, CTRL.RST, then the link set up anew."""
        self.put(CTRL, self.get(CTRL) | CTRL.gio_master_disable.mask)
        assert not self.get(STATUS) & STATUS.gio_master_enable.mask
        for reg, value in ((IMC, ALL), (RCTL, 0), (TCTL, TCTL.psp.mask)):
            self.put(reg, value)
        self.sleep_ms(10)
        self.put(CTRL, self.get(CTRL) | CTRL.rst.mask)
        self.put(IMC, ALL)
        self.get(ICR)
        self.linux.setup_link()

    def power_up_link(self) -> None:
        """igb_power_up_link."""
        self.linux.phy_hw_reset()
        self.linux.phy_write(0, self.linux.phy_read(0) & ~0x0800)
        self.linux.setup_link()

    # -- the five parts ------------------------------------------------------------------------------------

    def link(self) -> int:
        """igb_link_test."""
        self.power_up_link()
        self.linux.has_link()
        self.sleep_ms(5000)
        return 0 if self.get(STATUS) & STATUS.lu.mask else 1

    def registers(self) -> int:
        """igb_reg_test."""
        before = [self.get(STATUS) for _ in range(2)][1]
        self.put(STATUS, TOGGLE)
        if self.get(STATUS) & TOGGLE != before & TOGGLE:
            return 1
        self.put(STATUS, before)
        failed = failures(self.world.read, self.world.write)
        return int(failed[0].split()[1].rstrip(":"), 16) if failed else 0

    def eeprom(self) -> int:
        """igb_eeprom_test."""
        return 0 if sum(self.linux.eerd(word) for word in range(0x40)) & 0xFFFF == 0xBABA else 2

    def interrupts(self) -> int:
        """igb_intr_test; with MSI-X the line counts as shared, and only the middle step runs."""
        if self.world.messages.mode is InterruptMode.MSIX:
            self.put(IVAR_MISC, 0x8000)
            self.put(EIMS, 1)
        shared = self.world.messages.mode is InterruptMode.MSIX
        self.put(IMC, ALL)
        self._serve()
        for cause in (1 << n for n in range(31) if TESTED_CAUSES >> n & 1):
            if not shared and self._provoke(IMC, cause, cause) & cause:
                return 3
            if not self._provoke(IMS, cause, cause) & cause:
                return 4
            if not shared and self._provoke(IMC, ~cause & ALL, ~cause & ALL) & cause:
                return 5
        self.put(IMC, ALL)
        return 0

    def _provoke(self, mask: type[Register], bits: int, causes: int) -> int:
        """Write ``bits`` to a mask register and ``causes`` to ICS; return what the handler read from ICR."""
        self.seen_causes = 0
        self.put(ICR, ALL)
        self.put(mask, bits)
        self.put(ICS, causes)
        self._serve()
        return self.seen_causes

    def _serve(self) -> None:
        """igb_test_intr, called for each message, and for the line as long as it is asserted; ten milliseconds."""
        messages = self.world.messages
        for _ in range(10):
            while messages.sent or (messages.levels and messages.levels[-1]):
                assert set(messages.sent) <= {0}, "one vector only"
                messages.sent.clear()
                self.seen_causes |= self.get(ICR)
            self.sleep_ms(1)

    def loopback(self) -> int:
        """igb_loopback_test."""
        self._rings()
        self.sleep_ms(50)
        self.linux.phy_write(0, 0x4140)
        speed = CTRL.frcspd.mask | CTRL.frcdpx.mask | 2 << 8 | CTRL.fd.mask | CTRL.slu.mask
        self.put(CTRL, self.get(CTRL) & ~CTRL.speed.mask | speed)
        self.sleep_ms(500)
        for _ in range(10):
            self._send(64)
            self.sleep_ms(200)
            if self._received() != 64:
                return 13
        self.put(RCTL, self.get(RCTL) & ~RCTL.lbm.mask)
        self.linux.phy_write(0, self.linux.phy_read(0) & ~0x4000 | 0x8000)
        return 0

    def _rings(self) -> None:
        """igb_setup_desc_rings: one ring each way, RSS off, RLPML as the reset left it."""
        self.put(TXDCTL, 0)
        self.put(TCTL, TCTL.en.mask | TCTL.psp.mask)
        self.put(TDLEN, SLOTS * 16)
        self.put(TDBAL, TX_RING & ALL)
        self.put(TDBAH, TX_RING >> 32)
        self.put(TDT, 0)
        self.put(TXDCTL, TXDCTL.enable.mask | 1 << 16 | 0x108)
        self.put(MRQC, 0)
        self.put(RCTL, RCTL.en.mask | RCTL.bam.mask | RCTL.secrc.mask | RCTL.lpe.mask)
        self.put(RXDCTL, 0)
        self.put(RDBAL, RX_RING & ALL)
        self.put(RDBAH, RX_RING >> 32)
        self.put(RDLEN, SLOTS * 16)
        self.put(SRRCTL, 0x02000402)
        self.put(RXDCTL, RXDCTL.enable.mask | 1 << 16 | 0x808)
        self.tx_next = self.rx_next = 0
        for slot in range(SLOTS - 1):
            self._post(slot)
        self.put(RDT, SLOTS - 1)

    def _post(self, slot: int) -> None:
        address = (RX_BUFFERS + slot * BUFFER).to_bytes(8, "little")
        self.world.memory.write(RX_RING + slot * 16, address + bytes(8))

    def _send(self, count: int) -> None:
        """igb_create_lbtest_frame and igb_xmit_frame_ring, ``count`` times: no context descriptor, one buffer."""
        self.world.memory.write(TX_BUFFERS, FRAME)
        for _ in range(count):
            command = 0x2B << 24 | 3 << 20 | len(FRAME) | len(FRAME) << 46
            raw = TX_BUFFERS.to_bytes(8, "little") + command.to_bytes(8, "little")
            self.world.memory.write(TX_RING + self.tx_next * 16, raw)
            self.tx_next = (self.tx_next + 1) % SLOTS
            self.put(TDT, self.tx_next)

    def _received(self) -> int:
        """igb_clean_test_rings: count the good frames, and hand the buffers back."""
        memory, good = self.world.memory, 0
        while memory.read(RX_RING + self.rx_next * 16 + 12, 2) != b"\0\0":
            data = memory.read(RX_BUFFERS + self.rx_next * BUFFER, len(FRAME))
            good += (data[3], data[138], data[140]) == (0xFF, 0xBE, 0xAF)
            self._post((self.rx_next + SLOTS - 1) % SLOTS)
            self.rx_next = (self.rx_next + 1) % SLOTS
        self.put(RDT, (self.rx_next + SLOTS - 1) % SLOTS)
        assert self.get(TDH) == self.tx_next
        return good

    # -- all of it -----------------------------------------------------------------------------------------

    def run(self) -> dict[str, int]:
        """igb_diag_test: every part, with a reset before each, and autonegotiation awaited at the end."""
        results = {"link": self.link()}
        for name in ("registers", "eeprom", "interrupts", "loopback"):
            self.reset()
            if name == "loopback":
                self.power_up_link()
            results[name] = getattr(self, name)()
        self.reset()
        for _ in range(45):
            if self.linux.phy_read(1) & 1 << 5:
                return results
            self.sleep_ms(100)
        raise AssertionError("autonegotiation must complete after the self test, and does not")

    def dma(self) -> list[events.Event]:
        return [event for event in self.world.events if isinstance(event, (events.DmaRead, events.DmaWrite))]
