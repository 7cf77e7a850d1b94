# SPDX-License-Identifier: BSD-3-Clause
"""The DMA sanitizer in a run: it has nothing to say of a sound driver, on either engine and behind a vIOMMU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.seeded.bugs import read_bugs

if TYPE_CHECKING:
    from harness.seeded.command import Workshop

ROOT = Path(__file__).parents[2]
RUN_S = 170


def sanitized(report: Path, *words: str) -> tuple[subprocess.CompletedProcess[str], str, str]:
    """Return what a run said, the report's sentence on the sanitizer, and the first account."""
    command = [sys.executable, "-m", "harness.cli", "run", "--no-bundles", "--report", str(report), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S, check=False)
    told = json.loads((report / "results.json").read_text())["facts"]["DMA sanitizer"]
    return done, told, next(report.glob("artefacts/*/dma-sanitizer.txt")).read_text()


def test_a_sound_driver_is_not_blamed(tmp_path: Path) -> None:
    """The other engine and the other mode than below: the card is held to the mappings by a vIOMMU."""
    done, told, account = sanitized(tmp_path, "--sanitize", "iommu", "--engine", "python", "--claims", "ROB-15")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "iommu: " in told
    assert "in 1 checks, 0 of them not sound" in told
    assert "nothing wrong (±" in account
    assert int(account.split()[0]) > 400, "the check hands over more than a ring of buffers"


def test_a_driver_that_unmaps_too_early_is_blamed_by_a_check_that_does_not_look_for_it(
    tmp_path: Path, workshop: Workshop
) -> None:
    bug = next(bug for bug in read_bugs(ROOT / "tests/seeded/bugs.toml") if bug.name == "unmaps-when-posted")
    done, told, account = sanitized(tmp_path, "--sanitize", "--module", str(workshop.build(bug)), "--claims", "TXC-03")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "in 1 checks, 1 of them not sound" in told
    assert "the driver's DMA must be sound, but use after unmap (ROB-14): tx-1 slot" in done.stdout
    assert "µs after it was unmapped (±" in account
    assert "mapped at" in account
    assert "igb_xmit_frame_ring < dev_hard_start_xmit" in account
