# SPDX-License-Identifier: BSD-3-Clause
"""The run: every workload in rounds, the two cards in turns, samples to rows."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Protocol, TypeVar

from guest_images.errors import EnvironmentLacks as PackagesLack
from guest_images.progress import Progress
from harness.bench.alone import BIG, Alone
from harness.bench.bars import absolute_bar_of, bar_of
from harness.bench.far_kernel import Servers
from harness.bench.figures import Row, Spread, number
from harness.bench.growth import Cards
from harness.bench.lifecycle import Birth
from harness.bench.namespace import PACKAGES, Namespace, check
from harness.bench.pktgen import Transmit
from harness.bench.processor import Split
from harness.bench.questions import Connections, RequestResponse
from harness.bench.receive import Receive
from harness.bench.rig import HILNIC, QEMU_IGB, SLOTS, VIRTIO, Rig, Start
from harness.bench.tcp import SERVER, SERVING, RoundTrip, Stream
from harness.bench.wirings import Datagrams, Nobody, Streams, Taps
from harness.errors import EnvironmentLacks, UsageError
from harness.setup.steps import tools
from harness.snapshot import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from harness.bench.figures import Quantity
    from harness.bench.rig import Side
    from harness.bench.wirings import Wiring
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
TO_KERNEL: tuple[OnWire, ...] = (
    Receive("tap"),
    *(Stream(reverse, parallel) for parallel in (1, 4) for reverse in (False, True)),
    RoundTrip(),
    RequestResponse(),
    Connections(),
)
CARDS: tuple[Cards, ...] = tuple(Cards(count) for count in (1, 2, 4))
FRESH: tuple[Birth, ...] = (Birth(),)
ALONE: tuple[Alone, ...] = (
    *(Alone(size) for size in (64, 512, 1500, BIG)),
    *(Alone(size, receive=True) for size in (64, 512, 1500)),
    *(Alone(64, queues=queues) for queues in (2, 4, 8)),
    *(Alone(64, receive=True, queues=queues) for queues in (2, 4, 8)),
    *(Alone(64, receive, slots=slots) for receive in (False, True) for slots in (64, 256, 1024)),
    *(Alone(64, receive=True, flows=flows) for flows in (1, 8, 256)),
    *(Alone(64, receive, queues=4, threads=2) for receive in (False, True)),
    Alone(BIG, queues=4, threads=2),
)
WORKLOADS: tuple[Workload, ...] = (*ALONE, *TO_NOBODY, *TO_PARTNER, *TO_STREAM, *TO_KERNEL, *CARDS, *FRESH)
OURS, THEIRS, YARDSTICK = range(3)
KINDS = (HILNIC, QEMU_IGB, VIRTIO)
PEERS = ("our card", "QEMU's igb", "virtio-net")
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
    names: Sequence[str] = PEERS[:2],
    meter: Callable[[int], Split] | None = None,
) -> list[Row]:
    """Measure each of ``names`` ``rounds`` times, who begins changing from round to round; return the rows.

    The first is ours, the second what it is compared with, the third a yardstick. ``meter`` tells the CPU time used.
    """
    samples: list[list[tuple[float, ...]]] = [[] for _ in names]
    used: list[list[Split]] = [[] for _ in names]
    order = list(range(len(names)))
    for turn in range(rounds):
        for which in order if turn % 2 == 0 else reversed(order):
            tell(f"{workload.name}: round {turn + 1} of {rounds}, {names[which]}")
            before = meter(which) if meter else None
            samples[which].append(measure(which))
            if meter and before:
                used[which].append(meter(which) - before)
    spreads = [[Spread.of(values) for values in zip(*side, strict=True)] for side in samples]
    if any(len(side) != len(workload.quantities) for side in spreads):
        raise ValueError(f"a sample of {workload.name} is shorter or longer than its quantities")
    rows = []
    for column, quantity in enumerate(workload.quantities):
        ours, *others = (side[column] for side in spreads)
        least = absolute_bar_of(quantity.name)
        rows.append(
            Row(
                quantity,
                ours,
                others[0] if others else None,
                bar=bar_of(quantity.name) if least is None else least,
                absolute=least is not None,
                yardstick=others[1] if len(others) > 1 else None,
                used=tuple(Split.middle(each) for each in used if each),
            )
        )
    return rows


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
                lambda which: alone.measure(self._folder / "alone", self._plan.card, which),  # noqa: B023 - called at once
                alone.names,
            )
        in_guests: tuple[Workload, ...] = (*TO_NOBODY, *TO_PARTNER, *TO_STREAM, *TO_KERNEL, *CARDS, *FRESH)
        if not self._wanted(in_guests):
            return
        lab = self._lab
        machine = replace(lab.machine, slots=SLOTS)
        start = Start(lab.materials, machine, snapshot(lab.materials, machine, self._tell))
        # A paravirtual card whose cable leads nowhere never gets its buffers back; on a stream it swallows for minutes.
        self._in_rig(start, Nobody, "nobody", TO_NOBODY, KINDS[:2])
        self._in_rig(start, Datagrams, "partner", TO_PARTNER)
        self._in_rig(start, Streams, "stream", TO_STREAM, KINDS[:2])
        if to_kernel := self._wanted(TO_KERNEL):
            self._with_kernel(start, to_kernel)
        for cards in self._wanted(CARDS):
            self._rows(
                cards,
                lambda which: cards.measure(start, self._folder / "cards", KINDS[which], self._plan.card),  # noqa: B023
            )
        for workload in self._wanted(FRESH):
            self._rows(workload, lambda which: workload.measure(lab, KINDS[which]))  # noqa: B023 - called at once

    def _wanted(self, workloads: Sequence[T]) -> list[T]:
        return [workload for workload in workloads if self._plan.wants(workload)]

    def _in_rig(
        self,
        start: Start,
        wiring: Callable[[], Wiring],
        name: str,
        workloads: Sequence[OnWire],
        kinds: Sequence[str] = KINDS,
    ) -> None:
        if wanted := self._wanted(workloads):
            self._tell(f"plugging the cards ({name})")
            with Rig(start, wiring(), self._folder / name, kinds, self._plan.card) as rig:
                self._rows_of(rig, wanted)

    def _with_kernel(self, start: Start, workloads: Sequence[OnWire]) -> None:
        """Measure in a rig whose far ends are the host's kernel, in a network namespace; skip where none can be had."""
        self._tell("plugging the cards, with TAP interfaces")
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
            undo.enter_context(Servers(namespace))
            rig = undo.enter_context(Rig(start, Taps(namespace), folder, KINDS, self._plan.card))
            self._rows_of(rig, workloads)

    def _rows_of(self, rig: Rig, workloads: Sequence[OnWire]) -> None:
        for workload in workloads:
            self._rows(
                workload,
                lambda which: workload.measure(rig.sides[which]),  # noqa: B023 - called at once
                PEERS[: len(rig.sides)],
                rig.used,
            )

    def _rows(
        self,
        workload: Workload,
        measure: Callable[[int], tuple[float, ...]],
        names: Sequence[str] = PEERS[:2],
        meter: Callable[[int], Split] | None = None,
    ) -> None:
        self._done(in_turns(workload, self._plan.rounds, measure, self._tell, names, meter))


def line(row: Row) -> str:
    """Return what is said of a row as soon as it is known."""
    if row.ours is None:
        return f"  {row.quantity.name}: skipped"
    theirs = f", theirs {number(row.theirs.median)}" if row.theirs else ""
    return f"  {row.quantity.name}: ours {number(row.ours.median)}{theirs} {row.quantity.unit}"
