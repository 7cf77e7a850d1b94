# SPDX-License-Identifier: BSD-3-Clause
"""Words that a person types, as the values that a program means."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


def split(text: str) -> list[str]:
    """Split a line as a shell does. Raises UsageError for a quote that does not end."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"a line must have closed quotes, not {text!r} ({error})") from None


def value(word: str) -> Any:  # noqa: ANN401 - whatever the word says
    """Return what ``word`` stands for: a number (0x too), true, false, null, a list in brackets, or itself."""
    try:
        return int(word, 0)
    except ValueError:
        pass
    if word in ("true", "false", "null") or word[:1] in ("[", "{", '"'):
        try:
            return json.loads(word)
        except ValueError:
            raise UsageError(f"a value must be JSON when it begins like JSON, not {word!r}") from None
    return word


def pairs(words: Sequence[str]) -> dict[str, Any]:
    """Return ``name=value`` words as a mapping."""
    found = {}
    for word in words:
        name, sign, text = word.partition("=")
        if not sign or not name:
            raise UsageError(f"an argument must have the form name=value, not {word!r}")
        found[name] = value(text)
    return found


def number(words: Sequence[str], at: int, what: str, default: int | None = None) -> int:
    """Return word ``at`` as a number; ``default`` if it is not there."""
    if at >= len(words):
        if default is None:
            raise UsageError(f"{what} must be given")
        return default
    found = value(words[at])
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise UsageError(f"{what} must be a number from 0 on, not {words[at]!r}")
    return found
