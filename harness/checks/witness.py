# SPDX-License-Identifier: BSD-3-Clause
"""The card's own word, where the card has one: a check that needs it only besides the guest's runs on any card."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from harness.lab import Bound
    from harness.seen import Recording


def watched(bound: Bound, *kinds: str) -> AbstractContextManager[Recording | None]:
    """Record the card's events where the card can tell them; None for one without a control socket."""
    return nullcontext() if bound.control is None else bound.control.recording(*kinds)


def told(bound: Bound, *names: str) -> dict[str, str] | None:
    """Return the card's own word on its registers, in hexadecimal; None for a card without a control socket."""
    if bound.control is None:
        return None
    return {name: f"{value:08x}" for name, value in bound.control.registers(*names).items()}
