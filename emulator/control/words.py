# SPDX-License-Identifier: BSD-3-Clause
"""Words that a person types, as the JSON values that commands take."""

from __future__ import annotations

import json

from emulator.errors import UsageError


def value_of(word: str) -> object:
    """Return a number (0x too), true, false, null, a list in brackets, or the word itself. Raises UsageError."""
    try:
        return int(word, 0)
    except ValueError:
        pass
    if word in ("true", "false", "null") or word[:1] == "[":
        try:
            return json.loads(word)
        except ValueError:
            raise UsageError(f"a list must be JSON, not {word!r}") from None
    return word
