# SPDX-License-Identifier: BSD-3-Clause
"""Runs the checks on deliberately faulty cards: a check that lets its claim's fault pass proves nothing."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from harness.engine_build import OTHER_BUILD
from harness.errors import LabBroken, UsageError
from harness.report import results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path


class Fate(Enum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    UNJUDGED = "unjudged"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A deliberate fault of the card, a function of file ``table``, and the claim whose check must notice it."""

    claim_id: str
    function: str
    table: Path


@dataclass(frozen=True, slots=True)
class Table:
    """The mutants of one file or folder, and for claims that no fault of the card can break the reason."""

    mutants: tuple[Mutant, ...]
    reasons: Mapping[str, str]

    @property
    def claim_ids(self) -> frozenset[str]:
        """The claims that have an account: a mutant, or a reason why there is none."""
        return frozenset({mutant.claim_id for mutant in self.mutants} | set(self.reasons))


def read_table(path: Path) -> Table:
    """Read the literal dicts ``MUTANTS`` and ``NO_MUTANT`` of a file or a folder's files; nothing is imported.

    ``MUTANTS`` has claim id to the name of a function there, ``NO_MUTANT`` claim id to a sentence. Raises UsageError.
    """
    if not path.is_dir():
        return _read_file(path)
    tables = [_read_file(file) for file in sorted(path.glob("*.py")) if file.name != "__init__.py"]
    if not tables:
        raise UsageError(f"{path}: a folder of mutants must have files, and has none")
    mutants = tuple(mutant for table in tables for mutant in table.mutants)
    seen: dict[str, Mutant] = {}
    for mutant in mutants:
        other = seen.setdefault(mutant.claim_id, mutant)
        if other is not mutant:
            raise UsageError(f"{mutant.claim_id} must be in one file, not in {other.table} and {mutant.table}")
    return Table(mutants, {claim_id: reason for table in tables for claim_id, reason in table.reasons.items()})


def _read_file(path: Path) -> Table:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: a table of mutants must be readable Python: {error}") from error
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    values = dict(_assignments(tree))
    mutants = []
    for claim_id, value in _entries(path, "MUTANTS", values.get("MUTANTS")):
        name = value.value if isinstance(value, ast.Constant) else getattr(value, "id", None)
        if not isinstance(name, str) or name not in functions:
            raise UsageError(f"{path}: MUTANTS[{claim_id!r}] must name a function there, not {ast.unparse(value)}")
        mutants.append(Mutant(claim_id, name, path))
    reasons = {}
    for claim_id, value in _entries(path, "NO_MUTANT", values.get("NO_MUTANT", ast.Dict([], []))):
        if not isinstance(value, ast.Constant) or not isinstance(value.value, str) or not value.value.strip():
            raise UsageError(f"{path}: NO_MUTANT[{claim_id!r}] must be a sentence, not {ast.unparse(value)}")
        reasons[claim_id] = value.value
    return Table(tuple(mutants), reasons)


def _entries(path: Path, name: str, table: ast.expr | None) -> Iterator[tuple[str, ast.expr]]:
    if not isinstance(table, ast.Dict):
        raise UsageError(f"{path}: {name} must be a literal dict, not {ast.unparse(table) if table else 'absent'}")
    for key, value in zip(table.keys, table.values, strict=True):
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
            raise UsageError(f"{path}: a key of {name} must be a claim id, not {ast.unparse(key) if key else '**'}")
        yield key.value, value


def _assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr | None]]:
    for node in tree.body:
        if isinstance(node, ast.Assign):
            yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.value


def mutant_command(mutant: Mutant, report: Path, options: Sequence[str], *, patched: bool = True) -> list[str]:
    """Return the command that runs the claim's checks against the faulty card."""
    patch = ("--card-patch", f"{mutant.table.absolute()}:{mutant.function}") if patched else ()
    return [
        *(sys.executable, "-m", "harness.cli", "run", "--no-bundles"),
        *("--claims", mutant.claim_id),
        *patch,
        *("--report", str(report)),
        *options,
    ]


def fate_of(mutant: Mutant, found: Mapping[str, object]) -> tuple[Fate, str]:
    """Read from the results of its run what became of ``mutant``, and why."""
    claims = found["claims"]
    assert isinstance(claims, list)
    for claim in claims:
        if claim["id"] == mutant.claim_id:
            fate = {"broken": Fate.KILLED, "held": Fate.SURVIVED}.get(claim["verdict"], Fate.UNJUDGED)
            return fate, str(claim["reason"])
    return Fate.UNJUDGED, "the claim is not in the catalogue"


def try_mutant(
    mutant: Mutant, directory: Path, options: Sequence[str] = (), engine: Path | None = None
) -> tuple[Fate, str]:
    """Run one mutant in a process of its own; what it printed is ``directory``/CLAIM/output.txt.

    With ``engine`` the fault is in that build of the native engine, and the card is not patched.
    """
    report = directory / mutant.claim_id
    report.mkdir(parents=True, exist_ok=True)
    outcome = report / "results.json"
    outcome.unlink(missing_ok=True)
    with (report / "output.txt").open("wb") as output:
        command = mutant_command(mutant, report, options, patched=engine is None)
        variables = {**os.environ, **({} if engine is None else {OTHER_BUILD: str(engine)})}
        code = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False, env=variables
        ).returncode
    if not outcome.is_file():
        return Fate.UNJUDGED, f"its run ended with {code} and no results: see {report / 'output.txt'}"
    return fate_of(mutant, results.read(outcome))


def try_mutants(
    mutants: Sequence[Mutant],
    attempt: Callable[[Mutant], tuple[Fate, str]],
    say: Callable[[str], None],
) -> dict[Mutant, Fate]:
    """Run every mutant with ``attempt`` and say one line for each; LabBroken of one does not stop the others."""
    fates = {}
    for mutant in mutants:
        try:
            fate, reason = attempt(mutant)
        except LabBroken as error:
            fate, reason = Fate.UNJUDGED, str(error)
        fates[mutant] = fate
        detail = " ".join(reason.split())[:100]
        say(f"  {fate.value:9}{mutant.claim_id:8} {mutant.function}" + (f"  ({detail})" if detail else ""))
    return fates
