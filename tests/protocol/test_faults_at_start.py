# SPDX-License-Identifier: BSD-3-Clause
"""Faults in force from the start: those of the command line, or a sentence that says why not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.card import Card
from harness.emulator import CardOptions, CardProcess, CardSockets

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("engine", ["native", "python"])
def test_faults_can_be_in_force_from_the_start(tmp_path: Path, engine: str) -> None:
    options = CardOptions(engine=engine, faults=("drop_interrupts vector=2 count=3", "ignore_eitr on=true"))
    sockets = CardSockets(*(tmp_path / name for name in ("vfio", "control", "wire", "peer")))
    with CardProcess(options, sockets, tmp_path / "card") as process:
        process.wait_ready()
        with Card(sockets.control) as card:
            assert card.faults() == {"drop_before_mask": {"2": 3}, "ignore_eitr_on": True}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("drop_interrupts vector=99", "vector must be a number from 0 to 24, not 99"),
        ("drop_interrupts", "the arguments of drop_interrupts do not fit"),
        ("drop_interrupts two", "an argument must have the form name=value, not 'two'"),
        ("nonsense", "a fault must be one of bad_nvm_checksum"),
        ("", "a fault must be one of bad_nvm_checksum"),
        ("ignore_eitr on=maybe", "on must be true or false, not 'maybe'"),
        ("ignore_eitr 'on", "No closing quotation"),
    ],
)
def test_a_fault_that_is_impossible_is_refused_with_the_reason(tmp_path: Path, text: str, sentence: str) -> None:
    command = [sys.executable, "-m", "emulator", "--socket", str(tmp_path / "socket"), "--fault", text]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"hilnic: --fault {text!r}: ")
    assert sentence in done.stderr
