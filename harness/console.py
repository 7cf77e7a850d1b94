# SPDX-License-Identifier: BSD-3-Clause
"""Standard output and standard error, as lines."""

from __future__ import annotations

import sys
from dataclasses import dataclass


def say(text: str) -> None:
    """Write a line to standard output."""
    print(text, flush=True)


def complain(text: str) -> None:
    """Write a line to standard error."""
    print(text, flush=True, file=sys.stderr)


@dataclass(frozen=True, slots=True)
class Console:
    """A terminal as the progress needs it: standard output, or standard error if that is ``beside``."""

    beside: bool = False

    @property
    def is_tty(self) -> bool:
        """Whether a line can be rewritten in place."""
        return (sys.stderr if self.beside else sys.stdout).isatty()

    def line(self, text: str) -> None:
        """Write one whole line."""
        (complain if self.beside else say)(text)

    def rewrite(self, text: str) -> None:
        """Replace the line at the cursor."""
        print(f"\r\x1b[2K{text}", end="", flush=True, file=sys.stderr if self.beside else sys.stdout)
