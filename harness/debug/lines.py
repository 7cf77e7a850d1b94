# SPDX-License-Identifier: BSD-3-Clause
"""The session without a screen: lines in, lines out, for dumb terminals and for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.debug.card_lines import Finished
from harness.errors import UsageError, WorldError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from harness.debug.card_lines import CardLines


def talk(session: CardLines, lines: Iterable[str], say: Callable[[str], None]) -> int:
    """Carry out ``lines`` until they end or one says quit; return how many were refused or failed."""
    failed = 0
    for line in lines:
        try:
            for text in session.run(line):
                say(text)
        except Finished:
            break
        except (UsageError, WorldError) as error:
            failed += 1
            say(f"error: {error}")
    return failed
