# SPDX-License-Identifier: BSD-3-Clause
"""Kernel addresses by name, read once per boot: reading kallsyms takes an emulated guest seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

CODE = frozenset("tTwW")


class Symbols:
    """The functions in a kallsyms file that was saved with a snapshot."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._addresses: dict[str, int] = {}
        self._module: tuple[str, Callable[[], dict[str, int]]] | None = None

    def module_moved(self, module: str, find: Callable[[], dict[str, int]]) -> None:
        """Take the functions of ``module`` from ``find``, asked when they are needed, not from the saved file."""
        self._module = (f"[{module}]", find)
        self._addresses = {}

    def addresses(self, names: Iterable[str]) -> dict[str, int]:
        """Return the addresses of functions; UsageError names one that the kernel does not have."""
        if not self._addresses:
            for line in self._path.read_text().splitlines():
                address, kind, name, *rest = line.split()
                if kind in CODE and not (self._module and self._module[0] in rest):
                    self._addresses.setdefault(name, int(address, 16))
            self._addresses |= self._module[1]() if self._module else {}
        found = {}
        for name in names:
            if name not in self._addresses:
                raise UsageError(f"a function must be one of the guest's kernel, not {name!r}")
            found[name] = self._addresses[name]
        return found
