# SPDX-License-Identifier: BSD-3-Clause
"""A time line as data: lanes in groups, slices with a beginning and an end, marks, arrows between lanes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

EACH = 100
"""More than there are lanes of a kind."""


class Group(Enum):
    """Whose lane it is; the order is that of the page."""

    GUEST = "guest"
    CARD = "card"
    WIRE = "wire"


@dataclass(frozen=True, slots=True, order=True)
class Lane:
    """One row. ``order`` sorts lanes within their group."""

    group: str
    order: int
    title: str

    @property
    def number(self) -> int:
        """Which of its kind it is: CPU, vector or queue."""
        return self.order % EACH

    @classmethod
    def cpu(cls, number: int) -> Lane:
        """Return the lane of a virtual CPU."""
        return cls(Group.GUEST.value, number, f"CPU {number}")

    @classmethod
    def vector(cls, number: int) -> Lane:
        """Return the lane of an interrupt vector of the card."""
        return cls(Group.CARD.value, EACH + number, f"vector {number}")

    @classmethod
    def queue(cls, direction: str, number: int) -> Lane:
        """Return the lane of a ring of the card; ``direction`` is rx or tx."""
        return cls(Group.CARD.value, (2 if direction == "rx" else 3) * EACH + number, f"{direction} queue {number}")


REGISTERS = Lane(Group.CARD.value, 0, "registers")
DEVICE = Lane(Group.CARD.value, 1, "device")
TO_GUEST = Lane(Group.WIRE.value, 0, "to the guest")
FROM_GUEST = Lane(Group.WIRE.value, 1, "from the guest")


@dataclass(frozen=True, slots=True)
class Slice:
    """Something that lasted, in ns of the card's clock. Slices of a lane nest."""

    lane: Lane
    name: str
    begin_ns: int
    end_ns: int
    details: dict[str, Any] = field(default_factory=dict)
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at ``t_ns`` of the card's clock."""

    lane: Lane
    name: str
    t_ns: int
    details: dict[str, Any] = field(default_factory=dict)
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Arrow:
    """One thing caused another: both ends are beginnings of slices."""

    name: str
    source: Slice
    target: Slice


@dataclass(frozen=True, slots=True)
class TimeLine:
    """What happened, and ``facts``: how the clocks were related, what was lost, what was recorded."""

    slices: tuple[Slice, ...]
    marks: tuple[Mark, ...]
    arrows: tuple[Arrow, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def lanes(self) -> list[Lane]:
        """Return all lanes, in the order of the page."""
        order = [group.value for group in Group]
        found = {each.lane for each in self.slices} | {mark.lane for mark in self.marks}
        return sorted(found, key=lambda lane: (order.index(lane.group), lane.order))

    @property
    def span(self) -> tuple[int, int]:
        """Return the first and the last time."""
        times = [each.t_ns for each in self.marks]
        times += [time for each in self.slices for time in (each.begin_ns, each.end_ns)]
        return (min(times), max(times)) if times else (0, 0)
