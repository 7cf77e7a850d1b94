# SPDX-License-Identifier: BSD-3-Clause
"""The families of NIC that there are, by the name of their chip, and the engines that run them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from device_model.igb.config import Config
from device_model.igb.spec import pci as igb_pci
from emulator.bundle.log import timed_by
from emulator.bundle.ports import LoggedMemory, LoggedWire, logged_trigger
from emulator.card import Card
from emulator.endpoint import Endpoint
from emulator.guest_memory import GuestMemory
from emulator.msix import GuestInterrupts
from emulator.recorder import Recorder
from emulator.server import Server
from emulator.wires.capture import CapturedWire

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from device_model.igb.flow_control import FlowControl
    from device_model.pci import PciFunction
    from emulator.bundle.log import Log
    from emulator.card import HostedNic
    from emulator.clock import MonotonicClock
    from emulator.pci import ConfigSpace
    from emulator.vfu.context import Context
    from emulator.wires import WireEnd


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a card is put into: its configuration space, the client's connection, the cable, time, shared registers."""

    space: ConfigSpace
    context: Context
    wire: WireEnd
    clock: MonotonicClock
    bar0: int = -1
    """A file in which the client can map a page of BAR 0; -1: none."""

    pause_obeyed: bool = False
    """Nothing is taken off the wire while our partner is to pause."""

    paced: bool = False
    """Transmit completions are told of at the guest's own pace, by an engine that is faster than that."""

    log: Log | None = None
    """Takes down all that comes in and goes out."""

    threads: int = 1
    """How many threads carry packets, in an engine that can have more than one."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of a NIC that Python runs."""

    memory: GuestMemory
    wire: WireEnd
    interrupts: GuestInterrupts
    clock: MonotonicClock


@dataclass(frozen=True, slots=True)
class Strapping:
    """What distinguishes two cards of a kind; ``rate_mbps`` None follows the link, 0 is unlimited."""

    mac: bytes
    rate_mbps: int | None = None
    nvm: bytes | None = None
    least_gap_us: int = 0


@dataclass(frozen=True, slots=True)
class Family:
    """How one kind of NIC looks on PCI, given its MAC address, and how each engine makes it, the usual one first."""

    name: str
    function: Callable[[bytes], PciFunction]
    engines: dict[str, Callable[[Surroundings, Strapping, ExitStack], Card]]


def python_card(
    around: Surroundings, make: Callable[[Ports], HostedNic], held: Callable[[], bool] = lambda: False
) -> Card:
    """Return a card that Python runs, whose NIC ``make`` returns; while ``held``, nothing is taken off the wire."""
    log, memory, wire = around.log, GuestMemory(), around.wire
    trigger: Callable[[int], bool] = around.context.trigger
    if log is not None:
        timed_by(log, around.clock)
        memory, wire, trigger = LoggedMemory(log), LoggedWire(wire, log), logged_trigger(trigger, log)
    ports = Ports(memory, wire, GuestInterrupts(around.space, trigger), around.clock)
    nic = make(ports)
    card = Card(
        nic,
        wire,
        around.clock,
        memory,
        ports.interrupts,
        around.context,
        Endpoint(around.space, nic, memory, ports.interrupts),
        log=log,
        capture=around.wire if isinstance(around.wire, CapturedWire) else None,
        serve=lambda controls, stop: Server(card, controls, stop, held).serve(),
        recorder=lambda: Recorder(nic),
    )
    return card


def python_82576(around: Surroundings, strapping: Strapping, _undo: ExitStack) -> Card:
    """Return an 82576 port that Python runs: readable, and open to patches at every step."""
    from device_model.igb.nic import Igb  # noqa: PLC0415 - only who wants this card pays for it

    config = config_of(strapping)

    pauses: list[FlowControl] = []

    def make(ports: Ports) -> HostedNic:
        nic = Igb(memory=ports.memory, wire=ports.wire, interrupts=ports.interrupts, clock=ports.clock, config=config)
        if around.pause_obeyed:
            pauses.append(nic.flow_control)
        return nic

    return python_card(around, make, lambda: any(each.xoff_sent for each in pauses))


def native_82576(around: Surroundings, strapping: Strapping, undo: ExitStack) -> Card:
    """Return an 82576 port whose data path is C."""
    from emulator.fastpath.assembly import native_card  # noqa: PLC0415 - only who wants this card pays for it

    return native_card(around, config_of(strapping), undo)


def config_of(strapping: Strapping) -> Config:
    """Return the configuration of an 82576."""
    return Config(
        mac=strapping.mac, nvm_image=strapping.nvm, rate_mbps=strapping.rate_mbps, least_gap_us=strapping.least_gap_us
    )


FAMILIES = {"82576": Family("82576", igb_pci.function, {"native": native_82576, "python": python_82576})}
