# SPDX-License-Identifier: BSD-3-Clause
"""``hilnic explore``: a sound driver bears every order, one that counts on small batches is found out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.seeded.bugs import Bug

if TYPE_CHECKING:
    from harness.seeded.command import Workshop

ROOT = Path(__file__).parents[2]
RUN_S = 170
BUG = Bug(
    "leaves-the-rest",
    "A poll that has cleaned as many packets as it may says that it has cleaned them all.",
    "igb_clean_tx_irq",
    "return !!budget;",
    "return true;",
    (),
)
"""Nobody notices as long as a card reports packets a few at a time."""


def explore(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli", "explore", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S, check=False)


@pytest.mark.parametrize("engine", ["native", "python"])
def test_the_guests_own_driver_bears_what_a_card_may_do(tmp_path: Path, engine: str) -> None:
    saved = tmp_path / "explore.json"
    done = explore("--schedules", "8", "--seed", "4", "--engine", engine, "--json", str(saved))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no harm: the driver did its work in" in done.stdout
    assert json.loads(saved.read_text())["runs"] >= 9
    moves = int(done.stdout.split(" runs with ")[1].split()[0])
    assert moves > 8, "most moves are really made"


def test_a_driver_that_counts_on_small_batches_is_found_out(tmp_path: Path, workshop: Workshop) -> None:
    saved = tmp_path / "explore.json"
    module = ("--module", str(workshop.build(BUG)), "--json", str(saved))
    moves = [f"gather-completions queue={queue} at=120 frames=200" for queue in (0, 2)]
    done = explore(*module, "--move", moves[0], "--move", moves[1])
    assert done.returncode == 1, done.stdout + done.stderr
    assert "must have nothing in flight, and has" in done.stdout
    assert f"--move '{moves[0]}'" in done.stdout
    assert json.loads(saved.read_text())["moves"] == moves
    small = explore(*module, "--times", "2", "--move", "gather-completions queue=0 at=120 frames=32")
    assert small.returncode == 0, small.stdout + small.stderr


def test_nonsense_is_refused_before_a_guest_starts() -> None:
    done = explore("--schedules", "0")
    assert (done.returncode, "--schedules must be 1 or more" in done.stderr) == (2, True)
    done = explore("--times", "0")
    assert (done.returncode, "--times must be 1 or more, not 0" in done.stderr) == (2, True)
    done = explore("--move", "sleep")
    assert (done.returncode, "a move must be one of" in done.stderr) == (2, True)
