# SPDX-License-Identifier: BSD-3-Clause
"""The run: every workload in rounds, the two cards in turns, samples to rows."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Protocol, TypeVar

from guest_images.errors import EnvironmentLacks as PackagesLack
from guest_images.progress import Progress
from harness.bench.alone import BIG, Alone
from harness.bench.bars import absolute_bar_of, bar_of
from harness.bench.figures import Row, Spread, number
from harness.bench.lifecycle import Birth
from harness.bench.namespace import PACKAGES, Namespace, check
from harness.bench.pktgen import Transmit
from harness.bench.receive import Receive
from harness.bench.rig import Datagrams, Nobody, Rig, Start, Streams, Taps
from harness.bench.tcp import SERVER, SERVING, RoundTrip, Stream
from harness.errors import EnvironmentLacks, UsageError
from harness.setup.steps import tools
from harness.snapshot import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from harness.bench.figures import Quantity
    from harness.bench.rig import Side
    from harness.lab import Lab


class Workload(Protocol):
    """Something that can be measured."""

    @property
    def name(self) -> str:
        """How it is called, and chosen by ``-k``."""

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What one measurement yields."""


class OnWire(Workload, Protocol):
    """A workload of a card in a rig."""

    def measure(self, side: Side) -> tuple[float, ...]:
        """Return a sample of each quantity."""


