# SPDX-License-Identifier: BSD-3-Clause
"""The families of NIC that there are, by the name of their chip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from device_model.igb.config import Config
from device_model.igb.spec import pci as igb_pci

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_model.pci import PciFunction
    from device_model.ports import Clock, HostMemory, Interrupts
    from emulator.card import HostedNic
    from emulator.wires import WireEnd


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The ports of a NIC."""

    memory: HostMemory
    wire: WireEnd
    interrupts: Interrupts
    clock: Clock


@dataclass(frozen=True, slots=True)
class Strapping:
    """What distinguishes two cards of a kind; ``rate_mbps`` None follows the link, 0 is unlimited."""

    mac: bytes
    rate_mbps: int | None = None
    nvm: bytes | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """How one kind of NIC looks on PCI, given its MAC address, and how it is made."""

    function: Callable[[bytes], PciFunction]
    make: Callable[[Surroundings, Strapping], HostedNic]


def make_82576(around: Surroundings, strapping: Strapping) -> HostedNic:
    """Return an 82576 port."""
    from device_model.igb.nic import Igb  # noqa: PLC0415 - only who wants this card pays for it

    config = Config(mac=strapping.mac, nvm_image=strapping.nvm, rate_mbps=strapping.rate_mbps)
    return Igb(memory=around.memory, wire=around.wire, interrupts=around.interrupts, clock=around.clock, config=config)


FAMILIES = {"82576": Family(igb_pci.function, make_82576)}
