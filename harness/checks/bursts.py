# SPDX-License-Identifier: BSD-3-Clause
"""Bursts whose way through the guest cannot depend on timing: steered to one queue, held behind one message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.lab import Bound
    from harness.seen import Recording, Seen

TABLE = 128
QUIET_BUDGET_US = 1_000_000
"""netdev_budget_usecs that an emulated guest never uses up, so that only packet budgets end a softirq."""


def steer_to(bound: Bound, queue: int) -> None:
    """Let every hashed frame land on ``queue``, until the check is over."""
    bound.netif.settings.set_indirection([queue] * TABLE)


def receive_vector(bound: Bound, queue: int) -> int:
    """Return the MSI-X vector that IVAR names for receive ``queue`` (82576 8.8.15)."""
    return bound.card.register("IVAR", queue % 8) >> (0 if queue < 8 else 16) & 0x1F


def transmit_vector(bound: Bound, queue: int) -> int:
    """Return the MSI-X vector that IVAR names for transmit ``queue``."""
    return bound.card.register("IVAR", queue % 8) >> (8 if queue < 8 else 24) & 0x1F


def without_time_limit(bound: Bound) -> None:
    """Let only packet budgets end a softirq, until the check is over (an emulated guest is slow)."""
    bound.guest.proc.set_sysctl("net.core.netdev_budget_usecs", QUIET_BUDGET_US)


def burst(bound: Bound, seen: Recording, queue: int, frames: Sequence[bytes]) -> None:
    """Let ``frames``, all steered to ``queue``, into the ring behind a held vector, then release one message.

    Returns when the driver has armed the vector again. ``seen`` must record RxWriteBack and RegisterWritten.
    """
    vector = receive_vector(bound, queue)
    bound.card.hold_interrupts(vector)
    written = len(seen.all("RxWriteBack"))
    bound.peer.send(*frames)
    seen.wait(written + len(frames), Deadline.after(20), kind="RxWriteBack")
    armed = len(armings(seen, vector))
    bound.card.release_interrupts(vector)
    seen.wait(armed + 1, Deadline.after(20), kind="RegisterWritten", where=lambda e: arms(e, vector))


def arms(event: Seen, vector: int) -> bool:
    """Tell whether a RegisterWritten event is EIMS with the bit of ``vector``: the driver is done polling."""
    return event.register == "EIMS" and bool(event.value >> vector & 1)


def armings(seen: Recording, vector: int) -> list[Seen]:
    """Return the writes of EIMS that armed ``vector``."""
    return seen.all("RegisterWritten", lambda event: arms(event, vector))
