# SPDX-License-Identifier: BSD-3-Clause
"""Drives model and native engine side by side with another build of the engine than the usual one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.fastpath.engine import OTHER_BUILD

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
PATIENCE_S = 100


def drive(
    engine: Path, steps: int, environment: Mapping[str, str] | None = None, threads: int = 1
) -> subprocess.CompletedProcess[str]:
    """Make ``steps`` steps in a process of their own; its status is 0 if the two are the same card."""
    return subprocess.run(
        [sys.executable, "-m", "tests.fastpath.same", "--steps", str(steps), "--threads", str(threads)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env={**os.environ, **(environment or {}), OTHER_BUILD: str(engine)},
    )
