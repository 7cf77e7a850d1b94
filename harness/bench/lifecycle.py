# SPDX-License-Identifier: BSD-3-Clause
"""How long it takes until a card is of use: from a snapshot to a bound driver, from the plug to a link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.bench.figures import Quantity
from harness.emulator import CardOptions

if TYPE_CHECKING:
    from harness.lab import Lab


@dataclass(frozen=True, slots=True)
class Birth:
    """A fresh guest with one card, as every check gets it from the lab."""

    name: str = "start"

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What it measures: QEMU's start to the driver's interface, and device_add to carrier."""
        return (
            Quantity(f"{self.name}, snapshot to bound", "s", more_is_better=False),
            Quantity(f"{self.name}, plug to link up", "s", more_is_better=False),
        )

    def measure(self, lab: Lab, kind: str) -> tuple[float, ...]:
        """Continue a guest with a card of ``kind`` in it."""
        lab.shut()
        lab.bound(CardOptions(kind=kind, capture=False))
        lab.shut()
        return lab.timings["restored"] + lab.timings["bound"], lab.timings["link up"]
