# SPDX-License-Identifier: BSD-3-Clause
"""A fault as a person writes it: its name and its arguments in one text, ``hold_interrupts vector=3``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from device_model.nic import FaultError
from emulator.errors import UsageError

if TYPE_CHECKING:
    from emulator.control.card import ControlledNic

WORDS = {"true": True, "false": False, "null": None}


def apply_fault(nic: ControlledNic, text: str) -> None:
    """Apply the fault that ``text`` describes. Raises UsageError with the card's own reason if it is impossible."""
    try:
        name, *words = shlex.split(text) or [""]
        arguments = {key: _value(value) for key, value in map(_pair, words)}
        nic.faults.apply(name, **arguments)
    except (ValueError, FaultError) as error:
        raise UsageError(f"--fault {text!r}: {error}") from None


def _pair(word: str) -> tuple[str, str]:
    name, sign, value = word.partition("=")
    if not sign or not name:
        raise FaultError(f"an argument must have the form name=value, not {word!r}")
    return name, value


def _value(word: str) -> int | str | bool | None:
    if word in WORDS:
        return WORDS[word]
    try:
        return int(word, 0)
    except ValueError:
        return word
