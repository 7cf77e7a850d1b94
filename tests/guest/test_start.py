# SPDX-License-Identifier: BSD-3-Clause
"""Starting the parts of the lab, and the sentences they end in when they cannot start."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import accel
from harness.child import Child
from harness.deadline import Deadline, wait_until
from harness.emulator import REPOSITORY, CardOptions, CardProcess, CardSockets
from harness.errors import EnvironmentLacks, LabBroken, UsageError
from harness.machine import Lines, Machine, machine_arguments
from harness.qemu import Vm
from harness.snapshot import STATE, restore, snapshot

if TYPE_CHECKING:
    from harness.lab import Lab


def machine(folder: Path) -> Machine:
    return Machine(folder / "vmlinuz", None, None, "console=ttyS0", cpus=3, slots=("rp0",))


def test_the_command_line_says_what_the_machine_is(tmp_path: Path) -> None:
    words = machine_arguments(machine(tmp_path), Lines(5, 6, 7))
    joined = " ".join(words)
    assert "-smp 3" in joined
    assert "memory-backend-memfd,id=ram,size=512M,share=on" in joined
    assert "pcie-root-port,id=rp0" in joined
    assert "rp1" not in joined
    assert "fd=5" in joined
    assert "-initrd" not in words
    assert "-incoming" not in words


def test_another_machine_has_another_digest(tmp_path: Path) -> None:
    one = machine(tmp_path)
    assert one.digest() == machine(tmp_path).digest()
    others = (
        replace(one, cpus=2),
        replace(one, memory_mb=513),
        replace(one, cmdline="quiet"),
        replace(one, iommu=True),
    )
    assert len({one.digest(), *(other.digest() for other in others)}) == 5


def test_a_missing_kernel_is_told_in_qemus_words(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(LabBroken, match=r"(?s)QEMU ended with status 1.*vmlinuz"):
        Vm(lab.materials.qemu, machine(tmp_path), tmp_path / "vm")


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    child = Child("the card", ["/no/such/program"], tmp_path / "log")
    with pytest.raises(LabBroken, match="/no/such/program"):
        wait_until(child.must_run, Deadline.after(5), "the end of nothing")


def test_a_child_that_ignores_the_first_signal_is_killed(tmp_path: Path) -> None:
    child = Child("stubborn", ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"], tmp_path / "log")
    wait_until(lambda: child.tail() == "up", Deadline.after(5), "the child being up")
    child.stop(grace_s=0.2)
    assert child.status == -9


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import pathlib, time\nfrom harness.child import Child\n"
        f"child = Child('orphan', ['sleep', '1000'], pathlib.Path({str(tmp_path / 'inner')!r}))\n"
        "print(child.pid, flush=True)\ntime.sleep(1000)\n"
    )
    parent = Child("parent", [sys.executable, "-c", script], tmp_path / "log", env={"PYTHONPATH": str(REPOSITORY)})
    wait_until(lambda: parent.tail().isdigit(), Deadline.after(10), "the parent starting its child")
    orphan = Path("/proc", parent.tail())
    assert orphan.exists()
    parent.kill()
    wait_until(lambda: not orphan.exists() or "Z (" in (orphan / "status").read_text(), Deadline.after(5), "its end")


def sockets(folder: Path) -> CardSockets:
    return CardSockets(folder / "vfio", folder / "control", folder / "wire", folder / "peer")


def test_a_taken_socket_ends_in_the_cards_own_sentence(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as taken:
        taken.bind(str(tmp_path / "vfio"))
        taken.listen(1)
        process = CardProcess(CardOptions(), sockets(tmp_path), tmp_path / "card")
        with pytest.raises(LabBroken, match=r"the card ended with status \d+; it said: hilnic: .*vfio"):
            process.wait_ready()


def test_a_ready_card_has_its_sockets(tmp_path: Path) -> None:
    with CardProcess(CardOptions(), sockets(tmp_path), tmp_path / "card") as process:
        process.wait_ready()
        assert (tmp_path / "vfio").exists()
        assert (tmp_path / "control").exists()


def test_a_card_that_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="not 'e1000'"):
        CardOptions(kind="e1000")
    with pytest.raises(UsageError, match="not 'pigeon'"):
        CardOptions(interrupts="pigeon")


def test_a_cut_snapshot_ends_in_a_sentence_and_leaves_no_qemu(lab: Lab, tmp_path: Path) -> None:
    whole = snapshot(lab.materials, lab.machine, print)
    cut = tmp_path / "cut"
    shutil.copytree(whole, cut, ignore=shutil.ignore_patterns(STATE))
    (cut / STATE).write_bytes((whole / STATE).read_bytes()[:1_000_000])
    with pytest.raises(LabBroken, match="QEMU"):
        restore(lab.materials, lab.machine, cut, tmp_path / "vm")


def test_without_a_kvm_device_the_reason_is_its_absence(lab: Lab, tmp_path: Path) -> None:
    absent = tmp_path / "kvm"
    chosen = accel.choose("auto", lab.materials, tmp_path, print, device=absent)
    assert (chosen.name, chosen.why) == ("tcg", f"{absent} does not exist")
    with pytest.raises(LabBroken, match="does not exist"):
        accel.choose("kvm", lab.materials, tmp_path, print, device=absent)


def test_an_unknown_accelerator_is_refused(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not 'warp'"):
        accel.choose("warp", lab.materials, tmp_path, print)


def test_a_remembered_proof_is_not_made_again(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = replace(lab.materials, cache=tmp_path)
    tries: list[str] = []

    def fail(*_: object) -> str:
        tries.append("boot")
        return "it broke"

    monkeypatch.setattr(accel, "try_boot", fail)
    assert accel.proven(parts, tmp_path, print) == "it broke"
    assert accel.proven(parts, tmp_path, print) == "it broke"
    assert tries == ["boot"]
    (note,) = (tmp_path / "accelerator").iterdir()
    assert json.loads(note.read_text())["obstacle"] == "it broke"


def test_a_missing_setpriv_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentLacks, match="apt-get install util-linux"):
        Child("the card", ["true"], tmp_path / "log")
