# SPDX-License-Identifier: BSD-3-Clause
"""The comparison as a user starts it: both cards in real guests, what Linux sees told apart."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPARE_S = 600
TOLD = ("DEV-02", "DEV-04", "DEV-07", "DEV-08")


@pytest.mark.timeout(COMPARE_S + 60)
def test_departures_that_linux_sees_are_told_apart_and_the_rest_is_not_blamed(tmp_path: Path) -> None:
    ids = ",".join((*TOLD, "RSS-02", "RSS-03", "DEV-10"))
    command = [
        sys.executable,
        "-m",
        "harness.cli",
        "compare",
        "--claims",
        ids,
        "--json",
        "-",
        "--report",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=COMPARE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-6000:]
    found = {row["id"]: (row["ours"], row["peer"], row["expected"]) for row in json.loads(done.stdout)}
    assert found == {
        **dict.fromkeys(TOLD, ("holds", "fails", "fails")),
        "RSS-02": ("holds", "not comparable", None),
        "RSS-03": ("holds", "holds", None),
        "DEV-10": ("waived", "waived", "cannot be told"),
    }
    assert "expected of it" in done.stderr
    reasons = json.loads((tmp_path / "peer" / "results.json").read_text())["claims"]
    failed = {claim["id"]: claim["reason"] for claim in reasons if claim["verdict"] == "broken"}
    assert set(failed) == set(TOLD)
    assert all("assert" in reason for reason in failed.values()), failed
