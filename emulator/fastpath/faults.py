# SPDX-License-Identifier: BSD-3-Clause
"""The faults in force, between ``device_model.igb.faults`` and the engine's struct."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from device_model.igb.faults import Faults

COUNTED = ("drop_before_mask", "drop_after_mask", "duplicates", "zero_length_left")
"""Faults that the engine counts down: number left by vector or queue."""

SWITCHES = {
    "no_auto_mask": "no_auto_mask_on",
    "transmit_nothing": "transmit_nothing_on",
    "ignore_eics": "ignore_eics_on",
    "ignore_eitr": "ignore_eitr_on",
    "corrupt_loopback": "corrupt_loopback_on",
    "prompt_doorbells": "prompt_doorbells_on",
}
FORCED = ("hash", "queue", "type")


def push_faults(faults: Faults, to: Any) -> None:  # noqa: ANN401 - cffi's objects have no types
    """Bring ``faults`` into the engine's struct."""
    to.held_vectors = _mask(faults.held_vectors)
    to.withheld_queues = _mask(faults.withheld_queues)
    to.unfinished_queues = _mask(faults.unfinished_queues)
    for name in COUNTED:
        left, array = getattr(faults, name), getattr(to, name)
        for n in range(len(array)):
            array[n] = left.get(n, 0)
    for name, field in SWITCHES.items():
        setattr(to, name, getattr(faults, field))
    for name in FORCED:
        setattr(to, f"forced_{name}", faults.forced_rss.get(name, 0))
        setattr(to, f"has_forced_{name}", name in faults.forced_rss)
    to.force_rx_errors = faults.force_rx_errors
    to.forced_checksum = faults.forced_checksum or 0
    to.has_forced_checksum = faults.forced_checksum is not None


def pull_faults(from_: Any, faults: Faults) -> None:  # noqa: ANN401 - cffi's objects have no types
    """Take over what the engine has counted down."""
    for name in COUNTED:
        array = getattr(from_, name)
        setattr(faults, name, {n: left for n, left in enumerate(array) if left})


def _mask(numbers: Iterable[int]) -> int:
    return sum(1 << number for number in numbers)
