# SPDX-License-Identifier: BSD-3-Clause
"""Somebody's own driver in the guest: one without a bug holds, one with a bug is caught, no module is refused."""

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


def test_a_driver_that_does_not_load_is_not_judged_and_ends_the_run(tmp_path: Path, workshop: Workshop) -> None:
    bug = Bug("never-loads", ".", "igb_init_module", "ret = pci_register_driver(&igb_driver);", "ret = -ENODEV;", ())
    module, report = workshop.build(bug), tmp_path / "report"
    done = hilnic("run", "--module", str(module), "--claims", "RSS-03,IRQ-02", "--report", str(report))
    assert done.returncode == 3, done.stdout + done.stderr
    assert "modprobe must load" in done.stdout
    assert "No such device" in done.stdout
    claims = {claim["id"]: claim for claim in json.loads((report / "results.json").read_text())["claims"]}
    assert {claims[name]["verdict"] for name in ("RSS-03", "IRQ-02")} == {"not run"}
    assert sum(len(claims[name]["checks"]) for name in ("RSS-03", "IRQ-02")) == 1, "the others need not try"
    watched = hilnic("watch", "--module", str(module), "--claims", "RSS-03", "--runs", "1", "--report", str(report))
    assert watched.returncode == 3, watched.stdout + watched.stderr
    assert "no claim was judged: NotLoaded: modprobe must load" in watched.stdout


def test_a_bug_that_cannot_be_built_or_loaded_is_missed_and_the_sweep_goes_on(tmp_path: Path) -> None:
    table = tmp_path / "bugs.toml"
    table.write_text(
        """\
[does-not-build]
says = "."
function = "igb_init_module"
right = "ret = pci_register_driver(&igb_driver);"
wrong = "ret = nonsense;"
claims = ["IRQ-02"]

[never-loads]
says = "."
function = "igb_init_module"
right = "ret = pci_register_driver(&igb_driver);"
wrong = "ret = -ENODEV;"
claims = ["IRQ-02"]
"""
    )
    done = hilnic("seeded", "--table", str(table), "--json", "-", "--report", str(tmp_path / "report"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert [entry["caught_by"] for entry in json.loads(done.stdout)] == [[], []]
    assert "not judged IRQ-02: does-not-build must build" in done.stderr
    assert "not judged IRQ-02: NotLoaded: modprobe must load" in done.stderr


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
