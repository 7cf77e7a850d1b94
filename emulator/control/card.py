# SPDX-License-Identifier: BSD-3-Clause
"""What the control socket asks of a card: the parts that it reads and turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_model.events import Event, Watcher
    from device_model.nic import LinkPartner, Reset
    from device_model.ports import Clock, HostMemory, Interrupts
    from emulator.bundle.log import Log
    from emulator.rules.book import Rules
    from emulator.wires.end import WireEnd


class Faults(Protocol):
    """A NIC's deliberate faults."""

    def apply(self, name: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
        """Run fault command ``name``; an exception's message says what is wrong with the name or the arguments."""

    def try_out(self, name: str, **arguments: Any) -> None:  # noqa: ANN401 - JSON values
        """Raise as ``apply`` would, and do nothing."""

    def acts(self, name: str) -> bool:
        """Say whether fault ``name`` makes the card do something at once."""

    def in_force(self) -> dict[str, Any]:
        """Return the faults that differ from the healthy card, as JSON values."""


class ControlledNic(Protocol):
    """A NIC with the snapshots and the levers that a tester needs, beyond what device_model.nic.Nic demands."""

    @property
    def faults(self) -> Faults:
        """The deliberate faults."""

    def region_read(self, bar: int, offset: int, size: int) -> int:
        """Read as the guest reads."""

    def region_write(self, bar: int, offset: int, size: int, value: int) -> None:
        """Write as the guest writes."""

    def receive(self, frame: bytes) -> None:
        """Take one frame from the wire."""

    def reset(self, kind: Reset) -> None:
        """Return to the power-on state."""

    def connect(self, partner: LinkPartner | None) -> None:
        """Plug the cable into ``partner`` or pull it out."""

    def set_rate(self, rate: int | str) -> None:
        """Pace transmission at ``rate`` Mb/s, at the link's speed ("auto") or not at all ("unlimited")."""

    def observe(self, observer: Callable[[Event], None]) -> Callable[[], None]:
        """Tell ``observer`` every event from now on."""

    def watch(self, watcher: Watcher, kinds: frozenset[type[Event]], other_sides: frozenset[type[Event]]) -> None:
        """Call ``watcher`` at the very place of each event of ``kinds``, and on the other side of ``other_sides``."""

    def registers_snapshot(self) -> dict[str, int]:
        """Return register values by name, as ``RDT[3]``, without side effects."""

    def ring_snapshot(self, direction: str, queue: int) -> dict[str, Any]:
        """Return the state of ring ``queue``, direction rx or tx, as JSON values."""

    def statistics_snapshot(self) -> dict[str, int]:
        """Return the statistics registers by name, without clearing them."""

    def totals_snapshot(self) -> dict[str, Any]:
        """Return what the card has done since it was made, and the state of its rings."""


class ControlledCard(Protocol):
    """A running card."""

    @property
    def nic(self) -> ControlledNic:
        """The NIC."""

    @property
    def wire(self) -> WireEnd:
        """Its wire."""

    @property
    def clock(self) -> Clock:
        """Its time."""

    @property
    def interrupts(self) -> Interrupts:
        """Its way to the guest's interrupt controller."""

    @property
    def memory(self) -> HostMemory:
        """The guest's memory, as the card reaches it."""

    @property
    def rules(self) -> Rules:
        """What it does at certain events."""

    @property
    def log(self) -> Log | None:
        """The account of all that comes in and goes out, if one is kept."""
