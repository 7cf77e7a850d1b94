# SPDX-License-Identifier: BSD-3-Clause
"""A kernel as its builder has it, bzImage and build tree, boots and is judged."""

from __future__ import annotations

import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import pytest

from guest_images.cache import cache_root

ROOT = Path(__file__).parents[2]
RUN_S = 300


@pytest.mark.timeout(RUN_S + 30)
def test_a_bzimage_with_its_build_tree_is_booted_and_judged(tmp_path: Path) -> None:
    packages = cache_root(os.environ) / "prefix"
    program = next(packages.glob("kernel-*/boot/vmlinuz-6.12*"))
    release = program.name.removeprefix("vmlinuz-")
    installed = program.parents[1] / "usr/lib/modules" / release
    tree = tmp_path / "linux"
    for path in installed.rglob("kernel/**/*.ko.xz"):
        made = tree / path.relative_to(installed / "kernel").with_suffix("")
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_bytes(lzma.decompress(path.read_bytes()))
        os.utime(made, (0, 0))  # what was built once is the same kernel in the next run of this test
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        (tree / name).write_bytes((installed / name).read_bytes())
    (tree / "include/config").mkdir(parents=True)
    (tree / "include/config/kernel.release").write_text(f"{release}\n")
    config = (program.parent / f"config-{release}").read_text()
    (tree / ".config").write_text(config.replace("CONFIG_BQL=y", "# CONFIG_BQL is not set"))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "harness.cli", "run", "--kernel", str(program), "--modules", str(tree), *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S, check=False)

    done = run("--claims", "IRQ-02,BQL-03", "--report", str(tmp_path / "report"))
    assert done.returncode == 3, done.stdout[-3000:] + done.stderr[-2000:]
    results = json.loads((tmp_path / "report/results.json").read_text())
    found = {claim["id"]: (claim["verdict"], claim["reason"]) for claim in results["claims"]}
    assert found["IRQ-02"][0] == "held"
    assert found["BQL-03"][0] == "not run"
    assert "the guest's kernel lacks CONFIG_BQL (byte queue limits and their counters)" in found["BQL-03"][1]
    assert release in json.dumps(results)
    told = run("--kernel-config-check")
    assert told.returncode == 3
    assert f"{release}: {tree / '.config'}" in told.stdout
    assert "MISSING  byte queue limits and their counters: BQL" in told.stdout
    assert "falls away: BQL-03, " in told.stdout
    (tree / ".config").write_text(config.replace("CONFIG_FTRACE=y", ""))
    done = run("--claims", "IRQ-02", "--report", str(tmp_path / "report"))
    assert done.returncode == 3
    assert "the guest's kernel lacks CONFIG_FTRACE (trace events, the guest's witness)" in done.stderr


def test_a_kernel_that_is_none_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness.cli", "run", "--kernel", str(tmp_path), "--report", str(tmp_path / "r")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "a kernel must be a package such as linux-image-amd64" in done.stdout + done.stderr