TO_NOBODY: tuple[OnWire, ...] = tuple(
    Transmit(size, queues, burst, clones)
    for size, queues, burst, clones in product((64, 1500), (1, 2, 4), (1, 32), (0, 1000))
    if not (burst > 1 and not clones)  # pktgen refuses a burst of fresh buffers
)
TO_PARTNER: tuple[OnWire, ...] = (Receive("dgram"),)
TO_STREAM: tuple[OnWire, ...] = (Receive("stream"),)
TO_KERNEL: tuple[OnWire, ...] = (Stream(reverse=False), Stream(reverse=True), RoundTrip())
FRESH: tuple[Birth, ...] = (Birth(),)
ALONE: tuple[Alone, ...] = (
    *(Alone(size) for size in (64, 512, 1500, BIG)),
    *(Alone(size, receive=True) for size in (64, 512, 1500)),
)
WORKLOADS: tuple[Workload, ...] = (*ALONE, *TO_NOBODY, *TO_PARTNER, *TO_STREAM, *TO_KERNEL, *FRESH)
OURS, THEIRS = 0, 1
KINDS = ("hilnic", "qemu-igb")
T = TypeVar("T", bound=Workload)


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rounds of which workloads."""

    rounds: int = 3
    expression: str = ""
    card: tuple[str, ...] = ()
    """More words for the command line of our card."""

    def __post_init__(self) -> None:
        """Refuse what measures nothing."""
        if self.rounds < 1:
            raise UsageError(f"--rounds must be 1 or more, not {self.rounds}")
        if not any(self.wants(workload) for workload in WORKLOADS):
            names = "; ".join(workload.name for workload in WORKLOADS)
            raise UsageError(f"-k must be part of a workload's name, not {self.expression!r} (there are: {names})")

    def wants(self, workload: Workload) -> bool:
        """Say whether a workload is to be measured."""
        return self.expression.lower() in workload.name.lower()


def in_turns(
    workload: Workload,
    rounds: int,
    measure: Callable[[int], tuple[float, ...]],
    tell: Callable[[str], None],
    peer: str = "QEMU's igb",
) -> list[Row]:
    """Measure OURS and THEIRS ``rounds`` times each, who begins changing from round to round; return the rows."""
    samples: tuple[list[tuple[float, ...]], list[tuple[float, ...]]] = ([], [])
    for turn in range(rounds):
        for which in (OURS, THEIRS) if turn % 2 == 0 else (THEIRS, OURS):
            whose = "our card" if which == OURS else peer
            tell(f"{workload.name}: round {turn + 1} of {rounds}, {whose}")
            samples[which].append(measure(which))
    ours, theirs = ([Spread.of(values) for values in zip(*side, strict=True)] for side in samples)
    return [
        Row(quantity, mine, its, bar=bar_of(quantity.name))
        if (least := absolute_bar_of(quantity.name)) is None
        else Row(quantity, mine, its, bar=least, absolute=True)
        for quantity, mine, its in zip(workload.quantities, ours, theirs, strict=True)
    ]


class Bench:
    """Measures with the guests of ``lab``; ``tell`` hears what is going on, ``done`` gets the rows of each workload."""

    def __init__(
        self, lab: Lab, plan: Plan, folder: Path, tell: Callable[[str], None], done: Callable[[list[Row]], None]
    ) -> None:
        self._lab = lab
        self._plan = plan
        self._folder = folder
        self._tell = tell
        self._done = done

    def run(self) -> None:
        """Measure everything that the plan wants. Raises a WorldError at the first thing that breaks."""
        for alone in self._wanted(ALONE):
            self._rows(
                alone,
                lambda which: (
                    alone.measure(self._folder / "alone", self._plan.card) if which == OURS else alone.copied()  # noqa: B023 - called at once
                ),
                "a copy",
            )
        if not any(self._wanted(each) for each in (TO_NOBODY, TO_PARTNER, TO_STREAM, TO_KERNEL, FRESH)):
            return
        lab = self._lab
        start = Start(lab.materials, lab.machine, snapshot(lab.materials, lab.machine, self._tell))
        to_nobody, to_partner, to_kernel = (self._wanted(each) for each in (TO_NOBODY, TO_PARTNER, TO_KERNEL))
        if to_nobody:
            self._tell("plugging both cards, with nobody at the far ends")
            with Rig(start, Nobody(), self._folder / "nobody", self._plan.card) as rig:
                self._rows_of(rig, to_nobody)
        if to_partner:
            self._tell("plugging both cards, with far ends of ours")
            with Rig(start, Datagrams(), self._folder / "partner", self._plan.card) as rig:
                self._rows_of(rig, to_partner)
        if to_stream := self._wanted(TO_STREAM):
            self._tell("plugging both cards, with streams to far ends of ours")
            with Rig(start, Streams(), self._folder / "stream", self._plan.card) as rig:
                self._rows_of(rig, to_stream)
        if to_kernel:
            self._with_kernel(start, to_kernel)
        for workload in self._wanted(FRESH):
            self._rows(workload, lambda which: workload.measure(lab, KINDS[which]))  # noqa: B023 - called at once

    def _wanted(self, workloads: Sequence[T]) -> list[T]:
        return [workload for workload in workloads if self._plan.wants(workload)]

    def _with_kernel(self, start: Start, workloads: Sequence[OnWire]) -> None:
        """Measure in a rig whose far ends are the host's kernel, in a network namespace; skip where none can be had."""
        self._tell("plugging both cards, with TAP interfaces")
        folder = self._folder / "tap"
        with ExitStack() as undo:
            try:
                check()
                programs = tools("bench", PACKAGES, os.environ, Progress(sys.stderr))
                namespace = undo.enter_context(Namespace(programs, folder))
            except (EnvironmentLacks, PackagesLack) as error:
                for workload in workloads:
                    self._done([Row(quantity, skipped=str(error)) for quantity in workload.quantities])
                return
            undo.callback(namespace.serve(*SERVER, until=SERVING).stop)
            self._rows_of(undo.enter_context(Rig(start, Taps(namespace), folder, self._plan.card)), workloads)

    def _rows_of(self, rig: Rig, workloads: Sequence[OnWire]) -> None:
        sides = (rig.ours, rig.theirs)
        for workload in workloads:
            self._rows(workload, lambda which: workload.measure(sides[which]))  # noqa: B023 - called at once

    def _rows(self, workload: Workload, measure: Callable[[int], tuple[float, ...]], peer: str = "QEMU's igb") -> None:
        self._done(in_turns(workload, self._plan.rounds, measure, self._tell, peer))


def line(row: Row) -> str:
    """Return what is said of a row as soon as it is known."""
    if row.ours is None or row.theirs is None:
        return f"  {row.quantity.name}: skipped"
    ours, theirs = number(row.ours.median), number(row.theirs.median)
    return f"  {row.quantity.name}: ours {ours}, theirs {theirs} {row.quantity.unit}"
