# SPDX-License-Identifier: BSD-3-Clause
"""Who used the CPUs: the card, the guest's virtual CPUs, and the rest of QEMU."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

VIRTUAL_CPU = "CPU "
"""QEMU's threads of virtual CPUs are called ``CPU 0/TCG``, ``CPU 0/KVM``."""


@dataclass(frozen=True, slots=True)
class Split:
    """Seconds of CPU time."""

    card: float
    qemu: float
    guest: float

    def __sub__(self, before: Self) -> Split:
        """Return what was used since ``before``."""
        return Split(self.card - before.card, self.qemu - before.qemu, self.guest - before.guest)

    @classmethod
    def middle(cls, splits: Sequence[Split]) -> Split:
        """Return the medians of one or more."""
        return cls(*(median(getattr(each, name) for each in splits) for name in ("card", "qemu", "guest")))


def look(qemu: int, card: int | None) -> Split:
    """Return what QEMU's process and our card's (None: QEMU's own card) have used since they began."""
    guest = rest = 0.0
    for task in Path(f"/proc/{qemu}/task").iterdir():
        used, name = _used(task)
        if name.startswith(VIRTUAL_CPU):
            guest += used
        else:
            rest += used
    whole = _used(Path(f"/proc/{qemu}"))[0]
    # Threads that have ended are in the process's sum alone.
    return Split(0.0 if card is None else _used(Path(f"/proc/{card}"))[0], max(rest, whole - guest), guest)


def _used(folder: Path) -> tuple[float, str]:
    """Return the seconds that a process or thread has used, and its name (proc(5), stat)."""
    text = (folder / "stat").read_text()
    fields = text.rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK"), text.partition("(")[2].rpartition(")")[0]
