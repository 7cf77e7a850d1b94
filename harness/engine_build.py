# SPDX-License-Identifier: BSD-3-Clause
"""Builds of the native engine with a mistake in them: whoever judges a card must notice."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from guest_images.prefix import run_command
from harness.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
ENGINE = ROOT / "emulator" / "fastpath"
OTHER_BUILD = "HILNIC_ENGINE"
"""Environment variable that names the build which an emulator is to load (emulator.fastpath.engine)."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """In C file ``file`` of the engine, ``wrong`` stands instead of ``right``, which is there once or more."""

    file: str
    right: str
    wrong: str

    def text(self) -> str:
        """Return the file with the mistake in it. Raises UsageError if ``right`` is not in the file."""
        source = ENGINE / self.file
        if not source.is_file():
            raise UsageError(f"a mistake must be in a file of {ENGINE}, not in {self.file!r}")
        text = source.read_text(encoding="utf-8")
        if self.right not in text:
            raise UsageError(f"{self.file} must hold {self.right!r}, and does not")
        return text.replace(self.right, self.wrong, 1)

    def build(self, folder: Path, optimise: str = "-O2", sanitize: str = "") -> Path:
        """Return the engine with the mistake, built into a folder of its own below ``folder`` unless it is there.

        Raises UsageError if ``right`` is not in the file.
        """
        text = self.text()
        whole = "".join(each.read_text(encoding="utf-8") for each in sorted(ENGINE.glob("*.[ch]")))
        what = f"{self.file}\0{self.right}\0{self.wrong}\0{whole}\0{optimise}\0{sanitize}"
        name = hashlib.sha256(what.encode()).hexdigest()
        output = folder / name[:16]
        if made := next(output.glob("_engine*.so"), None):
            return made
        with tempfile.TemporaryDirectory(prefix="hilnic-mistake-") as place:
            sources = Path(place) / "sources"
            shutil.copytree(ENGINE, sources, ignore=shutil.ignore_patterns("*.so", "*.py", "__pycache__"))
            (sources / self.file).write_text(text, encoding="utf-8")
            includes = [word for include in python_includes() for word in ("--python-include", str(include))]
            words = (
                "--sources",
                str(sources),
                "--output",
                str(output),
                f"--optimise={optimise}",
                f"--sanitize={sanitize}",
                *includes,
            )
            run_command((sys.executable, "-m", "emulator.fastpath.build", *words), "the build of a spoilt engine")
        return next(output.glob("_engine*.so"))


def python_includes() -> list[Path]:
    """Return where set-up found Python.h, if it is not where the compiler looks."""
    found = ROOT / "build" / "engine" / "python-include"
    return [Path(line) for line in found.read_text(encoding="utf-8").splitlines()] if found.exists() else []


def read_mistakes(path: Path) -> dict[str, Mistake]:
    """Read a table of mistakes by claim: TOML with ``file``, ``right`` and ``wrong`` for each. Raises UsageError."""
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
        return {claim: Mistake(**entry) for claim, entry in table.items()}
    except (OSError, tomllib.TOMLDecodeError, TypeError) as error:
        raise UsageError(f"{path}: a table of mistakes must be TOML with file, right and wrong: {error}") from error
