# SPDX-License-Identifier: BSD-3-Clause
"""Bugs of a driver, as small changes to its source, each with the claims that must notice."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

MAIN = "igb_main.c"


@dataclass(frozen=True, slots=True)
class Bug:
    """In ``function`` of ``file``, ``wrong`` stands for ``right``; ``claims`` are those that must notice."""

    name: str
    says: str
    function: str
    right: str
    wrong: str
    claims: tuple[str, ...]
    file: str = MAIN

    def sow(self, text: str) -> str:
        """Return the source with the bug in it. Raises UsageError if ``right`` is not in the function just once."""
        start, end = span(text, self.function)
        body = text[start:end]
        times = body.count(self.right)
        if times != 1:
            where = f"{self.function} of {self.file}"
            raise UsageError(f"{self.name}: {where} must hold {self.right!r} once, not {times} times")
        return text[:start] + body.replace(self.right, self.wrong) + text[end:]


def span(text: str, function: str) -> tuple[int, int]:
    """Return where the definition of a function begins and ends in C in the kernel's style. Raises UsageError."""
    for found in re.finditer(rf"^\w[^;{{}}#]*?\b{re.escape(function)}\([^;{{}}]*?\)\n\{{", text, re.MULTILINE):
        end = text.find("\n}", found.end())
        if end >= 0:
            return found.end(), end
    raise UsageError(f"the source must define {function}, and does not")


def read_bugs(path: Path) -> tuple[Bug, ...]:
    """Read a table of bugs. Raises UsageError if it is none."""
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
        bugs = [Bug(**{**entry, "name": name, "claims": tuple(entry["claims"])}) for name, entry in table.items()]
    except (OSError, tomllib.TOMLDecodeError, TypeError, KeyError) as error:
        raise UsageError(
            f"{path}: a table of bugs must be TOML with says, function, right, wrong and claims: {error}"
        ) from error
    return tuple(bugs)
