# SPDX-License-Identifier: BSD-3-Clause
"""The verbs that measure and wear out, each for a few seconds: they run, and what they say is complete."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from harness.bench import namespace
from harness.bench.environment import REPOSITORY
from harness.errors import EnvironmentLacks

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_S = 240


def hilnic(*words: str, folder: Path) -> str:
    """Run the command in a folder of its own and return what it said; it must succeed."""
    try:
        namespace.check()
    except EnvironmentLacks as error:
        pytest.skip(str(error))
    root = str(REPOSITORY)
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_a_benchmark_has_both_cards_a_yardstick_and_who_used_the_cpus(tmp_path: Path) -> None:
    said = hilnic("bench", "-k", "udp request", "--rounds", "1", "--json", "found.json", folder=tmp_path)
    rows = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert [row["workload"] for row in rows] == ["udp request/response p50", "udp request/response p99"]
    for row in rows:
        assert row["ours"] > 0
        assert row["theirs"] > 0
        assert row["yardstick"] > 0
        assert row["ratio"] == pytest.approx(row["ours"] / row["theirs"])
    cpu = rows[0]["cpu"]
    assert set(cpu) == {"ours", "theirs", "yardstick"}
    assert cpu["ours"]["card"] > 0
    assert cpu["theirs"]["card"] == 0
    assert all(split["guest"] > 0 for split in cpu.values())
    assert "found.html" in said
    assert "<svg" in (tmp_path / "found.html").read_text(encoding="utf-8")


def test_a_short_soak_accounts_for_every_frame(tmp_path: Path) -> None:
    said = hilnic("soak", "--minutes", "0.1", "--seed", "5", folder=tmp_path)
    assert "held: 1 rounds, 4 changes" in said
    found = json.loads((tmp_path / "build" / "soak" / "findings.json").read_text(encoding="utf-8"))
    books = found["books"]
    assert books["card_arrived"] == books["card_delivered"] + books["card_dropped"] > 0
    assert books["card_emitted"] > 0
    assert set(found["memory"]) == {"card", "QEMU"}
