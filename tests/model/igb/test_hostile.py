# SPDX-License-Identifier: BSD-3-Clause
"""Whatever a guest does, the card does not raise, does not hang, and writes only where a driver allowed it to.

Two kinds of guest: one that writes anything anywhere, and one whose rings are set up but whose descriptors,
buffers, tails and registers are then spoilt. The memory keeps its own account of what the rings permit, from the
registers as written and the descriptors as they stood, and not from the card's state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from device_model import events
from device_model.igb.config import Config
from device_model.igb.faults import COMMANDS
from device_model.igb.spec import REGISTERS
from device_model.igb.spec.general import CTRL
from device_model.igb.spec.interrupts import EIMS
from device_model.igb.spec.receive import RCTL, RDBAH, RDBAL, RDLEN, RDT, RXDCTL, SRRCTL
from device_model.igb.spec.transmit import TCTL, TDBAH, TDBAL, TDLEN, TDT, TDWBAH, TDWBAL, TXDCTL
from device_model.nic import FaultError, LinkPartner, Reset
from device_model.ports import InterruptMode
from tests.model.packet import frames

from .driver import RX_BUFFER_SIZE, Driver
from .world import BASE, Memory, World

if TYPE_CHECKING:
    from device_model.declare import Register

MS = 1_000_000
SIZE = 1 << 20
WORDS = (0, 1, 0x7F, 0xFFFF, 0x8000_0000, 0xFFFF_FFFF, BASE >> 32, 0x0200_0000, 0x0200_0402, 0x0402, 0x0404_8022)
ADDRESSES = sorted({address for reg in REGISTERS for address, _ in reg.addresses()})
RINGS = [
    reg.at + n * reg.stride
    for reg in (RDBAL, RDBAH, RDLEN, RDT, RXDCTL, SRRCTL, TDBAL, TDBAH, TDLEN, TDT, TXDCTL, TDWBAL, TDWBAH)
    for n in range(2)
]

words = st.one_of(st.sampled_from(WORDS), st.integers(0, 2**32 - 1), st.integers(0, 70))
offsets = st.one_of(
    st.sampled_from(ADDRESSES), st.sampled_from(RINGS), st.integers(0, 0x1FFFF), st.sampled_from([0x20000, 2**31])
)
iovas = st.one_of(
    st.integers(BASE, BASE + SIZE), st.integers(0, 2**64 - 1), st.sampled_from([0, BASE - 1, BASE + SIZE])
)
wire_frames = st.one_of(
    st.binary(max_size=100),
    st.integers(0, 12000).map(lambda size: Config().mac + bytes(6) + b"\x08\x00" + bytes(size)),
    st.binary(max_size=60).map(lambda tail: Config().mac + bytes(6) + b"\x81\x00\x00\x00\x08\x00\x45" + tail),
    st.binary(max_size=60).map(lambda tail: b"\xff" * 6 + bytes(6) + b"\x86\xdd\x60" + tail),
)


class Guarded(Memory):
    """Memory that says whether each store of the card was permitted."""

    def __init__(self) -> None:
        super().__init__(SIZE)
        self.by_card = True
        self.permitted: list[range] = []
        self.trespasses: list[tuple[int, int]] = []

    def write(self, iova: int, data: bytes) -> None:
        super().write(iova, data)
        inside = any(iova in area and iova + len(data) <= area.stop for area in self.permitted)
        if self.by_card and data and not inside:
            self.trespasses.append((iova, len(data)))


def guarded_world(mode: InterruptMode = InterruptMode.MSIX) -> tuple[World, Guarded]:
    memory = Guarded()
    world = World(mode, memory=memory)
    return world, memory


class AnyRegisters(RuleBasedStateMachine):
    """A guest that writes anything anywhere: nothing may raise, and time always goes on."""

    @initialize(mode=st.sampled_from(list(InterruptMode)), up=st.booleans())
    def power_on(self, mode: InterruptMode, up: bool) -> None:
        self.world = World(mode)
        if up:
            Driver(self.world).up()

    @rule(offset=offsets, size=st.sampled_from([1, 2, 4, 4, 4, 8]), value=words)
    def write(self, offset: int, size: int, value: int) -> None:
        self.world.nic.region_write(0, offset, size, value | value << 32 & (1 << size * 8) - 1)

    @rule(offset=st.sampled_from(RINGS), value=words)
    def write_ring(self, offset: int, value: int) -> None:
        self.world.write(offset, value)

    @rule(offset=offsets, size=st.sampled_from([1, 2, 4, 8]))
    def read(self, offset: int, size: int) -> None:
        assert 0 <= self.world.nic.region_read(0, offset, size) < 1 << size * 8

    @rule(bar=st.integers(1, 6), offset=st.integers(0, 0x40), size=st.sampled_from([1, 2, 4]), value=words)
    def other_bars(self, bar: int, offset: int, size: int, value: int) -> None:
        self.world.nic.region_write(bar, offset, size, value)
        assert 0 <= self.world.nic.region_read(bar, offset, size) < 1 << size * 8

    @rule(at=st.integers(0, SIZE - 4096), data=st.binary(min_size=1, max_size=64), times=st.sampled_from([1, 64]))
    def memory(self, at: int, data: bytes, times: int) -> None:
        self.world.memory.bytes[at : at + len(data) * times] = data * times

    @rule(frame=wire_frames, many=st.sampled_from([1, 1, 70]))
    def receive(self, frame: bytes, many: int) -> None:
        for _ in range(many):
            self.world.nic.receive(frame)

    @rule(ns=st.sampled_from([1, 1000, MS, 100 * MS, 10_000 * MS]))
    def wait(self, ns: int) -> None:
        self.world.clock.advance(ns, most=20_000)

    @rule(kind=st.sampled_from([*Reset, None]))
    def reset(self, kind: Reset | None) -> None:
        if kind is None:
            self.world.write(CTRL.at, CTRL.rst.mask)
        else:
            self.world.nic.reset(kind)
        before = len(self.world.memory.stores)
        self.world.clock.advance(10_000 * MS, most=20_000)
        assert len(self.world.memory.stores) == before, "nothing is stored after a reset"

    @rule(mode=st.sampled_from(list(InterruptMode)))
    def change_interrupt_mode(self, mode: InterruptMode) -> None:
        self.world.messages.mode = mode
        self.world.nic.interrupts_changed()

    @rule(partner=st.sampled_from([None, LinkPartner(), LinkPartner(frozenset({10}), full_duplex=False)]))
    def cable(self, partner: LinkPartner | None) -> None:
        self.world.nic.connect(partner)

    @rule(rate=st.sampled_from([1, 10, "auto", "unlimited"]))
    def rate(self, rate: int | str) -> None:
        self.world.nic.set_rate(rate)

    @rule(
        name=st.sampled_from(sorted(COMMANDS)),
        arguments=st.dictionaries(
            st.sampled_from(["vector", "queue", "count", "on", "index", "mode", "bits", "flags", "rss_hash", "when"]),
            st.one_of(st.integers(-1, 3), st.booleans(), st.none(), st.sampled_from(["zero-length", "normal", "x"])),
            max_size=3,
        ),
    )
    def fault(self, name: str, arguments: dict[str, object]) -> None:
        try:
            self.world.nic.faults.apply(name, **arguments)
        except FaultError:
            return

    @rule(direction=st.sampled_from(["rx", "tx"]), queue=st.integers(0, 15))
    def look(self, direction: str, queue: int) -> None:
        self.world.nic.ring_snapshot(direction, queue)
        assert all(0 <= value < 1 << 32 for value in self.world.nic.registers_snapshot().values())

    @invariant()
    def only_vectors_that_exist_are_sent(self) -> None:
        if hasattr(self, "world"):
            assert all(0 <= vector < 25 for vector in self.world.messages.sent)
            self.world.events.clear()
            self.world.messages.sent.clear()


class SpoiltRings(RuleBasedStateMachine):
    """A driver whose rings are right and whose descriptors are not: stores stay inside what was handed over."""

    @initialize()
    def bring_up(self) -> None:
        self.world, self.memory = guarded_world()
        self.memory.by_card = False
        self.driver = Driver(self.world)
        self.driver.up()
        self.world.nic.set_rate("unlimited")
        self._permit()

    def _permit(self) -> None:
        """Permit write-backs to all rings, and each buffer that a posted descriptor names."""
        memory, driver = self.memory, self.driver
        memory.permitted = []
        for q in range(2):
            for ring in (driver.rx_ring(q), driver.tx_ring(q)):
                memory.permitted.append(range(ring, ring + driver.slots * 16))
            for index in range(driver.slots):
                at = driver.rx_ring(q) + index * 16 - BASE
                buffer = int.from_bytes(memory.bytes[at : at + 8], "little")
                memory.permitted.append(range(buffer, buffer + RX_BUFFER_SIZE))
        memory.by_card = True

    @rule(q=st.integers(0, 1), index=st.integers(0, 63), buffer=iovas, second=words, many=st.sampled_from([1, 16]))
    def spoil_receive(self, q: int, index: int, buffer: int, second: int, many: int) -> None:
        """The driver changes slots that it owns; what the card has fetched may still lead to the old buffers."""
        old = self.memory.permitted
        for n in range(index, min(index + many, 64)):
            at = self.driver.rx_ring(q) + n * 16 - BASE
            self.memory.bytes[at : at + 16] = buffer.to_bytes(8, "little") + second.to_bytes(8, "little")
        self._permit()
        self.memory.permitted = list(dict.fromkeys([*self.memory.permitted, *old]))

    @rule(q=st.integers(0, 1), tail=st.integers(0, 80))
    def receive_tail(self, q: int, tail: int) -> None:
        self.driver.put(RDT, tail, q)

    @rule(q=st.integers(0, 1), index=st.integers(0, 63), buffer=iovas, second=st.integers(0, 2**64 - 1))
    def spoil_transmit(self, q: int, index: int, buffer: int, second: int) -> None:
        at = self.driver.tx_ring(q) + index * 16 - BASE
        self.memory.bytes[at : at + 16] = buffer.to_bytes(8, "little") + second.to_bytes(8, "little")

    @rule(q=st.integers(0, 1), tail=st.integers(0, 80))
    def transmit_tail(self, q: int, tail: int) -> None:
        self.driver.put(TDT, tail, q)
        self.world.clock.advance(MS, most=20_000)

    @rule(kib=st.integers(0, 2), kind=st.integers(0, 7), drop=st.booleans(), q=st.integers(0, 1))
    def buffer_size(self, kib: int, kind: int, drop: bool, q: int) -> None:
        self.driver.put(SRRCTL, kib | kind << 25 | drop << 31 | 0x400, q)

    @rule(long=st.booleans(), en=st.booleans(), bsize=st.integers(0, 3), tx=st.booleans())
    def engines(self, long: bool, en: bool, bsize: int, tx: bool) -> None:
        self.driver.world.write(0x5004, 0x3FFF if long else 1536)
        self.driver.put(RCTL, RCTL.bam.mask | RCTL.lpe.mask | en << 1 | bsize << 16)
        self.driver.put(TCTL, TCTL.psp.mask | tx << 1)

    @rule(frame=wire_frames, many=st.sampled_from([1, 1, 70]))
    def receive(self, frame: bytes, many: int) -> None:
        for _ in range(many):
            self.world.nic.receive(frame)
        self.driver.put(EIMS, 0x1F)

    @rule(q=st.integers(0, 1), tx=st.booleans())
    def restart_queue(self, q: int, tx: bool) -> None:
        reg: type[Register] = TXDCTL if tx else RXDCTL
        self.driver.put(reg, 0, q)
        self.driver.put(reg, 1 << 25, q)

    @precondition(lambda self: hasattr(self, "memory"))
    @invariant()
    def nothing_was_written_elsewhere(self) -> None:
        assert self.memory.trespasses == []
        self.world.events.clear()


PACE = settings(
    max_examples=16, stateful_step_count=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
TestAnyRegisters = AnyRegisters.TestCase
TestAnyRegisters.settings = PACE
TestSpoiltRings = SpoiltRings.TestCase
TestSpoiltRings.settings = PACE


@pytest.mark.parametrize("store", ["buffer", "descriptor"])
def test_a_store_outside_would_be_found(store: str) -> None:
    world, memory = guarded_world()
    memory.by_card = False
    driver = Driver(world)
    driver.up()
    memory.by_card = True
    ring, buffer = driver.rx_ring(0), driver.rx_buffer(0, 0)
    areas = {"buffer": range(buffer, buffer + 2048), "descriptor": range(ring, ring + 16)}
    memory.permitted = [area for name, area in areas.items() if name != store]
    world.nic.receive(Config().mac + bytes(60))
    assert memory.trespasses
    memory.trespasses.clear()
    driver.put(RDT, 0, 0)
    memory.permitted = [range(BASE, BASE + SIZE)]
    world.nic.receive(Config().mac + bytes(60))
    assert memory.trespasses == []


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(iovas, st.integers(0, 2**64 - 1)), min_size=1, max_size=20))
def test_every_transmit_descriptor_is_passed_and_the_queue_lives_on(descriptors: list[tuple[int, int]]) -> None:
    """After any nonsense that ends with a whole packet, the next right packet still leaves."""
    world = World()
    driver = Driver(world)
    driver.up()
    world.nic.set_rate("unlimited")
    end = 1 << 24 | 1 << 25 | 3 << 20 | 1 << 29
    raw = b"".join(a.to_bytes(8, "little") + b.to_bytes(8, "little") for a, b in [*descriptors, (BASE, end)])
    world.memory.write(driver.tx_ring(0), raw)
    driver.tx_tail[0] = len(descriptors) + 1
    driver.doorbell(0)
    world.clock.advance(10 * MS, most=1000)
    world.cable.frames.clear()
    packet = bytes(12) + b"\x88\xb5" + bytes(range(100))
    last = driver.send(0, packet)
    world.clock.advance(10 * MS, most=1000)
    assert world.cable.frames == [packet]
    assert driver.done(0, last)


def test_addresses_outside_memory_are_told_to_observers() -> None:
    world = World()
    driver = Driver(world)
    driver.up()
    world.memory.write(driver.rx_ring(0), (0xDEAD_0000).to_bytes(8, "little") + bytes(8))
    world.nic.receive(Config().mac + frames.udp_frame(b"x", bytes(4), bytes(4), (1, 2))[6:])
    [told] = [event.what for event in world.events if isinstance(event, events.GuestError)]
    assert "0xdead0000" in told
