# SPDX-License-Identifier: BSD-3-Clause
"""What every NIC offers the process that hosts it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_model.events import Observer


class Reset(Enum):
    """Why the device starts afresh."""

    POWER_ON = "power-on"
    FUNCTION_LEVEL = "function-level"
    LOST_CLIENT = "lost-client"


class FaultError(Exception):
    """A deliberate fault was asked for that cannot be; the message says why."""


@dataclass(frozen=True, slots=True)
class LinkPartner:
    """What the other end of the cable offers in autonegotiation; ``speeds_mbps`` empty means no cable.

    pause and asym_pause are bits 10 and 11 of its ability word (IEEE 802.3 28B).
    """

    speeds_mbps: frozenset[int] = frozenset({10, 100, 1000})
    full_duplex: bool = True
    pause: bool = True
    asym_pause: bool = True


class Nic(Protocol):
    """A network card, as seen by the emulator. No method raises on anything that a guest may do."""

    @property
    def present(self) -> bool:
        """Whether the card answers at all; False is a card pulled out of its slot, which reads as all ones."""

    def region_read(self, bar: int, offset: int, size: int) -> int:
        """Return ``size`` (1, 2, 4 or 8) bytes of BAR ``bar`` at ``offset``, as a little-endian integer."""

    def region_write(self, bar: int, offset: int, size: int, value: int) -> None:
        """Store the low ``size`` bytes of ``value`` in BAR ``bar`` at ``offset``."""

    def receive(self, frame: bytes) -> None:
        """Take one frame from the wire (no FCS)."""

    def reset(self, kind: Reset) -> None:
        """Return to the power-on state; pending work is dropped and no DMA follows."""

    def connect(self, partner: LinkPartner | None) -> None:
        """Plug the cable into ``partner``, or pull it out (None)."""

    def interrupts_changed(self) -> None:
        """Look again at the interrupt mode, because configuration space or a mask changed."""

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Tell ``observer`` every event from now on; the returned function ends that."""
