# SPDX-License-Identifier: BSD-3-Clause
"""Walk through schedules until one does harm, make sure of it, and find the smallest that still does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import GuestFault
from harness.explore.moves import text_of
from harness.explore.schedule import schedule_of, shrink
from harness.explore.workload import Outcome, Workload

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.explore.schedule import Schedule
    from harness.lab import Lab

AGAIN, OF = 2, 3
"""A schedule does harm if it does so twice in three more runs; a smaller one likewise. Each time the guest is fresh."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A schedule that does harm, as found and as small as it gets, what the driver then owes, and runs made."""

    seed: int
    found: Schedule
    smallest: Schedule
    owed: tuple[str, ...]
    runs: int


class Explorer:
    """Runs schedules in ``lab``; ``tell`` hears what it is at. A guest that was harmed is replaced."""

    def __init__(self, lab: Lab, tell: Callable[[str], None]) -> None:
        self._lab = lab
        self._tell = tell
        self._workload: Workload | None = None
        self._last = Outcome(())
        self.runs = 0
        self.once: list[tuple[int, tuple[str, ...]]] = []
        """Schedules that did harm and, asked again, did none; and what the driver owed."""

        self.acted = 0
        """Moves that the card has really made."""

    def run(self, schedule: Schedule) -> Outcome:
        """Run one schedule."""
        if self._workload is None:
            self._workload = Workload(self._lab.bound())
        self.runs += 1
        outcome = self._workload.run(schedule)
        self.acted += outcome.made
        if outcome.harmed:
            self._lab.shut()
            self._workload = None
        return outcome

    def repeat(self, schedule: Schedule, times: int) -> Outcome:
        """Run one schedule until it does harm, ``times`` at most: the guest's own timing is another each time."""
        for attempt in range(1, times + 1):
            self._tell(f"run {attempt} of {times}")
            outcome = self.run(schedule)
            if outcome.harmed:
                break
        return outcome

    def explore(self, first: int, count: int) -> Finding | None:
        """Run the schedules numbered from ``first`` on, ``count`` of them; return the first harm, made small.

        Raises GuestFault if the driver misbehaves without any move.
        """
        begun = self.run(())
        if begun.harmed:
            raise GuestFault(f"the driver must do its work when nothing is reordered, but {'; '.join(begun.owed)}")
        assert self._workload is not None
        shape = self._workload.shape
        for seed in range(first, first + count):
            schedule = schedule_of(seed, shape)
            self._tell(f"schedule {seed}: {len(schedule)} moves")
            outcome = self.run(schedule)
            if not outcome.harmed:
                continue
            if not self._harmful(schedule):
                self.once.append((seed, outcome.owed))
            else:
                self._tell(f"schedule {seed} does harm; looking for a smaller one")
                smallest = shrink(schedule, self._harmful)
                return Finding(seed, schedule, smallest, self._last.owed, self.runs)
        return None

    def _harmful(self, schedule: Schedule) -> bool:
        self._tell(f"trying {len(schedule)} moves: {'; '.join(map(text_of, schedule))}")
        harmed = 0
        for left in reversed(range(OF)):
            outcome = self.run(schedule)
            harmed += outcome.harmed
            if outcome.harmed:
                self._last = outcome
            if harmed == AGAIN or harmed + left < AGAIN:
                break
        return harmed == AGAIN
