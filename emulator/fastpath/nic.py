# SPDX-License-Identifier: BSD-3-Clause
"""The 82576 whose data path is the native engine; what is rare is device_model's."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from device_model.igb.nic import Blocks, Igb
from device_model.igb.spec.general import VET
from device_model.packet.parse import parse
from emulator.fastpath.blocks import NativeFlowControl, NativeInterrupts, NativeReceive, NativeTell, NativeTransmit
from emulator.fastpath.events import decode
from emulator.fastpath.faults import pull_faults, push_faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from device_model.events import Observer
    from device_model.igb.config import Config
    from device_model.nic import LinkPartner, Reset
    from device_model.ports import Clock, HostMemory, Interrupts, Wire
    from emulator.fastpath.engine import Engine


class NativeIgb(Igb):
    """An 82576 port on ``engine``. Implements `device_model.nic.Nic`, and `emulator.fastpath.engine.World`.

    What Python knows and the engine needs is brought there by ``settle``, after everything that Python did.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        memory: HostMemory,
        wire: Wire,
        interrupts: Interrupts,
        clock: Clock,
        config: Config,
        keep: Callable[[BaseException], None],
    ) -> None:
        """Assemble the card and power it on; ``keep`` takes what a call of the engine raises."""
        self.engine = engine
        self.keep = keep
        self._wire = wire
        self._port = interrupts
        self.native_tell = NativeTell(engine)
        blocks = Blocks(
            tell=lambda: self.native_tell,
            registers=engine.registers,
            interrupts=lambda *_: NativeInterrupts(engine),  # type: ignore[arg-type]
            receive=lambda *_: NativeReceive(engine),  # type: ignore[arg-type]
            transmit=lambda *arguments: NativeTransmit(engine, arguments[-1]),  # type: ignore[arg-type]
            flow_control=partial(NativeFlowControl, engine),
        )
        engine.world = self
        super().__init__(memory=memory, wire=wire, interrupts=interrupts, clock=clock, config=config, blocks=blocks)
        engine.take_over(self.regs)
        push_faults(self.faults, engine.e.faults)
        self.native_tell.name_at = self.regs.name_at
        self.settle()

    def settle(self) -> None:
        """Tell the engine what may have changed: link, pause, faults, registers that were poked."""
        e, link = self.engine.e, self.link
        e.link.up = link.up
        e.link.phy_loopback = link.phy.loopback
        e.link.paused = self.flow_control.paused
        e.link.refreshing = self.flow_control.refreshing
        e.link.full_duplex = link.full_duplex
        e.link.speed_mbps = link.speed_mbps
        e.link.loopback_speed_mbps = link.loopback_speed_mbps
        e.answers = self.present and not self.faults.stuck
        e.attention = True  # timers of Python may be due earlier than the loop knows
        self.engine.lib.fp_changed(e)
        self.native_tell.drain()

    # -- device_model.nic.Nic ----------------------------------------------------------------------------

    def region_read(self, bar: int, offset: int, size: int) -> int:
        """Return ``size`` bytes of BAR ``bar`` at ``offset``."""
        value = super().region_read(bar, offset, size)
        self.settle()
        return value

    def region_write(self, bar: int, offset: int, size: int, value: int) -> None:
        """Store ``size`` bytes in BAR ``bar`` at ``offset``."""
        super().region_write(bar, offset, size, value)
        self.settle()

    def receive(self, frame: bytes) -> None:
        """Take one frame from the wire (no FCS)."""
        super().receive(frame)
        self.settle()

    def reset(self, kind: Reset) -> None:
        """Return to the power-on state."""
        super().reset(kind)
        self.settle()

    def connect(self, partner: LinkPartner | None) -> None:
        """Plug the cable into ``partner``, or pull it out."""
        super().connect(partner)
        self.settle()

    def interrupts_changed(self) -> None:
        """Look again at the interrupt mode."""
        super().interrupts_changed()
        self.settle()

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Tell ``observer`` every event from now on, after each thing that Python does."""
        return self.native_tell.observe(observer)

    def totals_snapshot(self) -> dict[str, Any]:
        """Return what the card has done, and how many packets and frames several threads have carried together."""
        return {**super().totals_snapshot(), "together": int(self.engine.e.together)}

    # -- device_model.igb.faults.Actions -----------------------------------------------------------------

    def refresh_faults(self) -> None:
        """Fetch the counts that the engine has counted down."""
        pull_faults(self.engine.e.faults, self.faults)

    def faults_changed(self) -> None:
        """Bring the faults to the engine."""
        push_faults(self.faults, self.engine.e.faults)
        self.settle()

    def deliver_pending(self, vector: int) -> None:
        """Try again to send the message of ``vector``."""
        with self._faults_there():
            super().deliver_pending(vector)

    def send_spurious(self, vector: int) -> None:
        """Send message ``vector`` although nothing happened."""
        with self._faults_there():
            super().send_spurious(vector)

    def release_completions(self, queue: int, count: int | None) -> int:
        """Write back the oldest withheld packets."""
        with self._faults_there():
            return super().release_completions(queue, count)

    def complete_now(self, queue: int, index: int) -> None:
        """Set DD in one transmit slot."""
        with self._faults_there():
            super().complete_now(queue, index)

    def rewrite_old_receive_slot(self, queue: int) -> None:
        """Write an old receive descriptor once more."""
        with self._faults_there():
            super().rewrite_old_receive_slot(queue)

    def finish_write_back(self, queue: int) -> None:
        """Supply lengths that a fault left out."""
        with self._faults_there():
            super().finish_write_back(queue)

    @contextmanager
    def _faults_there(self) -> Iterator[None]:
        """Let the engine know the faults while it acts, and take back what it has counted down."""
        push_faults(self.faults, self.engine.e.faults)
        yield
        pull_faults(self.engine.e.faults, self.faults)

    def received_note(self) -> str:
        """Return what became of the frame that arrived last, in words."""
        return self._note(self.engine.e.placed)

    def sent_note(self) -> str:
        """Return what the frame is that leaves just now, in words."""
        return self._note(self.engine.e.leaving)

    def _note(self, note: Any) -> str:  # noqa: ANN401 - cffi's objects have no types
        ffi, lib = self.engine.ffi, self.engine.lib
        text = ffi.new("char[]", lib.FP_NOTE_ROOM)
        lib.fp_note_text(ffi.addressof(note), text)
        return str(ffi.string(text).decode())

    # -- emulator.fastpath.engine.World ------------------------------------------------------------------

    def send(self, vector: int) -> None:
        """Send a message by way of the PCI side."""
        self._port.send(vector)

    def set_intx(self, asserted: bool) -> None:  # noqa: FBT001 - the level of a wire is a Boolean
        """Drive the INTx line."""
        self._port.set_intx(asserted)

    def emit(self, frame: bytes) -> None:
        """Send a frame on a wire of Python's."""
        self._wire.emit(frame)

    def pause(self, frame: bytes) -> None:
        """Obey a pause frame."""
        self.flow_control.received(frame)
        self.settle()

    def filled(self, level: int) -> bool:
        """Let flow control look at the packet buffer."""
        self.flow_control.filled(level)
        self.engine.e.link.refreshing = self.flow_control.refreshing
        return self.flow_control.xoff_sent

    def stamp_rx(self, frame: bytes) -> bool:
        """Stamp a PTP frame that the driver wants stamped."""
        vlan_ethertype = VET.vet.of(self.regs.peek(VET))
        return self.timesync.arrived(frame, parse(frame, vlan_ethertype=vlan_ethertype))

    def stamp_tx(self) -> None:
        """Latch the time of a frame that leaves."""
        self.timesync.transmitted()

    def watched(self, kind: int, words: tuple[int, int, int, int], data: bytes, *, other_side: bool) -> None:
        """Call whoever watches."""
        event = decode(kind, self._clock.now_ns(), words, data, self.regs.name_at)
        self.native_tell.watched(event, other_side=other_side)

    def awaken(self, frame: bytes) -> None:
        """Look whether a frame wakes the host."""
        self.wake.arrived(frame)
