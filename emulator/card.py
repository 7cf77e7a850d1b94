# SPDX-License-Identifier: BSD-3-Clause
"""The assembled card: the NIC and everything around it that a control connection or a patch may want."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from device_model.nic import Nic
    from device_model.ports import Wire
    from emulator.clock import MonotonicClock
    from emulator.guest_memory import GuestMemory
    from emulator.msix import GuestInterrupts
    from emulator.endpoint import Endpoint
    from emulator.vfu.context import Context


@dataclass(slots=True)
class Card:
    """A NIC with its ports, its PCI side and its vfio-user server."""

    nic: Nic
    wire: Wire
    clock: MonotonicClock
    memory: GuestMemory
    interrupts: GuestInterrupts
    context: Context
    endpoint: Endpoint
