# SPDX-License-Identifier: BSD-3-Clause
"""What a check saw: the words of both witnesses, and the files that help whoever reads a failure."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.plots import Bars, Series, Timeline
from harness.report.results import Artefact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.plots import Bar, Line, Moment, Plot

    Content = str | bytes | Path


class Evidence:
    """Collects the evidence of one check. Checks get theirs from the fixture ``evidence``."""

    def __init__(self, directory: Path, report: Path) -> None:
        """Keep artefacts below ``directory``, which lies in ``report``; neither need exist yet."""
        self._directory = directory
        self._report = report
        self._notes: list[dict[str, Any]] = []
        self._artefacts: list[Artefact] = []
        self._plots: list[Plot] = []
        self._on_failure: list[tuple[str, Callable[[], Content]]] = []

    @property
    def notes(self) -> tuple[dict[str, Any], ...]:
        """What was noted, in order."""
        return tuple(self._notes)

    @property
    def artefacts(self) -> tuple[Artefact, ...]:
        """What was attached, in order."""
        return tuple(self._artefacts)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of what was attached, in order."""
        return tuple(self._report / artefact.path for artefact in self._artefacts)

    @property
    def plots(self) -> tuple[Plot, ...]:
        """What was recorded to be drawn, in order."""
        return tuple(self._plots)

    def note(self, *, guest: object = None, device: object = None, what: str = "") -> None:
        """Record what the guest says and what the device saw; values must be JSON-able, ``what`` names the subject."""
        note = {"what": what or None, "guest": guest, "device": device}
        said = {key: value for key, value in note.items() if value is not None}
        try:
            self._notes.append(json.loads(json.dumps(said)))
        except (TypeError, ValueError) as error:
            raise UsageError(f"a note must hold what JSON can hold: {error}") from error

    def series(
        self,
        title: str,
        lines: Sequence[Line],
        *,
        x: str,
        y: str,
        note: str = "",
        log_x: bool = False,
        log_y: bool = False,
    ) -> None:
        """Keep lines for a plot of ``y`` over ``x``, which name the axes with their units."""
        self._plots.append(Series(title, x, y, tuple(lines), note, log_x, log_y))

    def bars(
        self,
        title: str,
        categories: Sequence[object],
        bars: Sequence[Bar],
        *,
        x: str,
        y: str,
        note: str = "",
        stacked: bool = False,
    ) -> None:
        """Keep bars for a plot, a value for each of ``categories``."""
        self._plots.append(Bars(title, x, y, tuple(map(str, categories)), tuple(bars), note, stacked))

    def timeline(self, title: str, moments: Sequence[Moment], *, error_us: float, note: str) -> None:
        """Keep the moments of one event, of all witnesses on one clock; ``note`` says how the clocks were related."""
        self._plots.append(Timeline(title, tuple(sorted(moments, key=lambda moment: moment.t_us)), error_us, note))

    def attach(self, name: str, content: Content) -> Path:
        """Keep a text, bytes or a copy of a file as an artefact called ``name``; return where it is kept."""
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / slug(name)
        if isinstance(content, Path):
            if not content.is_file():
                raise UsageError(f"an attached path must be a file, not {str(content)!r}")
            path = path.with_name(path.name + content.suffix) if not path.suffix else path
            shutil.copyfile(content, path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path = path if path.suffix else path.with_name(path.name + ".txt")
            path.write_text(content, encoding="utf-8", errors="replace")
        self._artefacts.append(Artefact(name, path.relative_to(self._report).as_posix()))
        return path

    def on_failure(self, name: str, produce: Callable[[], Content]) -> None:
        """Attach what ``produce`` returns, but only if the check fails; it runs before fixtures are torn down."""
        self._on_failure.append((name, produce))

    def collect_failure(self) -> None:
        """Run the producers. One that cannot deliver leaves its reason as the artefact: the first failure matters."""
        for name, produce in self._on_failure:
            try:
                content = produce()
                self.attach(name, content)
            except Exception as error:  # noqa: BLE001 - a broken lab must not hide the check's own failure
                self.attach(name, f"could not be collected: {type(error).__name__}: {error}\n")
        self._on_failure.clear()


def slug(name: str) -> str:
    """Return ``name`` as a file name: letters, digits, dot, dash and underscore, at most 120 of them."""
    return (re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "unnamed")[:120]
