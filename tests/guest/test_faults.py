# SPDX-License-Identifier: BSD-3-Clause
"""A card that misbehaves from the start and in every check, on both engines: its claim breaks, others hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN_S = 150


@pytest.mark.timeout(RUN_S + 10)
@pytest.mark.parametrize("engine", ["native", "python"])
def test_a_fault_of_the_command_line_bites_in_every_check(tmp_path: Path, engine: str) -> None:
    words = ["run", "--fault", "ignore_eitr on=true", "--engine", engine, "--claims", "IRQ-14,IRQ-02"]
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", *words, "--report", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=RUN_S, check=False,
    )  # fmt: skip
    results = json.loads((tmp_path / "results.json").read_text())
    verdicts = {claim["id"]: claim["verdict"] for claim in results["claims"] if claim["checks"]}
    assert {name: verdicts[name] for name in ("IRQ-02", "IRQ-14")} == {"IRQ-02": "held", "IRQ-14": "broken"}, (
        done.stdout
    )


def test_a_fault_that_is_impossible_ends_the_run_with_the_cards_reason(tmp_path: Path) -> None:
    words = ["run", "--fault", "hold_interrupts vector=99", "--claims", "IRQ-02", "--report", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "vector must be a number from 0 to 24, not 99" in done.stdout + done.stderr
