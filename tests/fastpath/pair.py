# SPDX-License-Identifier: BSD-3-Clause
"""Two cards in two equal worlds, the model and the native engine: what is done to one is done to the other.

Steps are chosen by anything with the methods of ``random.Random``, so that a seed repeats a run and Hypothesis can
shrink one. After each step everything that can be seen of the two must be equal: what a read returned, guest memory,
frames, messages, the level of INTx and every event.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from device_model.events import TWO_SIDED
from device_model.igb.faults import COMMANDS
from device_model.igb.spec import REGISTERS
from device_model.igb.spec.descriptors import TxContext, TxData, TxLegacy
from device_model.igb.spec.filters import ETQF, MTA, RAH, RAL, VFTA
from device_model.igb.spec.general import CTRL, CTRL_EXT, VET
from device_model.igb.spec.interrupts import (
    EIAC,
    EIAM,
    EICR,
    EICS,
    EIMC,
    EIMS,
    EITR,
    GPIE,
    IAM,
    ICR,
    ICS,
    IMC,
    IMS,
    IVAR,
    IVAR_MISC,
)  # fmt: skip
from device_model.igb.spec.receive import (
    MRQC,
    RCTL,
    RDBAL,
    RDH,
    RDLEN,
    RDT,
    RETA,
    RFCTL,
    RLPML,
    RSSRK,
    RXCSUM,
    RXDCTL,
    SRRCTL,
)  # fmt: skip
from device_model.igb.spec.timesync import TSYNCRXCTL, TSYNCTXCTL
from device_model.igb.spec.transmit import TCTL, TDBAL, TDH, TDLEN, TDT, TDWBAL, TXDCTL
from device_model.nic import FaultError, LinkPartner, Reset
from device_model.ports import InterruptMode
from emulator.fastpath.events import KINDS
from tests.fastpath.world import NativeWorld
from tests.model.igb.driver import TX_BUFFERS, Driver
from tests.model.igb.world import BASE, World
from tests.model.packet import frames

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from device_model.declare import Register
    from device_model.events import Event

QUEUES, SLOTS = 4, 32
ETH_HEADER, LONGEST = 14, 9736
LINK_NS = 50_000_000
"""Enough for a link to be found."""

HOT = (
    CTRL, CTRL_EXT, VET, RCTL, TCTL, RLPML, RFCTL, RXCSUM, MRQC, RETA, RSSRK, RAL, RAH, VFTA, ETQF, SRRCTL, RXDCTL,
    RDLEN, RDBAL, RDH, RDT, TDLEN, TDBAL, TDH, TDT, TXDCTL, TDWBAL, ICR, ICS, IMS, IMC, IAM, GPIE, EICS, EIMS, EIMC,
    EIAC, EIAM, EICR, EITR, IVAR, IVAR_MISC, TSYNCRXCTL, TSYNCTXCTL,
)  # fmt: skip
"""The registers of the data path: three writes of four go to one of these."""

ALL = tuple(address for reg in REGISTERS for address, _ in reg.addresses())
GUEST_MAC = bytes.fromhex("525400825760")
MULTICAST = bytes.fromhex("01005e0000fb")
EVERY_KIND = frozenset(KINDS)
FAULTS = {
    "hold_interrupts": ("vector",),
    "release_interrupts": ("vector",),
    "drop_interrupts": ("vector", "count", "when"),
    "duplicate_interrupts": ("vector", "count"),
    "spurious_interrupt": ("vector",),
    "no_auto_mask": ("on",),
    "withhold_completions": ("queue",),
    "release_completions": ("queue", "count"),
    "complete_out_of_order": ("queue", "index"),
    "transmit_nothing": ("on",),
    "receive_write_back": ("queue", "mode", "count"),
    "receive_errors": ("bits",),
    "force_rss": ("rss_hash", "queue", "rss_type"),
    "force_checksum": ("flags",),
    "read_all_ones": ("on",),
    "ignore_eics": ("on",),
    "ignore_eitr": ("on",),
    "no_tx_timestamp": ("on",),
    "corrupt_loopback": ("on",),
    "stale_descriptor": ("queue",),
    "stuck_bits": ("offset", "mask"),
    "prompt_doorbells": ("on",),
    "clear": (),
}
assert set(FAULTS) <= set(COMMANDS)


@dataclass(frozen=True)
class Step:
    """One thing that is done to both cards; ``words`` say what."""

    words: tuple[Any, ...]
    act: Callable[[World], object]


def note(seen: list[tuple[Event, bool]], event: Event, other_side: bool) -> None:
    """Remember what a watcher was called with."""
    seen.append((event, other_side))


class Differ(AssertionError):
    """The two cards are not the same card."""


class Pair:
    """The two worlds. ``steps`` is how many were made."""

    def __init__(self, mode: InterruptMode = InterruptMode.MSIX, threads: int = 1) -> None:
        native = self.native = NativeWorld(mode)
        self.together = threads > 1
        if self.together:
            native.use_threads(threads)
        self.worlds: tuple[World, World] = (World(mode), native)
        self.close = native.engine.close
        self.watched: tuple[list[tuple[Event, bool]], ...] = ([], [])
        for world, seen in zip(self.worlds, self.watched, strict=True):
            world.cable.note = world.nic.sent_note
            if not self.together:
                world.nic.watch(partial(note, seen), EVERY_KIND, TWO_SIDED)
        self.drivers = [Driver(world, SLOTS, QUEUES) for world in self.worlds]
        self.steps = 0
        self.done: list[tuple[Any, ...]] = []
        for driver in self.drivers:
            driver.up()
        if self.together:
            for world in self.worlds:
                world.nic.set_rate("unlimited")
        self.compare()

    def step(self, step: Step) -> None:
        """Do ``step`` to both, and compare."""
        self.done.append(step.words)
        del self.done[:-400]
        answers = []
        for world in self.worlds:
            try:
                answers.append(step.act(world))
            except FaultError as error:
                answers.append(str(error))
        self.steps += 1
        if self.together:
            self.native.map_elsewhere()
        if answers[0] != answers[1]:
            self._differ("answers", *answers)
        self.compare()

    def compare(self) -> None:
        model, native = self.worlds
        if model.cable.frames != native.cable.frames:
            self._differ("frames", model.cable.frames, native.cable.frames)
        if model.cable.notes != native.cable.notes:
            self._differ("notes of frames", model.cable.notes, native.cable.notes)
        if model.messages.sent != native.messages.sent:
            self._differ("messages", model.messages.sent, native.messages.sent)
        if model.messages.levels != native.messages.levels:
            self._differ("levels", model.messages.levels, native.messages.levels)
        if model.memory.bytes != native.memory.bytes:
            at = next(
                n
                for n, pair in enumerate(zip(model.memory.bytes, native.memory.bytes, strict=True))
                if pair[0] != pair[1]
            )
            self._differ(
                f"memory at {BASE + at:#x}",
                model.memory.bytes[at : at + 16].hex(),
                native.memory.bytes[at : at + 16].hex(),
            )
        if not self.together and model.events != native.events:
            pairs = list(zip(model.events, native.events, strict=False))
            at = next((n for n, pair in enumerate(pairs) if pair[0] != pair[1]), len(pairs))
            self._differ(f"events from {at}", model.events[at : at + 3], native.events[at : at + 3])
        if self.watched[0] != self.watched[1]:
            at = next((n for n, pair in enumerate(zip(*self.watched, strict=False)) if pair[0] != pair[1]), 0)
            self._differ(f"what is watched from {at}", *(seen[at : at + 3] for seen in self.watched))
        for seen in self.watched:
            seen.clear()
        for world in self.worlds:
            world.cable.frames.clear()
            world.cable.notes.clear()
            world.messages.sent.clear()
            world.messages.levels.clear()
            world.memory.stores.clear()
            world.events.clear()

    def compare_registers(self) -> None:
        totals = [world.nic.totals_snapshot() for world in self.worlds]
        del totals[1]["together"]
        if totals[0] != totals[1]:
            self._differ("totals", *totals)
        model, native = (world.nic.registers_snapshot() for world in self.worlds)
        if model != native:
            self._differ(
                "registers",
                *(
                    {name: hex(value) for name, value in one.items() if value != other[name]}
                    for one, other in ((model, native), (native, model))
                ),
            )

    def _differ(self, what: str, model: object, native: object) -> None:
        last = "\n".join(map(repr, self.done[-12:]))
        raise Differ(f"after {self.steps} steps {what} differ:\nmodel  {model}\nnative {native}\nlast steps:\n{last}")


# -- steps ---------------------------------------------------------------------------------------------------


def next_step(pair: Pair, choose: Random) -> Step:
    """Choose what is done next."""
    kind = choose.randrange(100)
    for limit, make in CHOICES:
        if kind < limit:
            return make(pair, choose)
    raise AssertionError


def taken(world: World, frame: bytes) -> str:
    """Let a frame arrive; return what the card says became of it."""
    world.nic.receive(frame)
    return world.nic.received_note()


def receive_many(world: World, burst: list[bytes]) -> None:
    """Let frames arrive, together where the world can."""
    if isinstance(world, NativeWorld):
        world.receive_many(burst)
        return
    for frame in burst:
        world.nic.receive(frame)


def frame_arrives(_pair: Pair, choose: Random) -> Step:
    frame = some_frame(choose)
    return Step(("receive", frame.hex()), lambda world: taken(world, frame))


def burst_arrives(pair: Pair, choose: Random) -> Step:
    burst = [some_frame(choose) for _ in range(choose.randrange(2, 40))]

    def act(world: World) -> list[str]:
        if pair.together:
            receive_many(world, [frame for frame in burst if ETH_HEADER <= len(frame) <= LONGEST])
            return []
        return [taken(world, frame) for frame in burst]

    return Step(("receive", [frame.hex() for frame in burst]), act)


def buffers_posted(pair: Pair, choose: Random) -> Step:
    queue, many = choose.randrange(QUEUES), choose.randrange(1, SLOTS)
    drivers = dict(zip(map(id, pair.worlds), pair.drivers, strict=True))
    return Step(("post", queue, many), lambda world: drivers[id(world)].post(queue, many))


def packet_sent(pair: Pair, choose: Random) -> Step:
    """A packet as a driver sends it, with any offload, and now and then nonsense in a descriptor."""
    queue = choose.randrange(QUEUES)
    data = some_frame(choose)
    if not choose.randrange(3):
        data += choose.randbytes(choose.randrange(0, 12000))
    context = None
    if choose.randrange(3):
        context = {name: some_bits(choose, TxContext.fields[name].limit) for name in ("vlan", "idx", "mss")}
        context |= {
            "maclen": choose.choice((14, 14, 14, 18, 0, 20)),
            "iplen": choose.choice((20, 20, 40, 40, 24, 0, 60)),
            "l4len": choose.choice((20, 8, 20, 32, 0)),
            "l4t": choose.randrange(4),
            "ipv4": choose.randrange(2),
        }
        if choose.randrange(2):
            context["mss"] = choose.choice((1, 100, 536, 1460, 9000))
    fields = {name: choose.randrange(4) // 3 for name in ("vle", "tse", "ixsm", "txsm", "mac_ts")}
    fields["ifcs"] = choose.choice((1, 1, 1, 0))
    fields["idx"] = choose.choice((0, 0, 1))
    if not choose.randrange(4):
        fields["paylen"] = choose.choice((0, 1, len(data) * 2, (1 << 18) - 1)) & TxData.fields["paylen"].limit
    pieces = choose.choice((1, 1, 2, 3))
    drivers = dict(zip(map(id, pair.worlds), pair.drivers, strict=True))
    ring = bool(choose.randrange(4))
    return Step(
        ("send", queue, data.hex(), context, pieces, ring, fields),
        lambda world: drivers[id(world)].send(queue, data, context=context, pieces=pieces, ring=ring, **fields),
    )


def descriptors_of_nonsense(pair: Pair, choose: Random) -> Step:
    """A few descriptors of any content in a transmit ring, from where the driver is, and the doorbell."""
    queue = choose.randrange(QUEUES)
    raws = []
    for _ in range(choose.randrange(1, 5)):
        if choose.randrange(2):
            fields = {name: some_bits(choose, field.limit) for name, field in TxLegacy.fields.items()}
            fields |= {"dext": 0, "address": TX_BUFFERS + choose.randrange(0x1000), "length": choose.randrange(0, 2000)}
            raws.append(TxLegacy.encode(**fields))
        else:
            raws.append(choose.randbytes(16))
    drivers = dict(zip(map(id, pair.worlds), pair.drivers, strict=True))

    def act(world: World) -> None:
        driver = drivers[id(world)]
        for raw in raws:
            driver._descriptor(queue, raw)
        driver.doorbell(queue)

    return Step(("descriptors", queue, [raw.hex() for raw in raws]), act)


def register_written(_pair: Pair, choose: Random) -> Step:
    offset, value = some_offset(choose), some_value(choose)
    return Step(("write", hex(offset), hex(value)), lambda world: world.write(offset, value))


def vector_armed(_pair: Pair, choose: Random) -> Step:
    bits = choose.choice((0x1FF, 1 << choose.randrange(25), choose.getrandbits(25)))
    reg: type[Register] = choose.choice((EIMS, EIMS, EIMS, EIMC, EICS, IMS, ICS, IMC))
    return Step(("write", reg.__name__, hex(bits)), lambda world: world.write(reg.at, bits))


def register_read(_pair: Pair, choose: Random) -> Step:
    offset, size = some_offset(choose), choose.choice((4, 4, 4, 4, 1, 2, 8))
    return Step(("read", hex(offset), size), lambda world: world.read(offset, size))


def time_passes(_pair: Pair, choose: Random) -> Step:
    ns = choose.choice((1, 500, 5_000, 100_000, 3_000_000, 50_000_000)) + choose.randrange(1000)
    return Step(("advance", ns), lambda world: world.clock.advance(ns))


def fault_applied(_pair: Pair, choose: Random) -> Step:
    name = choose.choice(tuple(FAULTS))
    arguments = {argument: ARGUMENTS[argument](choose) for argument in FAULTS[name]}
    if name == "receive_write_back" and arguments["mode"] == "normal":
        arguments.pop("count")
    return Step(("fault", name, arguments), lambda world: world.nic.faults.apply(name, **arguments))


def world_changed(pair: Pair, choose: Random) -> Step:
    """What the driver does not do: cable, reset, interrupt scheme, rate; then the driver begins anew."""
    kind = choose.randrange(6)
    if kind == 5:
        gap = choose.choice((0, 20, 250))
        return Step(("gap", gap), lambda world: setattr(world.nic.interrupts, "least_gap_us", gap))
    if kind == 0:
        speed = choose.choice((10, 100, 1000))
        partner = choose.choice((None, *3 * (LinkPartner(frozenset({speed}), True, True, True),)))

        def plug(world: World) -> None:
            world.nic.connect(partner)
            world.clock.advance(LINK_NS)

        return Step(("connect", partner), plug)
    if kind == 1:
        rate = "unlimited" if pair.together else choose.choice(("auto", "unlimited", 10, 1000))
        return Step(("rate", rate), lambda world: world.nic.set_rate(rate))
    if kind == 2:
        mode = choose.choice(tuple(InterruptMode))
        return Step(("mode", mode), lambda world: change_mode(world, mode))
    reset = choose.choice(tuple(Reset)) if kind == 3 else None
    drivers = dict(zip(map(id, pair.worlds), pair.drivers, strict=True))

    def act(world: World) -> None:
        driver = drivers[id(world)]
        if reset is None:
            world.write(CTRL.at, CTRL.rst.mask)
        else:
            world.nic.reset(reset)
        driver.__init__(world, SLOTS, QUEUES)  # type: ignore[misc]
        driver.up()
        world.clock.advance(LINK_NS)

    return Step(("reset", reset), act)


def change_mode(world: World, mode: InterruptMode) -> None:
    world.messages.mode = mode
    if isinstance(world, NativeWorld):
        world.show_mode()
    world.nic.interrupts_changed()


def settings_made(_pair: Pair, choose: Random) -> Step:
    """What a driver may want of filters, RSS and offloads, with receiver and transmitter on."""
    rctl = RCTL.en.mask | sum(
        field.mask
        for field in (RCTL.upe, RCTL.mpe, RCTL.lpe, RCTL.bam, RCTL.vfe, RCTL.dpf, RCTL.pmcf)
        if choose.randrange(2)
    )
    values = [
        (RCTL.at, rctl | choose.randrange(4) << RCTL.mo.lo),
        (MRQC.at, choose.choice((2, 2, 2, 0)) | choose.getrandbits(9) << 16),
        (RXCSUM.at, choose.choice((0x2B00, 0x0B00, 0x2300, 0))),
        (RLPML.at, choose.choice((1518, 1522, 1536, 9728))),
        (TCTL.at, TCTL.en.mask | choose.randrange(2) << TCTL.psp.lo),
        (RFCTL.at, choose.randrange(2) << RFCTL.ipv6_ex_dis.lo),
    ]
    values += [(RSSRK.at + 4 * n, choose.getrandbits(32)) for n in range(RSSRK.count)]
    values += [(RETA.at + 4 * n, choose.getrandbits(32) & 0x0303_0303) for n in range(RETA.count)]
    values += [(MTA.at + 4 * choose.randrange(MTA.count), choose.getrandbits(32)) for _ in range(40)]

    def act(world: World) -> None:
        for offset, value in values:
            world.write(offset, value)

    return Step(("settings", [(hex(offset), hex(value)) for offset, value in values[:6]]), act)


def tail_of_nonsense(_pair: Pair, choose: Random) -> Step:
    reg: type[Register] = choose.choice((RDT, TDT))
    offset, value = reg.at + reg.stride * choose.randrange(QUEUES), choose.choice((SLOTS - 1, SLOTS, SLOTS + 1, 0))
    return Step(("tail", hex(offset), value), lambda world: world.write(offset, value))


CHOICES: tuple[tuple[int, Callable[[Pair, Random], Step]], ...] = (
    (18, frame_arrives),
    (21, burst_arrives),
    (33, buffers_posted),
    (50, packet_sent),
    (53, descriptors_of_nonsense),
    (54, tail_of_nonsense),
    (58, register_written),
    (64, settings_made),
    (74, vector_armed),
    (79, register_read),
    (91, time_passes),
    (95, fault_applied),
    (100, world_changed),
)


# -- what steps are made of ----------------------------------------------------------------------------------


def some_bits(choose: Random, limit: int) -> int:
    return choose.choice((0, 0, 1, limit, choose.randrange(limit + 1)))


def some_value(choose: Random) -> int:
    return choose.choice((
        0, 1, 0xFFFF_FFFF, 1 << choose.randrange(32), choose.getrandbits(32), choose.randrange(70),
        0x0200_0402, 0x0404_8022, 0x0201_0808, BASE & 0xFFFF_FFFF, 0x8100_88A8,
    ))  # fmt: skip


def some_offset(choose: Random) -> int:
    if not choose.randrange(4):
        return choose.choice(ALL)
    reg: type[Register] = choose.choice(HOT)
    return int(choose.choice(reg.addresses())[0])


ARGUMENTS: dict[str, Callable[[Random], Any]] = {
    "vector": lambda choose: choose.choice((0, 1, 2, 3, choose.randrange(25))),
    "count": lambda choose: choose.choice((None, 1, 2, 5)),
    "when": lambda choose: choose.choice(("before-mask", "after-mask")),
    "on": lambda choose: bool(choose.randrange(2)),
    "queue": lambda choose: choose.randrange(QUEUES),
    "index": lambda choose: choose.randrange(SLOTS + 3),
    "mode": lambda choose: choose.choice(("zero-length", "normal")),
    "bits": lambda choose: choose.choice((0, 0, 1 << 24, 1 << 31)),
    "rss_hash": lambda choose: choose.choice((None, 0xDEADBEEF)),
    "rss_type": lambda choose: choose.choice((None, 5)),
    "flags": lambda choose: choose.choice((None, 0x20000020)),
    "offset": lambda choose: some_offset(choose) & ~3,
    "mask": lambda choose: choose.choice((0, 0, 1, 0xFF)),
}
"""Arguments of faults by their name; ``count`` None is refused by some, in the same words."""


def some_frame(choose: Random) -> bytes:
    """A frame for the guest, right or spoilt."""
    size = choose.choice((0, 1, 18, 26, 200, 1000, 1460, choose.randrange(90), choose.randrange(1440, 1490), 3000))
    payload = choose.randbytes(size)
    ports = (
        choose.choice((80, 319, 1024, choose.randrange(65536))),
        choose.choice((319, 5000, choose.randrange(65536))),
    )
    width = choose.choice((4, 4, 16))
    source, destination = choose.randbytes(width), choose.randbytes(width)
    kind = choose.randrange(8)
    if kind < 2:
        frame = frames.udp_frame(payload, source, destination, ports)
    elif kind < 4:
        frame = frames.tcp_frame(payload, source, destination, ports)
        flags = 14 + (20 if width == 4 else 40) + 13
        frame = frame[:flags] + bytes([choose.randrange(256)]) + frame[flags + 1 :]
    elif kind == 4:
        frame = frames.sctp_frame(payload, source, destination, ports)
    elif kind == 5:
        frame = with_extensions(choose, payload, ports)
    elif kind == 6:
        ptp = bytes([choose.randrange(16), 2]) + choose.randbytes(42)
        frame = bytes(12) + choose.choice((b"\x88\xf7", b"\x88\xb5")) + ptp
    else:
        pause = bytes.fromhex("8808") + bytes([0, 1, choose.randrange(2), choose.randrange(256)])
        frame = bytes(12) + choose.choice((pause.ljust(46, b"\0"), choose.randbytes(60)))
    if not choose.randrange(6) and frame[12:14] == b"\x08\x00":
        fragment = choose.choice((b"\x20\x00", b"\x00\x05", b"\x20\xb9"))
        frame = frame[:20] + fragment + frame[22:]
    groups = (b"\xff" * 6, MULTICAST, bytes.fromhex("0180c2000001"), b"\x01\x00\x5e" + choose.randbytes(3))
    station = choose.choice((GUEST_MAC, GUEST_MAC, GUEST_MAC, *groups))
    frame = station + frame[6:]
    if not choose.randrange(4):
        frame = (
            frame[:12]
            + choose.choice((b"\x81\x00", b"\x88\xa8"))
            + choose.choice((b"\x00\x00", b"\x00\x01", b"\x20\x05"))
            + frame[12:]
        )
    if not choose.randrange(4):
        frame = spoilt(choose, frame)
    return frame


def with_extensions(choose: Random, payload: bytes, ports: tuple[int, int]) -> bytes:
    source, destination = choose.randbytes(16), choose.randbytes(16)
    l4 = frames.udp(payload, source, destination, ports)
    kinds = [choose.choice((0, 43, 44, 51, 60, 135)) for _ in range(choose.randrange(1, 4))]
    chain, following = b"", 17
    for kind in reversed(kinds):
        chain = extension(choose, kind, following) + chain
        following = kind
    return frames.ethernet(frames.ipv6(chain + l4, following, source, destination), 0x86DD)


def extension(choose: Random, kind: int, following: int) -> bytes:
    if kind == 44:
        return bytes([following, 0]) + choose.choice((b"\0\0", b"\0\1", b"\0\x09")) + choose.randbytes(4)
    if kind == 43:
        return bytes([following, 2, choose.choice((2, 0)), 1]) + bytes(4) + choose.randbytes(16)
    if kind == 60:
        option = bytes([0xC9, 16]) + choose.randbytes(16)
        return (
            bytes([following, 2, 1, 2]) + bytes(2) + option
            if choose.randrange(2)
            else bytes([following, 0, 1, 4, 0, 0, 0, 0])
        )
    return bytes([following, choose.choice((0, 1))]) + choose.randbytes(14)


def spoilt(choose: Random, frame: bytes) -> bytes:
    kind = choose.randrange(4)
    if kind == 0:
        return frame[: choose.randrange(len(frame) + 1)]
    if kind == 1:
        return frame + choose.randbytes(choose.choice((1, 4, 40, 9000)))
    at = choose.randrange(len(frame))
    return frame[:at] + bytes([choose.randrange(256)]) + frame[at + 1 :]
