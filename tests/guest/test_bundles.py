# SPDX-License-Identifier: BSD-3-Clause
"""Bundles of a real driver's work: recorded on either engine, replayed on both, whole."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from emulator.bundle.entries import Kind, entries, parse_header

ROOT = Path(__file__).parents[2]
ENGINES = ("native", "python")
RUN_S = 170
WORK = "ping -c 20 -i 0.02 198.18.0.2 && ip link set eth0 down && ip link set eth0 up && ethtool -S eth0"


def hilnic(*words: str, lines: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli", *words]
    return subprocess.run(command, cwd=ROOT, input=lines, capture_output=True, text=True, timeout=RUN_S, check=False)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_driver_does_is_replayed_on_both_engines(tmp_path: Path, engine: str) -> None:
    bundle = tmp_path / "bundle.zip"
    done = hilnic("record", "--bundle", str(bundle), "--engine", engine, "--", "sh", "-c", WORK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 packets transmitted, 20 received" in done.stdout
    with zipfile.ZipFile(bundle) as made:
        names = set(made.namelist())
        manifest = json.loads(made.read("manifest.json"))
        log = made.read("card-1/card.log")
        assert "Linux version" in made.read("dmesg.txt").decode()
    assert names >= {
        "events.txt",
        "card-1/wire.pcapng",
        "card-1/emulator.log",
        "guest-1/console.log",
        "guest-1/qemu.argv",
    }
    assert set(manifest["versions"]) >= {"hilnic", "qemu", "kernel", "engine", "accelerator"}
    assert manifest["options"]["engine"] == engine
    kinds = [entry.kind for entry in entries(memoryview(log), parse_header(log)[1])]
    assert min(kinds.count(kind) for kind in (Kind.FRAME_IN, Kind.FRAME_OUT, Kind.INTERRUPT, Kind.DMA_READ)) >= 20
    assert kinds[-1] is Kind.END
    for other in ENGINES:
        again = hilnic("replay", str(bundle), "--engine", other)
        assert again.returncode == 0, again.stdout + again.stderr
        assert again.stdout.startswith(
            f"the card does the same, byte for byte: {len([k for k in kinds if k < 32])} steps"
        )


def test_checks_can_be_recorded_and_their_faults_are_replayed_too(tmp_path: Path) -> None:
    """NAPI-02 holds interrupts back by a fault; the replay stands where the first is let go."""
    bundle = tmp_path / "bundle.zip"
    done = hilnic("record", "--bundle", str(bundle), "--claims", "NAPI-02")
    assert done.returncode == 0, done.stdout + done.stderr
    for engine in ENGINES:
        script = "delete\nbreak InterruptSent why=event vector=2\ncontinue\nring rx 0\nquit\n"
        stood = hilnic("replay", str(bundle), "--until", "500", "--engine", engine, lines=script)
        assert stood.returncode == 0, stood.stdout + stood.stderr
        assert "InterruptSent vector=2 mode=msix why=event" in stood.stdout
        again = hilnic("replay", str(bundle), "--engine", engine)
        assert again.returncode == 0, again.stdout + again.stderr


def test_a_failed_check_leaves_a_bundle_beside_the_report(tmp_path: Path) -> None:
    """The card steers every frame to queue 0, which RSS-03 finds out."""
    done = hilnic("run", "--claims", "RSS-03", "--fault", "force_rss queue=0", "--report", str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    [bundle] = tmp_path.glob("artefacts/*/bundle.zip")
    assert str(bundle.relative_to(tmp_path)) in done.stdout
    assert str(bundle.relative_to(tmp_path)) in (tmp_path / "index.html").read_text()
    with zipfile.ZipFile(bundle) as made:
        manifest = json.loads(made.read("manifest.json"))
        assert {"check/traceback-call.txt", "again/dmesg.txt", "again/events.txt"} <= set(made.namelist())
    assert (manifest["check"]["claims"], manifest["check"]["repetition"]) == (["RSS-03"], "failed")
    assert manifest["options"]["faults"] == ["force_rss queue=0"]
    for engine in ENGINES:
        again = hilnic("replay", str(bundle), "--engine", engine)
        assert again.returncode == 0, again.stdout + again.stderr
