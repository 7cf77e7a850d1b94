# SPDX-License-Identifier: BSD-3-Clause
"""The liberties that a card has: when it writes back, when it interrupts, and what comes in between.

Nothing here is a fault: PCI Express gives no bound for the delay of a message, an 82576 may gather the write-backs of
packets (7.2.3.5) and raise one interrupt for several causes (7.3.4), and DMA of one queue is not ordered against that
of another. Each move ends by itself after LIMIT_US.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

LIMIT_US = 400_000
"""Nothing is kept back longer: far from what the stack calls a hang (5 s)."""

BATCHES = (2, 3, 8, 32, 128, 129, 200)
DELAYS_US = (20, 200, 2_000, 20_000)
TRICKLE_US = 300


@dataclass(frozen=True, slots=True)
class Shape:
    """What there is to choose from: ``queues`` pairs, the ``vectors`` of their causes, ``frames`` a queue."""

    queues: int
    vectors: tuple[int, ...]
    frames: int


class Move(Protocol):
    """One liberty, taken once."""

    def rules(self) -> tuple[str, ...]:
        """Return the rules by which the card takes it (docs/control.md)."""

    def smaller(self) -> Iterator[Self]:
        """Yield moves that do less of the same, the least first."""


def _less(move: Any, field: str, values: tuple[int, ...]) -> Iterator[Any]:  # noqa: ANN401 - a dataclass
    for value in values:
        if value < getattr(move, field):
            yield replace(move, **{field: value})


@dataclass(frozen=True, slots=True)
class GatherCompletions:
    """From frame ``at`` of transmit queue ``queue`` on, write back nothing until ``frames`` more have left."""

    queue: int
    at: int
    frames: int

    def rules(self) -> tuple[str, ...]:
        """Return the rules by which the card takes it."""
        begin = f"FrameEmitted queue={self.queue} nth={self.at}"
        release = f"release_completions queue={self.queue}"
        return (
            f"withhold_completions queue={self.queue} when {begin}",
            f"{release} when FrameEmitted queue={self.queue} nth={self.frames} since {begin}",
            f"{release} delay_us={LIMIT_US} when {begin}",
        )

    def smaller(self) -> Iterator[GatherCompletions]:
        """Yield moves that do less."""
        return _less(self, "frames", BATCHES)


@dataclass(frozen=True, slots=True)
class TrickleCompletions:
    """From frame ``at`` of transmit queue ``queue`` on, write back nothing for a while; then ``frames``, one by one."""

    queue: int
    at: int
    frames: int

    def rules(self) -> tuple[str, ...]:
        """Return the rules by which the card takes it."""
        begin = f"FrameEmitted queue={self.queue} nth={self.at}"
        release = f"release_completions queue={self.queue}"
        return (
            f"withhold_completions queue={self.queue} when {begin}",
            *(f"{release} count=1 delay_us={TRICKLE_US * n} when {begin}" for n in range(1, self.frames + 1)),
            f"{release} delay_us={TRICKLE_US * (self.frames + 1)} when {begin}",
        )

    def smaller(self) -> Iterator[TrickleCompletions]:
        """Yield moves that do less."""
        return _less(self, "frames", (1, 2, 4))


@dataclass(frozen=True, slots=True)
class LateInterrupt:
    """Let the message for cause ``at`` of ``vector`` take ``delay_us`` to come; what happens meanwhile shares it."""

    vector: int
    at: int
    delay_us: int

    def rules(self) -> tuple[str, ...]:
        """Return the rules by which the card takes it."""
        begin = f"CauseRaised vector={self.vector} nth={self.at}"
        return (
            f"hold_interrupts vector={self.vector} when {begin}",
            f"release_interrupts vector={self.vector} delay_us={self.delay_us} when {begin}",
        )

    def smaller(self) -> Iterator[LateInterrupt]:
        """Yield moves that do less."""
        return _less(self, "delay_us", DELAYS_US)


@dataclass(frozen=True, slots=True)
class MergeInterrupts:
    """From cause ``at`` of ``vector`` on, send no message until ``causes`` more have come: one for all."""

    vector: int
    at: int
    causes: int

    def rules(self) -> tuple[str, ...]:
        """Return the rules by which the card takes it."""
        begin = f"CauseRaised vector={self.vector} nth={self.at}"
        release = f"release_interrupts vector={self.vector}"
        return (
            f"hold_interrupts vector={self.vector} when {begin}",
            f"{release} when CauseRaised vector={self.vector} nth={self.causes} since {begin}",
            f"{release} delay_us={LIMIT_US} when {begin}",
        )

    def smaller(self) -> Iterator[MergeInterrupts]:
        """Yield moves that do less."""
        return _less(self, "causes", BATCHES)


@dataclass(frozen=True, slots=True)
class InterruptBehindDma:
    """Let the message for cause ``at`` of ``vector`` come after a write-back of receive queue ``queue``."""

    vector: int
    at: int
    queue: int
    nth: int

    def rules(self) -> tuple[str, ...]:
        """Return the rules by which the card takes it."""
        begin = f"CauseRaised vector={self.vector} nth={self.at}"
        release = f"release_interrupts vector={self.vector}"
        return (
            f"hold_interrupts vector={self.vector} when {begin}",
            f"{release} when RxWriteBack queue={self.queue} nth={self.nth} since {begin}",
            f"{release} delay_us={LIMIT_US} when {begin}",
        )

    def smaller(self) -> Iterator[InterruptBehindDma]:
        """Yield moves that do less."""
        return _less(self, "nth", BATCHES)


KINDS: dict[str, type] = {
    "gather-completions": GatherCompletions,
    "trickle-completions": TrickleCompletions,
    "late-interrupt": LateInterrupt,
    "merge-interrupts": MergeInterrupts,
    "interrupt-behind-dma": InterruptBehindDma,
}
NAMES = {kind: name for name, kind in KINDS.items()}


def choose_move(dice: Random, shape: Shape) -> Move:
    """Return a move, chosen by ``dice``."""
    batch = dice.choice(BATCHES)
    at = dice.choice((1 + dice.randrange(shape.frames), max(1, shape.frames + 1 - batch - dice.randrange(BATCHES[2]))))
    queue, vector = dice.randrange(shape.queues), dice.choice(shape.vectors)
    match dice.choice(tuple(KINDS)):
        case "gather-completions":
            return GatherCompletions(queue, at, batch)
        case "trickle-completions":
            return TrickleCompletions(queue, at, dice.choice((1, 2, 4, 6)))
        case "late-interrupt":
            return LateInterrupt(vector, at, dice.choice(DELAYS_US))
        case "merge-interrupts":
            return MergeInterrupts(vector, at, batch)
        case _:
            return InterruptBehindDma(vector, at, queue, batch)


def text_of(move: Move) -> str:
    """Return a move as a person writes it: ``gather-completions queue=1 at=290 frames=129``."""
    values = " ".join(f"{each.name}={getattr(move, each.name)}" for each in fields(move))  # type: ignore[arg-type]
    return f"{NAMES[type(move)]} {values}"


def move_of(text: str) -> Move:
    """Return the move that ``text_of`` has written. Raises UsageError."""
    name, *words = text.split() or [""]
    kind = KINDS.get(name)
    if kind is None:
        raise UsageError(f"a move must be one of {', '.join(KINDS)}, not {name!r}")
    names = tuple(each.name for each in fields(kind))
    try:
        values = {key: int(value) for key, value in (word.split("=", 1) for word in words) if value.isdigit()}
        made: Move = kind(**values)
    except (ValueError, TypeError):
        raise UsageError(f"{name} must have {', '.join(f'{each}=N' for each in names)}, not {text!r}") from None
    return made
