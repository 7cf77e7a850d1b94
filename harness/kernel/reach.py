# SPDX-License-Identifier: BSD-3-Clause
"""The source that a check can reach among the checks: itself, and the helpers and constants that it names.

Nothing is imported and nothing runs. Names are followed as Python resolves them in these files: those of the same file,
those that it imports from other files of checks, and fixtures by the names of parameters.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGE = "harness.checks"
Place = tuple[str, str]
"""A file's stem and a name at its top level."""


@dataclass(frozen=True)
class File:
    """One file of checks: what stands at its top level, and what it imports from others."""

    stem: str
    lines: list[str]
    nodes: dict[str, ast.stmt] = field(default_factory=dict)
    imported: dict[str, Place] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> File:
        """Parse a file."""
        text = path.read_text(encoding="utf-8")
        found = cls(path.stem, text.splitlines())
        for node in ast.parse(text, filename=str(path)).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.nodes[node.name] = node
            elif isinstance(node, ast.Assign):
                names = [name for target in node.targets for name in ast.walk(target)]
                found.nodes.update({name.id: node for name in names if isinstance(name, ast.Name)})
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.nodes[node.target.id] = node
            elif isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
                found.modules.update({name.asname or name.name: name.name for name in node.names})
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{PACKAGE}."):
                stem = (node.module or "").removeprefix(f"{PACKAGE}.")
                found.imported.update({name.asname or name.name: (stem, name.name) for name in node.names})
        return found


class Checks:
    """All files of checks below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _files(self) -> dict[str, File]:
        return {path.stem: File.read(path) for path in sorted(self._folder.glob("*.py"))}

    def source(self, stem: str, function: str) -> str:
        """Return all that a check can reach, as text; empty if there is no such check."""
        seen: set[Place] = set()
        waiting: list[Place] = [(stem, function)]
        pieces = []
        while waiting:
            place = waiting.pop()
            file = self._files.get(place[0])
            if place in seen or file is None or place[1] not in file.nodes:
                continue
            seen.add(place)
            node = file.nodes[place[1]]
            pieces += file.lines[node.lineno - 1 : node.end_lineno]
            waiting += self._named(file, node)
        return "\n".join(pieces)

    def _named(self, file: File, tree: ast.AST) -> Iterator[Place]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                yield file.imported.get(node.id, (file.stem, node.id))
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in file.modules:
                yield file.modules[node.value.id], node.attr
            elif isinstance(node, ast.arg):
                yield file.imported.get(node.arg, (file.stem, node.arg))
