# SPDX-License-Identifier: BSD-3-Clause
"""Somebody's own driver in the guest: one without a bug holds, one with a bug is caught, no module is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN_S = 500


def hilnic(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S, check=False)


@pytest.mark.timeout(RUN_S + 30)
def test_a_bug_is_caught_by_its_claims_and_the_sound_driver_holds_them(tmp_path: Path) -> None:
    done = hilnic("seeded", "-k", "wrong-ivar", "--json", "-", "--report", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    found = {entry["bug"]: entry["caught_by"] for entry in json.loads(done.stdout)}
    assert found == {"wrong-ivar": ["IRQ-02", "IRQ-03"]}
    assert "the sound driver holds 2 claims" in done.stderr
    results = json.loads((tmp_path / "wrong-ivar/results.json").read_text())
    assert "drivers/wrong-ivar/igb.ko" in json.dumps(results), "the report names the driver"


def test_a_module_for_another_kernel_is_refused_before_a_guest_starts(tmp_path: Path) -> None:
    foreign = tmp_path / "igb.ko"
    foreign.write_bytes(b"\x7fELF\x02\x01\0\0vermagic=5.10.0-other SMP\0name=igb\0")
    done = hilnic("run", "--module", str(foreign), "--claims", "IRQ-02", "--report", str(tmp_path / "report"))
    assert done.returncode == 2
    assert "must be built for the guest's kernel 6.12" in done.stdout + done.stderr
    assert "not for 5.10.0-other" in done.stdout + done.stderr


def test_a_file_that_is_no_module_is_the_callers_error(tmp_path: Path) -> None:
    (tmp_path / "igb.ko").write_text("not a module")
    done = hilnic("run", "--module", str(tmp_path / "igb.ko"), "--report", str(tmp_path / "report"))
    assert done.returncode == 2
    assert "must be an uncompressed ELF-64 module" in done.stderr
