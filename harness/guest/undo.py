# SPDX-License-Identifier: BSD-3-Clause
"""Changes to the guest, remembered with the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable


class Undo:
    """Ways back, newest first; of several for one thing only the first counts, since it knows the original."""

    def __init__(self) -> None:
        self._ways: dict[Hashable, Callable[[], object]] = {}

    def knows(self, thing: Hashable) -> bool:
        """Whether a way back for ``thing`` is remembered: then its original need not be read again."""
        return thing in self._ways

    def remember(self, thing: Hashable, way_back: Callable[[], object]) -> None:
        """Remember how to bring ``thing`` back, unless that is known."""
        self._ways.setdefault(thing, way_back)

    def forget(self) -> None:
        """Drop every way back: the guest is another one now."""
        self._ways.clear()

    def run(self) -> None:
        """Go every way back. All are tried; the first failure is raised at the end."""
        failures: list[Exception] = []
        while self._ways:
            _, way_back = self._ways.popitem()
            try:
                way_back()
            except Exception as error:  # noqa: BLE001 - the other ways must be gone too
                failures.append(error)
        if failures:
            raise failures[0]
