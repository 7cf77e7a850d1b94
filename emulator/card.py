# SPDX-License-Identifier: BSD-3-Clause
"""The assembled card: the NIC and everything around it that a control connection or a patch may want."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from device_model.nic import Nic
from emulator.bundle.entries import Kind
from emulator.control.card import ControlledNic
from emulator.rules import Rules
from emulator.wires.capture import Notes

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.bundle.log import Log
    from emulator.clock import MonotonicClock
    from emulator.endpoint import Endpoint
    from emulator.guest_memory import GuestMemory
    from emulator.msix import GuestInterrupts
    from emulator.recorder import EventLog
    from emulator.server import Controls, StopSignal
    from emulator.vfu.context import Context
    from emulator.wires import WireEnd
    from emulator.wires.capture import CapturedWire


class HostedNic(Nic, ControlledNic, Notes, Protocol):
    """A NIC that guests drive and testers can look into."""


@dataclass(slots=True)
class Card:
    """A NIC with its ports, its PCI side and its vfio-user server."""

    nic: HostedNic
    wire: WireEnd
    clock: MonotonicClock
    memory: GuestMemory
    interrupts: GuestInterrupts
    context: Context
    endpoint: Endpoint
    serve: Callable[[Controls | None, StopSignal], None]
    """Run the event loop until asked to stop."""

    recorder: Callable[[], EventLog]
    """Return a recorder of the card's events."""

    log: Log | None = None
    """The account of all that comes in and goes out, if one is kept."""

    capture: CapturedWire | None = None
    """The wire, if Python takes down what passes."""

    rules: Rules = field(init=False)
    """What the card does at certain events."""

    def __post_init__(self) -> None:
        """Begin without rules."""
        self.rules = Rules(self.nic, self.clock)
        if self.capture is not None:
            self.capture.explained_by(self.nic)

    def receive(self, frame: bytes) -> None:
        """Take one frame from the wire."""
        if self.capture is None:
            self._receive(frame)
            return
        with self.capture.taken(frame):
            self._receive(frame)

    def _receive(self, frame: bytes) -> None:
        if self.log is None:
            self.nic.receive(frame)
            return
        self.log.begin(Kind.FRAME_IN, 0, 0, frame)
        self.nic.receive(frame)
        self.log.end()
