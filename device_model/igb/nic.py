# SPDX-License-Identifier: BSD-3-Clause
"""The 82576 as a whole: its blocks, and the way from a BAR access to the block that answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from device_model import events
from device_model.igb.faults import Faults
from device_model.igb.flow_control import FlowControl
from device_model.igb.interrupts import InterruptBlock
from device_model.igb.link import Link
from device_model.igb.nvm import Nvm
from device_model.igb.receive import Receive
from device_model.igb.semaphores import Semaphores
from device_model.igb.snapshot import ring_snapshot
from device_model.igb.spec import REGISTERS, host_statistics, statistics
from device_model.igb.spec.general import CTRL, FRTIMER
from device_model.igb.spec.receive import RDH, RQDPC
from device_model.igb.spec.transmit import TDH
from device_model.igb.statistics import Statistics
from device_model.igb.timesync import Timesync
from device_model.igb.totals import totals_snapshot
from device_model.igb.transmit import Transmit
from device_model.igb.wake import Wake
from device_model.nic import Reset
from device_model.regfile import RegisterFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_model.events import Event, Observer, Watcher
    from device_model.igb.config import Config
    from device_model.nic import LinkPartner
    from device_model.ports import Clock, HostMemory, Interrupts, Wire

_CSR_BAR = 0
_IO_BAR = 2
_IOADDR, _IODATA = 0, 4
_ALL_ONES = 0xFFFF_FFFF
COUNTERS = tuple(
    reg for reg in REGISTERS if reg is RQDPC or reg.__module__ in (statistics.__name__, host_statistics.__name__)
)
"""The statistics registers."""
_NAMED_RATES = {"auto": None, "unlimited": 0}


@dataclass(frozen=True, slots=True)
class Blocks:
    """What the data path is made of; another engine brings its own, with the same arguments and methods."""

    tell: Callable[[], events.Tell] = events.Tell
    registers: Callable[[], RegisterFile] = partial(RegisterFile, REGISTERS)
    interrupts: Callable[..., InterruptBlock] = InterruptBlock
    receive: Callable[..., Receive] = Receive
    transmit: Callable[..., Transmit] = Transmit
    flow_control: Callable[..., FlowControl] = FlowControl


class Igb:
    """An 82576 port. Implements `device_model.nic.Nic`."""

    def __init__(
        self,
        *,
        memory: HostMemory,
        wire: Wire,
        interrupts: Interrupts,
        clock: Clock,
        config: Config,
        blocks: Blocks | None = None,
    ) -> None:
        """Assemble the card, of ``blocks`` if they are not to be the usual ones, and power it on."""
        blocks = blocks or Blocks()
        self._memory = memory
        self._clock = clock
        self.tell = blocks.tell()
        self.regs = blocks.registers()
        self.faults = Faults(self)
        self.interrupts = blocks.interrupts(self.regs, interrupts, clock, self.tell, self.faults)
        self.nvm = Nvm(self.regs, config.mac, config.nvm_image)
        self.semaphores = Semaphores(self.regs)
        self.link = Link(self.regs, clock, self.interrupts.raise_causes, self.tell, config.autoneg_ns)
        self.statistics = Statistics(self.regs)
        self.timesync = Timesync(self.regs, clock, self.faults)
        self.wake = Wake(self.regs)
        self.flow_control = blocks.flow_control(self.regs, clock, self.tell, self.link, self.statistics, wire.emit)
        self.receiver = blocks.receive(
            self.regs,
            memory,
            clock,
            self.tell,
            self.faults,
            self.interrupts,
            self.link,
            self.statistics,
            self.timesync,
            self.flow_control,
        )
        self.transmitter = blocks.transmit(
            self.regs,
            memory,
            clock,
            self.tell,
            self.faults,
            self.interrupts,
            self.link,
            self.statistics,
            self.timesync,
            self.flow_control,
            wire.emit,
            lambda frame: self.receiver.arrive(frame, looped=True),
            config.rate_mbps,
        )
        self._io_address = 0
        self._born_ns = clock.now_ns()
        self.interrupts.least_gap_us = config.least_gap_us
        self.link.on_change(self._link_changed)
        self.flow_control.on_resume(self.transmitter.kick)
        self.regs.on_write(CTRL, self._write_ctrl)
        self.regs.on_read(FRTIMER, lambda _n: (clock.now_ns() - self._born_ns) // 1000 & _ALL_ONES)
        self.reset(Reset.POWER_ON)
        self.link.connect(config.partner)

    # -- device_model.nic.Nic ----------------------------------------------------------------------------

    @property
    def present(self) -> bool:
        """Whether the card answers; a fault pulls it out."""
        return not self.faults.all_ones

    def region_read(self, bar: int, offset: int, size: int) -> int:
        """Return ``size`` bytes of BAR ``bar`` at ``offset``."""
        if bar == _CSR_BAR:
            return self._read_bytes(offset, size)
        if bar == _IO_BAR:
            return self._io_read(offset, size)
        return 0

    def region_write(self, bar: int, offset: int, size: int, value: int) -> None:
        """Store ``size`` bytes in BAR ``bar`` at ``offset``."""
        if bar == _CSR_BAR:
            self._write_bytes(offset, size, value)
        elif bar == _IO_BAR:
            self._io_write(offset, value)

    def receive(self, frame: bytes) -> None:
        """Take one frame from the wire (no FCS)."""
        self.wake.arrived(frame)
        self.receiver.arrive(frame)

    def reset(self, kind: Reset) -> None:
        """Return to the power-on state; pending work is dropped and no DMA follows."""
        self._reset(software=False, kind=kind.value)

    def connect(self, partner: LinkPartner | None) -> None:
        """Plug the cable into ``partner``, or pull it out."""
        self.link.connect(partner)

    def interrupts_changed(self) -> None:
        """Look again at the interrupt mode."""
        self.interrupts.mode_changed()

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Tell ``observer`` every event from now on; the returned function ends that."""
        return self.tell.observe(observer)

    def watch(self, watcher: Watcher, kinds: frozenset[type[Event]], other_sides: frozenset[type[Event]]) -> None:
        """Call ``watcher`` at the very place of each event of ``kinds``, and on the other side of ``other_sides``."""
        self.tell.watch(watcher, kinds, other_sides)

    def received_note(self) -> str:
        """Return what became of the frame that arrived last, in words."""
        return self.receiver.note.text()

    def sent_note(self) -> str:
        """Return what the frame is that leaves just now, in words."""
        return self.transmitter.note.text()

    # -- for the control socket --------------------------------------------------------------------------

    def set_rate(self, rate: int | str) -> None:
        """Let frames leave at ``rate`` Mb/s, at the negotiated speed ("auto") or at once ("unlimited")."""
        self.transmitter.rate_mbps = _NAMED_RATES[rate] if isinstance(rate, str) else rate
        self.transmitter.kick()

    def registers_snapshot(self) -> dict[str, int]:
        """Return every register's value by name, without side effects."""
        snapshot = self.regs.snapshot()
        for n, ring in enumerate(self.receiver.rings):
            snapshot[RDH.title(n)] = ring.head
        for n, queue in enumerate(self.transmitter.queues):
            snapshot[TDH.title(n)] = queue.ring.head
        return snapshot

    def ring_snapshot(self, direction: str, queue: int) -> dict[str, Any]:
        """Return a ring's pointers and its descriptors, decoded."""
        rings = {"rx": self.receiver.rings, "tx": [q.ring for q in self.transmitter.queues]}
        return ring_snapshot(rings[direction][queue], self._memory)

    def statistics_snapshot(self) -> dict[str, int]:
        """Return the statistics counters without clearing them."""
        return {reg.title(n): self.regs.peek(reg, n) for reg in COUNTERS for n in range(reg.count)}

    def totals_snapshot(self) -> dict[str, Any]:
        """Return what the card has done since it was made, and the state of its rings."""
        return totals_snapshot(self.regs, self.receiver, self.transmitter, self.interrupts)

    # -- device_model.igb.faults.Actions -----------------------------------------------------------------

    def refresh_faults(self) -> None:
        """Do nothing: the blocks count in the fields themselves."""

    def faults_changed(self) -> None:
        """Do nothing: the blocks look at the fields themselves."""

    def deliver_pending(self, vector: int) -> None:
        """Try again to send the message of ``vector``."""
        self.interrupts.deliver_pending(vector)

    def send_spurious(self, vector: int) -> None:
        """Send message ``vector`` although nothing happened."""
        self.interrupts.send_spurious(vector)

    def release_completions(self, queue: int, count: int | None) -> int:
        """Write back the oldest withheld packets."""
        return self.transmitter.release(queue, count)

    def complete_now(self, queue: int, index: int) -> None:
        """Set DD in one transmit slot."""
        self.transmitter.complete_now(queue, index)

    def rewrite_old_receive_slot(self, queue: int) -> None:
        """Write an old receive descriptor once more."""
        self.receiver.rewrite_old_slot(queue)

    def bad_checksum(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """Spoil or mend the EEPROM checksum."""
        self.nvm.bad_checksum = on

    def finish_write_back(self, queue: int) -> None:
        """Supply lengths that a fault left out."""
        self.receiver.finish_write_back(queue)

    def transmit_off(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """Show STATUS.TXOFF or not."""
        self.link.transmit_off(on)

    # -- BAR 0 and the I/O BAR ---------------------------------------------------------------------------

    def _read(self, offset: int) -> int:
        if self.tell.two_sided:
            self.tell.other_side(events.RegisterRead(self._clock.now_ns(), offset, self.regs.name_at(offset), 0))
        value = self.regs.read(offset) & ~self.faults.stuck.get(offset, 0) if self.present else _ALL_ONES
        if self.tell.on:
            self.tell(events.RegisterRead(self._clock.now_ns(), offset, self.regs.name_at(offset), value))
        return value

    def _write(self, offset: int, value: int) -> None:
        if self.tell.on:
            self.tell(events.RegisterWritten(self._clock.now_ns(), offset, self.regs.name_at(offset), value))
        if self.present:
            self.regs.write(offset, value)
        if self.tell.two_sided:
            self.tell.other_side(events.RegisterWritten(self._clock.now_ns(), offset, self.regs.name_at(offset), value))

    def _read_bytes(self, offset: int, size: int) -> int:
        """Registers are 32 bits wide; other widths take what lies in the words they touch."""
        first = offset & ~3
        value = self._read(first)
        if offset + size > first + 4:
            value |= self._read(first + 4) << 32
        return value >> (offset - first) * 8 & (1 << size * 8) - 1

    def _write_bytes(self, offset: int, size: int, value: int) -> None:
        if size == 4 and not offset & 3:
            self._write(offset, value & _ALL_ONES)
            return
        if size == 8 and not offset & 3:
            self._write(offset, value & _ALL_ONES)
            self._write(offset + 4, value >> 32 & _ALL_ONES)
            return
        if self.tell.on:
            what = f"a register write must be 4 bytes on a 4-byte boundary, not {size} at {offset:#x}; ignored"
            self.tell(events.GuestError(self._clock.now_ns(), what))

    def _io_read(self, offset: int, size: int) -> int:
        if offset == _IOADDR:
            return self._io_address & (1 << size * 8) - 1
        if offset == _IODATA and self._io_address < 0x20000:
            return self._read_bytes(self._io_address, size)
        return 0

    def _io_write(self, offset: int, value: int) -> None:
        if offset == _IOADDR:
            self._io_address = value & _ALL_ONES
        elif offset == _IODATA and self._io_address < 0x20000:
            self._write_bytes(self._io_address & ~3, 4, value)

    def _link_changed(self) -> None:
        """Another link knows nothing of the pauses of the one before; what waits to be sent may go now."""
        self.flow_control.reset()
        self.wake.link_changed()
        self.transmitter.kick()

    # -- reset -------------------------------------------------------------------------------------------

    def _write_ctrl(self, _n: int, _old: int, new: int) -> None:
        if new & CTRL.rst.mask:
            self._reset(software=True, kind="software")

    def _reset(self, *, software: bool, kind: str) -> None:
        """Reset all registers and blocks; CTRL.RST spares EITR, the packet buffer split and the PHY (82576 4.2)."""
        self.regs.reset(software=software)
        self.flow_control.reset()
        self.transmitter.reset()
        self.receiver.reset()
        self.interrupts.reset()
        self.timesync.reset()
        self.semaphores.reset()
        self.statistics.reset()
        self.nvm.reload()
        self.link.reset(software=software)
        self.wake.reset(power=kind == Reset.POWER_ON.value)
        self._io_address = 0
        if self.tell.on:
            self.tell(events.DeviceReset(self._clock.now_ns(), kind))
