# SPDX-License-Identifier: BSD-3-Clause
"""How a NIC family declares itself on PCI: identity, BARs and capabilities, as plain data.

The emulator lays these out in configuration space; it knows the PCI specification, not the card.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class BarKind(Enum):
    """What a base address register decodes (PCI 3.0 6.2.5.1)."""

    MEMORY_32 = "32-bit memory"
    MEMORY_64 = "64-bit memory"
    IO = "I/O"


@dataclass(frozen=True, slots=True)
class Bar:
    """One base address register: ``size`` is a power of two, in bytes."""

    index: int
    size: int
    kind: BarKind
    holds: str


@dataclass(frozen=True, slots=True)
class Capability:
    """A capability at ``at``: ``body`` follows its header (2 bytes, or 4 if ``extended``) at reset.

    ``writable`` and ``cleared_by_one`` mark bits of ``body`` that software stores, or clears by writing 1;
    both may be shorter than it.
    """

    name: str
    number: int
    at: int
    body: bytes
    writable: bytes = b""
    cleared_by_one: bytes = b""
    extended: bool = False
    version: int = 1

    @property
    def body_at(self) -> int:
        """The offset of the first byte after the header."""
        return self.at + (4 if self.extended else 2)


@dataclass(frozen=True, slots=True)
class MsixLayout:
    """Where the MSI-X table and the pending bits lie."""

    bar: int
    table_at: int
    pending_at: int
    vectors: int


@dataclass(frozen=True, slots=True)
class PciFunction:
    """One function of a device, as software finds it after power-on."""

    vendor: int
    device: int
    revision: int
    class_code: int
    subsystem_vendor: int
    subsystem: int
    interrupt_pin: int
    bars: tuple[Bar, ...]
    capabilities: tuple[Capability, ...]
    msix: MsixLayout
