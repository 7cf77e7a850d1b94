# SPDX-License-Identifier: BSD-3-Clause
"""Drives model and native engine side by side with another build of the engine than the usual one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
PATIENCE_S = 100

PROGRAM = """
import importlib.util, sys
import emulator.fastpath as package
spec = importlib.util.spec_from_file_location("emulator.fastpath._engine", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["emulator.fastpath._engine"] = package._engine = module
spec.loader.exec_module(module)
from tests.fastpath.same import main
sys.exit(main(["--steps", sys.argv[2]]))
"""


def python_includes() -> list[Path]:
    """Return where set-up found Python.h, if it is not where the compiler looks."""
    return [Path(line) for line in (ROOT / "build" / "engine" / "python-include").read_text().splitlines()]


def drive(engine: Path, steps: int, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Make ``steps`` steps in a process of their own; its status is 0 if the two are the same card."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(engine), str(steps)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env={**os.environ, **(environment or {})},
    )
