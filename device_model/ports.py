# SPDX-License-Identifier: BSD-3-Clause
"""All that a NIC may ask of the world: host memory, a wire, interrupts and a clock.

A NIC is a function of what comes through these four protocols. The emulator implements them over
vfio-user and real sockets; tests implement them over bytearrays and a hand-cranked clock.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class MemoryFault(Exception):
    """The device addressed host memory that is not mapped for it (PCIe: an unsupported request)."""

    def __init__(self, iova: int, size: int) -> None:
        """Remember which access failed: ``size`` bytes at ``iova``."""
        super().__init__(f"DMA of {size} bytes at {iova:#x} must lie in mapped guest memory, and does not")
        self.iova = iova
        self.size = size


class HostMemory(Protocol):
    """Guest memory as the device sees it, by I/O virtual address. Every method may raise MemoryFault."""

    def read(self, iova: int, size: int) -> bytes:
        """Return ``size`` bytes at ``iova``."""

    def write(self, iova: int, data: bytes) -> None:
        """Store ``data`` at ``iova``; in no particular order."""

    def store64(self, iova: int, value: int) -> None:
        """Store one naturally aligned little-endian 64-bit word, visible at once and after all earlier writes."""

    def store32(self, iova: int, value: int) -> None:
        """Store one naturally aligned little-endian 32-bit word, visible at once and after all earlier writes."""


class Wire(Protocol):
    """The far end of the cable."""

    def emit(self, frame: bytes) -> None:
        """Send one Ethernet frame, from destination address to the last payload byte, without the FCS."""


class InterruptMode(Enum):
    """Which interrupt scheme the guest enabled in PCI configuration space."""

    MSIX = "msix"
    MSI = "msi"
    INTX = "intx"


class Interrupts(Protocol):
    """The way from the device to the guest's interrupt controller."""

    @property
    def mode(self) -> InterruptMode:
        """The scheme that configuration space selects right now."""

    def send(self, vector: int) -> None:
        """Send message ``vector`` (MSI-X: 0–9, MSI: 0). Masking in the MSI-X table is the world's affair."""

    def set_intx(self, asserted: bool) -> None:  # noqa: FBT001 - the level of a wire is a Boolean
        """Drive the INTx line to ``asserted``; setting the same level twice does nothing."""


class Timer(Protocol):
    """A pending call."""

    def cancel(self) -> None:
        """Forget the call; harmless after it has run."""


class Clock(Protocol):
    """The device's time: monotonic nanoseconds."""

    def now_ns(self) -> int:
        """Return the present time in nanoseconds."""

    def call_at(self, when_ns: int, action: Callable[[], None]) -> Timer:
        """Run ``action`` once, as soon as possible after ``when_ns``, never from inside this call."""
