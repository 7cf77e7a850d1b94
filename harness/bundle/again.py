# SPDX-License-Identifier: BSD-3-Clause
"""A check that failed is run once more in a fresh guest, on a fresh card whose log is kept: that becomes its bundle."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.runner import runtestprotocol

from harness.bundle.recording import recorded
from harness.report.results import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from harness.evidence import Evidence
    from harness.lab import Lab
    from harness.report.results import CheckResult

AGAIN_FOLDER = "again"
LAB = "lab"
"""The fixture without which a check has no card that could be recorded."""


class Again:
    """One repetition of the check that ended as ``check``; its bundle is written in ``folder``."""

    def __init__(self, check: CheckResult, first: Evidence, second: Evidence, folder: Path) -> None:
        self.evidence = second
        self._check = check
        self._first = first
        self._folder = folder
        self._path = folder / "made.zip"
        self._outcomes: list[Outcome] = []
        self._why_not = ""

    def took(self, outcome: Outcome, reason: str) -> None:
        """Take note of how a part of the repetition ended."""
        self._outcomes.append(outcome)
        if outcome is not Outcome.PASSED and not self._why_not:
            self._why_not = reason

    @contextmanager
    def recorded(self, lab: Lab, facts: Mapping[str, Any]) -> Iterator[None]:
        """Record what happens to the lab in this context, and write the bundle at its end."""
        with recorded(lab) as recording:
            try:
                yield
            except BaseException:
                self._outcomes.append(Outcome.FAILED)  # what the check owes afterwards
                raise
            finally:
                for folder, evidence in (("check", self._first), (AGAIN_FOLDER, self.evidence)):
                    recording.files |= {f"{folder}/{path.name}": path for path in evidence.paths if path.is_file()}
                check = self._check
                recording.write(
                    self._path,
                    facts,
                    why="a check failed",
                    check={
                        "name": check.nodeid,
                        "claims": check.claim_ids,
                        "reason": check.reason,
                        "repetition": "failed" if self._failed else "passed",
                    },
                )

    @property
    def _failed(self) -> bool:
        return any(outcome is not Outcome.PASSED for outcome in self._outcomes)

    def keep(self) -> str:
        """Attach the bundle to the evidence of the check and return its name; or why there is none."""
        if not self._path.is_file():
            why = self._why_not or "the check uses no card of the lab"
            self._first.attach("no-bundle", f"there is no bundle of this check: {why}\n")
            return "no-bundle"
        shutil.rmtree(self._folder / AGAIN_FOLDER, ignore_errors=True)  # all of it is in the bundle
        name = "bundle.zip" if self._failed else "bundle-of-a-repetition-that-passed.zip"
        self._first.attach(name, self._path)
        self._path.unlink()
        return name


AGAIN: pytest.StashKey[Again] = pytest.StashKey()


def repeat(item: pytest.Item, nextitem: pytest.Item | None, again: Again) -> str:
    """Run ``item`` once more for its bundle, which nobody counts; return the name of what was attached."""
    if LAB in getattr(item, "fixturenames", ()):
        item.stash[AGAIN] = again
        try:
            item._initrequest()  # type: ignore[attr-defined] # noqa: SLF001 - as every plugin that repeats has to
            runtestprotocol(item, log=False, nextitem=nextitem)
        finally:
            del item.stash[AGAIN]
    return again.keep()
