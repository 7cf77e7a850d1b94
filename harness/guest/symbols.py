# SPDX-License-Identifier: BSD-3-Clause
"""Kernel addresses by name, read once per boot: reading kallsyms takes an emulated guest seconds."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

CODE = frozenset("tTwW")


class Symbols:
    """The functions in a kallsyms file that was saved with a snapshot."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._addresses: dict[str, int] = {}
        self._sorted: list[tuple[int, str]] = []
        self._module: tuple[str, Callable[[], dict[str, int]]] | None = None

    def module_moved(self, module: str, find: Callable[[], dict[str, int]]) -> None:
        """Take the functions of ``module`` from ``find``, asked when they are needed, not from the saved file."""
        self._module = (f"[{module}]", find)
        self._addresses = {}
        self._sorted = []

    def name_of(self, address: int) -> str:
        """Return the function that ``address`` lies in, or nothing if it lies before the first."""
        if not self._sorted:
            self._sorted = sorted((at, name) for name, at in self._code())
        at = bisect_right(self._sorted, (address, "\U0010ffff"))
        return self._sorted[at - 1][1] if at else ""

    def addresses(self, names: Iterable[str]) -> dict[str, int]:
        """Return the addresses of functions; UsageError names one that the kernel does not have."""
        if not self._addresses:
            for name, address in self._code():
                self._addresses.setdefault(name, address)
        found = {}
        for name in names:
            if name not in self._addresses:
                raise UsageError(f"a function must be one of the guest's kernel, not {name!r}")
            found[name] = self._addresses[name]
        return found

    def _code(self) -> Iterator[tuple[str, int]]:
        """Yield every function, the module's own ones first: they count where the kernel has one of that name, too."""
        if self._module is not None:
            yield from self._module[1]().items()
        for line in self._path.read_text().splitlines():
            address, kind, name, *rest = line.split()
            if kind in CODE and not (self._module and self._module[0] in rest):
                yield name, int(address, 16)
