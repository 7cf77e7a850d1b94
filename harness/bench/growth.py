# SPDX-License-Identifier: BSD-3-Clause
"""How cost grows with the number of cards in a guest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.bench.figures import Quantity
from harness.bench.pktgen import Transmit
from harness.bench.rig import Rig
from harness.bench.wirings import Nobody

if TYPE_CHECKING:
    from pathlib import Path

    from harness.bench.rig import Start

SENDER = Transmit(size=64, queues=1, burst=32, clones=1000)


@dataclass(frozen=True, slots=True)
class Cards:
    """A guest with ``count`` cards of one kind, of which the last one sends; the others idle, with their links up."""

    count: int

    @property
    def name(self) -> str:
        """How the workload is called."""
        return f"cards in a guest, {self.count}"

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What it measures: what the last of them sends while the others are there."""
        return (Quantity(self.name, "packets/s"),)

    def measure(self, start: Start, folder: Path, kind: str, card: tuple[str, ...]) -> tuple[float, ...]:
        """Continue a guest, plug the cards and let the last one send."""
        with Rig(start, Nobody(), folder, (kind,) * self.count, card) as rig:
            return SENDER.measure(rig.sides[-1])[:1]
