# SPDX-License-Identifier: BSD-3-Clause
"""KVM or TCG: KVM only where a guest has really executed in it.

An openable /dev/kvm proves nothing, and neither does a virtual machine that can be created: nested KVM has been seen
to do both and then to fail at the first instructions of a stock kernel. The proof is therefore a boot of the very
kernel that the checks use; it is remembered for this host kernel, CPU, QEMU and image.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from guest_images.cache import digest_of
from harness.deadline import Deadline, wait_until
from harness.errors import LabBroken, UsageError, WorldError
from harness.guest.console import Console
from harness.qemu import Vm
from harness.snapshot import READY, machine_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.snapshot import Materials

CHOICES = ("auto", "kvm", "tcg")
KVM = Path("/dev/kvm")
PROOF_S = 40.0


@dataclass(frozen=True, slots=True)
class Accelerator:
    """The accelerator's name for QEMU, and why it was chosen."""

    name: str
    why: str


def choose(
    wanted: str, materials: Materials, folder: Path, say: Callable[[str], None], device: Path = KVM
) -> Accelerator:
    """Return the accelerator for ``wanted``: ``auto``, ``kvm`` or ``tcg``.

    Raises LabBroken if ``kvm`` is wanted and a guest does not execute in it.
    """
    if wanted not in CHOICES:
        raise UsageError(f"the accelerator must be one of {', '.join(CHOICES)}, not {wanted!r}")
    if wanted == "tcg":
        return Accelerator("tcg", "asked for")
    obstacle = lacking(device) or proven(materials, folder, say)
    if not obstacle:
        return Accelerator("kvm", "a guest has booted in it")
    if wanted == "kvm":
        raise LabBroken(f"a guest must execute in KVM, but {obstacle}")
    return Accelerator("tcg", obstacle)


def lacking(device: Path) -> str:
    """Return why KVM cannot be tried, or an empty string."""
    if not device.exists():
        return f"{device} does not exist"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"{device} must be readable and writable by us, and is not"
    return ""


def proven(materials: Materials, folder: Path, say: Callable[[str], None]) -> str:
    """Return why a guest does not execute in KVM, or an empty string; remembered in the cache."""
    inputs = {
        "host": list(os.uname()[2:]),
        "cpu": cpu_model(),
        "qemu": list(materials.qemu.argv_prefix),
        "image": str(materials.image.folder),
    }
    note = materials.cache / "accelerator" / f"{digest_of(inputs)}.json"
    try:
        return str(json.loads(note.read_text())["obstacle"])
    except (OSError, ValueError, KeyError):
        say("trying whether a guest executes in KVM")
    obstacle = try_boot(materials, folder)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps({"obstacle": obstacle, **inputs}, indent=1))
    return obstacle


def try_boot(materials: Materials, folder: Path) -> str:
    """Boot the guest in KVM; return what stopped it, or an empty string."""
    machine = machine_for(materials.image, accelerator="kvm", cpus=1)
    try:
        with Vm(materials.qemu, machine, folder) as vm, Console(vm.console, folder / "console.log") as console:
            deadline = Deadline.after(PROOF_S)

            def looked() -> bool:
                vm.must_run()
                console.check()
                status = vm.execute("query-status")["status"]
                if status not in ("running", "prelaunch"):
                    raise LabBroken(f"the virtual machine went to {status}: {telling_line(vm.child.tail())}")
                return any(READY in line for line in console.lines)

            wait_until(looked, deadline, "a guest booting in KVM")
    except WorldError as error:
        return f"a guest does not execute in {KVM}: {telling_line(str(error))}"
    return ""


def telling_line(text: str) -> str:
    """Return the first line that tells of an error, else the first that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and "warning: " not in line]
    return next((line for line in lines if "error" in line.lower()), lines[0] if lines else "no word from QEMU")


def cpu_model() -> str:
    """Return the host CPU's name."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else "unknown"
