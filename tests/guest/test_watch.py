# SPDX-License-Identifier: BSD-3-Clause
"""``hilnic watch`` as its user sees it: a driver is saved, its verdict and what changed follow."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.seeded.bugs import read_bugs
from harness.watch.command import Outcome, difference, stamp, wait_changed
from tests.guest.terminal import started

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from harness.seeded.command import Workshop

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests/seeded/bugs.toml"
RUN_S = 240


@pytest.fixture
def watching(tmp_path: Path, workshop: Workshop) -> Iterator[subprocess.Popen[str]]:
    shutil.copy(workshop.build(), tmp_path / "igb.ko")
    words = ["watch", "--module", str(tmp_path / "igb.ko"), "--claims", "RSS-03", "--report", str(tmp_path / "report")]
    with started(*words) as process:
        yield process


def said_until(process: subprocess.Popen[str], text: str) -> list[str]:
    """Read lines up to one with ``text``; the test's time limit ends a wait in vain."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if text in line:
            return lines
    raise AssertionError(f"must say {text!r}, but ended with {lines}")


@pytest.mark.timeout(RUN_S)
def test_a_rebuilt_driver_is_judged_and_the_difference_is_told(
    watching: subprocess.Popen[str], tmp_path: Path, workshop: Workshop
) -> None:
    said_until(watching, "1 of 1 claims held")
    said_until(watching, "watching ")
    (tmp_path / "igb.ko").write_text("half written")
    said_until(watching, "not judged: ")
    said_until(watching, "watching ")
    bug = next(bug for bug in read_bugs(TABLE) if bug.name == "wrong-rss-stride")
    shutil.copy(workshop.build(bug), tmp_path / "igb.ko")
    assert "failed" in "\n".join(said_until(watching, "0 of 1 claims held; first verdict after"))
    assert "RSS-03: held → broken" in said_until(watching, "RSS-03: ")[-1]
    said_until(watching, "watching ")
    os.killpg(watching.pid, signal.SIGINT)
    out, _ = watching.communicate(timeout=60)
    assert watching.returncode == 130
    assert "interrupted" in out
    cards = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path).encode() in reading(path)]
    assert cards == []


def reading(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_file_is_changed_once_it_stands_still(tmp_path: Path) -> None:
    path = tmp_path / "igb.ko"
    path.write_text("one")
    first = wait_changed(path, None)
    assert first == stamp(path)
    path.write_text("another")
    assert wait_changed(path, first) == stamp(path)
    assert stamp(tmp_path / "nowhere") is None


def test_the_difference_names_what_changed_and_says_when_nothing_did() -> None:
    before = Outcome(1.0, {"A": ("held", ""), "B": ("broken", "why")})
    after = Outcome(2.0, {"A": ("broken", "because"), "B": ("held", "")})
    assert difference(None, before) == [
        "1 of 2 claims held; first verdict after 1.0 s", "  B: broken  why"
    ]  # fmt: skip
    assert difference(before, after)[1:] == ["  A: held → broken  because", "  B: broken → held"]
    assert difference(after, after)[1:] == ["  nothing changed since the last run"]
