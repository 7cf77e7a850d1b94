# SPDX-License-Identifier: BSD-3-Clause
"""The soak itself: rounds of changes under traffic, rest, traffic without changes, rest; books read at every rest."""

from __future__ import annotations

import random
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.bench.rig import CARRIER_S
from harness.errors import GuestFault
from harness.soak.accounts import AT_THE_DRIVER, STATIONS, Books, Station, settled
from harness.soak.changes import CHANGES, Place
from harness.soak.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.bench.rig import Rig

STIR_S, CALM_S = 6, 3
CHANGES_A_ROUND = 4
GROWTH_MOST = {"card": 8 << 20, "QEMU": 32 << 20}
"""Bytes of memory of its own that a process may gain from a third of the soak to its end. Caches come and go; a leak of
one buffer a frame would be gigabytes."""

MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ (\S{4}) ")
OWN = "Anonymous:"


@dataclass(slots=True)
class Findings:
    """What a soak has found so far."""

    rounds: int = 0
    changes: int = 0
    books: Books = field(default_factory=Books)
    memory: dict[str, list[int]] = field(default_factory=dict)
    """Bytes by process, one reading a round."""

    def growth(self) -> dict[str, int]:
        """Return the bytes that each process gained since the first third of the soak."""
        return {
            name: max(readings[-3:]) - max(readings[: max(1, len(readings) // 3)])
            for name, readings in self.memory.items()
            if readings
        }

    def leaks(self) -> list[str]:
        """Return a sentence for each process that grew too much."""
        return [
            f"{name} must keep its memory, but gained {grown >> 10} KiB"
            for name, grown in self.growth().items()
            if grown > GROWTH_MOST[name]
        ]


def memory_of(pid: int) -> int:
    """Return the bytes of a process's own memory that hold data (proc(5), smaps).

    What can be executed does not count: QEMU keeps up to 256 MiB of translated code, and fills them slowly.
    """
    total, executable = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8", errors="replace").splitlines():
        if found := MAPPING.match(line):
            executable = "x" in found[1]
        elif line.startswith(OWN) and not executable:
            total += int(line.split()[1]) << 10
    return total


class Soak:
    """Works on ``rig``, whose only card is at ``place``; ``tell`` hears what is going on."""

    def __init__(self, rig: Rig, place: Place, seed: int, tell: Callable[[str], None]) -> None:
        self._rig = rig
        self._place = place
        self._dice = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self._tell = tell
        self.findings = Findings()
        self._start = self._rest()

    def run(self, seconds: float) -> Findings:
        """Go on for ``seconds``. Raises GuestFault at the first frame that is not accounted for, or kernel's cry."""
        began = time.monotonic()
        while (left := began + seconds - time.monotonic()) > 0:
            self._tell(f"round {self.findings.rounds + 1}, {left / 60:.0f} minutes to go")
            self._stir()
            before = self._rest()
            self._balance(before - self._start, STATIONS)
            self._calm()
            after = self._rest()
            self._balance(after - before, (*STATIONS, *AT_THE_DRIVER))
            self.findings.books = after - self._start
            self.findings.rounds += 1
            self._place.side.guest.check()
            for name, pid in self._rig.pids(0).items():
                self.findings.memory.setdefault(name, []).append(memory_of(pid))
        if leaks := self.findings.leaks():
            raise GuestFault("; ".join(leaks))
        return self.findings

    def _stir(self) -> None:
        place = self._place
        traffic = Traffic.start(place.side, place.namespace, self._dice, STIR_S)
        said = []
        for change in self._dice.sample(CHANGES, CHANGES_A_ROUND):
            said.append(change(place, self._dice))
            self.findings.changes += 1
        self._tell(f"round {self.findings.rounds + 1}: {' '.join(traffic.words)}; {'; '.join(said)}")
        place.side.netif.wait_carrier(seconds=CARRIER_S)
        traffic.wait()

    def _calm(self) -> None:
        self._place.side.netif.wait_carrier(seconds=CARRIER_S)
        Traffic.start(self._place.side, self._place.namespace, self._dice, CALM_S).wait()

    def _rest(self) -> Books:
        self._place.side.netif.wait_carrier(seconds=CARRIER_S)
        return settled(self._place.side, self._place.namespace, self._place.tap)

    @staticmethod
    def _balance(books: Books, stations: Sequence[Station]) -> None:
        if lacking := [sentence for station in stations if (sentence := station.lacks(books))]:
            raise GuestFault(f"every frame must be accounted for: {'; '.join(lacking)}")
