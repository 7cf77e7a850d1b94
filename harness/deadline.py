# SPDX-License-Identifier: BSD-3-Clause
"""Deadlines that go down the call, and the one place that waits for a fact by looking again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from harness.errors import LabBroken, WorldError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

FIRST_LOOK_S = 0.002
SLOWEST_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock, and the seconds it was given, for the error message."""

    at: float
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline ``seconds`` from now."""
        return cls(time.monotonic() + seconds, seconds)

    @property
    def remaining(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.at - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self.at

    def sooner(self, seconds: float) -> Deadline:
        """Return the nearer of this deadline and one ``seconds`` from now."""
        other = Deadline.after(seconds)
        return other if other.at < self.at else self


def wait_until(look: Callable[[], T | None], deadline: Deadline, what: str, error: type[WorldError] = LabBroken) -> T:
    """Call ``look`` until it answers something true and return that answer.

    The pause between two looks doubles from 2 ms to 100 ms. ``what`` completes the sentence
    "<what> must happen within N s". Raises ``error`` when the deadline passes first; whatever ``look``
    raises goes through.
    """
    pause = FIRST_LOOK_S
    while True:
        answer = look()
        if answer:
            return answer
        if deadline.passed:
            raise error(f"{what} must happen within {deadline.seconds:g} s, but it did not")
        time.sleep(min(pause, deadline.remaining))
        pause = min(pause * 2, SLOWEST_LOOK_S)


def wait_still(read: Callable[[], T], looks: int, deadline: Deadline, what: str) -> T:
    """Return what ``read`` answers once it has been the same ``looks`` times in a row, as ``wait_until`` waits."""
    seen: list[T] = []

    def still() -> tuple[T] | None:
        seen.append(read())
        return (seen[-1],) if seen[-looks:] == [seen[-1]] * looks else None

    return wait_until(still, deadline, f"{what} standing still")[0]
