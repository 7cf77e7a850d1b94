# SPDX-License-Identifier: BSD-3-Clause
"""What the fuzzers have kept runs again: inputs that reach much, and each that once crashed something."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.fuzz import messages, registers
from tests.fuzz.build import replayer

KEPT = Path(__file__).with_name("kept")
REPLAY_S = 300


def kept(target: str) -> list[Path]:
    found = sorted((KEPT / target).iterdir())
    assert found, f"tests/fuzz/kept/{target} must hold inputs"
    return found


def test_the_engine_runs_them_under_sanitizers(tmp_path: Path) -> None:
    inputs = kept("engine")
    done = subprocess.run([replayer(tmp_path), *inputs], capture_output=True, text=True, timeout=REPLAY_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{len(inputs)} inputs\n", "")


def test_no_two_threads_race_on_them(tmp_path: Path) -> None:
    inputs = kept("engine")
    program = replayer(tmp_path, ("-fsanitize=thread",))
    done = subprocess.run([program, *inputs], capture_output=True, text=True, timeout=REPLAY_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{len(inputs)} inputs\n", "")


@pytest.mark.parametrize("path", kept("registers"), ids=lambda path: path.name[:12])
def test_both_engines_agree_on_them(path: Path) -> None:
    registers.one(path.read_bytes())


@pytest.mark.parametrize("path", kept("messages"), ids=lambda path: path.name[:12])
def test_a_card_takes_them_and_answers_the_next_client(path: Path) -> None:
    messages.one(path.read_bytes())
