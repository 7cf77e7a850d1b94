# SPDX-License-Identifier: BSD-3-Clause
"""The mistakes of tests/mutants/engine.toml are mistakes of the engine as it is now, and compile."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from emulator.fastpath.build import FLAGS
from harness.engine_build import ENGINE, Mistake, read_mistakes

MISTAKES = read_mistakes(Path(__file__).parents[1] / "mutants" / "engine.toml")
DISTINCT = {mistake: claim for claim, mistake in MISTAKES.items()}


@pytest.mark.parametrize("mistake", DISTINCT, ids=DISTINCT.values())
def test_a_mistake_fits_its_file_and_compiles(mistake: Mistake, tmp_path: Path) -> None:
    spoilt = tmp_path / mistake.file
    spoilt.write_text(mistake.text(), encoding="utf-8")
    argv = ["cc", *FLAGS, "-fsyntax-only", f"-I{ENGINE}", str(spoilt)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
