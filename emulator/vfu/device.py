# SPDX-License-Identifier: BSD-3-Clause
"""What a vfio-user client drives: regions, client memory, interrupts, resets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

CONFIG_REGION = 7
"""The region that holds configuration space (VFIO_PCI_CONFIG_REGION_INDEX); 0-5 are the BARs."""


class ClientReset(Enum):
    """Who asked for a fresh device."""

    REQUESTED = "requested"
    LOST_CLIENT = "lost-client"


class IrqKind(Enum):
    """Which interrupt of VFIO a mask concerns."""

    INTX = "intx"
    MSI = "msi"
    MSIX = "msix"


@dataclass(frozen=True, slots=True)
class Region:
    """A region that a client may read and write; ``index`` as VFIO numbers them (0-5: BARs).

    Of a region that lies in the file ``fd``, the client may map ``mapped``.
    """

    index: int
    size: int
    memory: bool
    fd: int = -1
    mapped: range = range(0)


@dataclass(frozen=True, slots=True)
class DmaRegion:
    """Client memory: ``size`` bytes at ``iova`` lie at ``address`` in this process, or nowhere (0).

    ``mapped`` is how many of the bytes can be touched; it is less than ``size`` only by a client's fault.
    """

    iova: int
    size: int
    address: int
    mapped: int
    readable: bool
    writable: bool


class Device(Protocol):
    """What a client drives."""

    def read(self, region: int, offset: int, size: int) -> int:
        """Return ``size`` (1, 2, 4, 8) bytes, naturally aligned; region 7 is configuration space."""

    def write(self, region: int, offset: int, size: int, value: int) -> None:
        """Store ``size`` (1, 2, 4, 8) bytes, naturally aligned."""

    def reset(self, kind: ClientReset) -> None:
        """Start afresh."""

    def dma_map(self, region: DmaRegion) -> None:
        """Use ``region`` from now on; the same region may be announced again."""

    def dma_unmap(self, iova: int, size: int) -> None:
        """Stop using the region before returning: its memory goes away."""

    def irq_masked(self, kind: IrqKind, vectors: range, masked: bool) -> None:  # noqa: FBT001 - a level or a mask is a Boolean by nature
        """Take note that the client masked, unmasked, or newly connected ``vectors``."""

    def quiesce(self) -> None:
        """Finish what runs outside ``step`` and touches guest memory."""
