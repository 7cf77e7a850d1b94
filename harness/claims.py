# SPDX-License-Identifier: BSD-3-Clause
"""Ties checks to the claims that they refute: the ``@claim`` mark, and the accounting of every claim.

A claim is **checked** (a check cites it), **waived** (with a reason), **todo** (P1 and P2 only) or **unaccounted**.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import pytest

from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from harness.spec.catalogue import Catalogue, Claim


class State(Enum):
    """Where a claim stands before anything has run."""

    CHECKED = "checked"
    WAIVED = "waived"
    TODO = "todo"
    UNACCOUNTED = "unaccounted"


@dataclass(frozen=True, slots=True)
class Citation:
    """A check that cites a claim, found by reading the source; ``doc`` is its docstring."""

    claim_id: str
    path: Path
    line: int
    check: str
    doc: str = ""

    @property
    def node(self) -> str:
        """The check as pytest names it, in short: file and function."""
        return f"{self.path.name}::{self.check}"


def claim(*claim_ids: str) -> pytest.MarkDecorator:
    """Mark a check with the ids that it can refute: ``@claim("RSS-03")`` or ``@claim("NAPI-02", "NAPI-03")``."""
    if not claim_ids or not all(isinstance(claim_id, str) for claim_id in claim_ids):
        raise UsageError(f"@claim must name one or more ids such as 'RSS-03', not {claim_ids!r}")
    return pytest.mark.claim(*claim_ids)


def state_of(claim: Claim, *, checked: bool) -> State:
    """Return where ``claim`` stands, given whether a check cites it."""
    if checked:
        return State.CHECKED
    if claim.waived:
        return State.WAIVED
    return State.TODO if claim.todo else State.UNACCOUNTED


def accounting_problems(catalogue: Catalogue, cited: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a sentence for each claim whose account is not in order.

    ``cited`` maps claim ids to the checks that cite them.
    """
    problems = []
    for claim in catalogue:
        checks = cited.get(claim.id, ())
        state = state_of(claim, checked=bool(checks))
        if state is State.UNACCOUNTED:
            choice = "a check or a waiver" if claim.priority.value == "P0" else "a check, a waiver or state = 'todo'"
            problems.append(f"{claim.id} ({claim.priority.value}) must have {choice}, and has none")
        if checks and claim.waived:
            problems.append(f"{claim.id} must be waived or checked, not both ({checks[0]})")
    return problems


def unknown_ids(catalogue: Catalogue, cited: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a sentence for each cited id that the catalogue does not hold, with the nearest that it does."""
    return [
        f"{checks[0]}: @claim must cite a known claim, not {claim_id!r} (nearest: {catalogue.nearest(claim_id)})"
        for claim_id, checks in cited.items()
        if claim_id not in catalogue
    ]


def citations(directories: Iterable[Path]) -> Iterator[Citation]:
    """Yield the ``@claim`` marks below ``directories`` by reading the source: nothing is imported, nothing runs."""
    for directory in directories:
        for path in sorted(directory.rglob("*.py")):
            yield from citations_in(path)


def citations_in(path: Path) -> Iterator[Citation]:
    """Yield the citations of one file. Ids must be literals; a module-level ``pytestmark`` counts for every check."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: a file of checks must be readable Python: {error}") from error
    everywhere = [
        claim_id
        for node in tree.body
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "pytestmark" for t in node.targets)
        for claim_id in _ids_below(path, node.value)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith(("test_", "check_")):
            own = [claim_id for decorator in node.decorator_list for claim_id in _ids_below(path, decorator)]
            for claim_id in dict.fromkeys([*everywhere, *own]):
                yield Citation(claim_id, path, node.lineno, node.name, ast.get_docstring(node) or "")


def _ids_below(path: Path, tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _is_claim(node.func):
            for argument in node.args:
                if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
                    where = f"{path}:{node.lineno}"
                    raise UsageError(f"{where}: @claim must name its ids literally, not {ast.unparse(argument)}")
                yield argument.value


def _is_claim(function: ast.expr) -> bool:
    return (isinstance(function, ast.Name) and function.id == "claim") or (
        isinstance(function, ast.Attribute) and function.attr == "claim"
    )
