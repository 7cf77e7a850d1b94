# SPDX-License-Identifier: BSD-3-Clause
"""A QEMU that has vfio-user-pci (10.1 or later): the system's, or Debian's from the private prefix."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from guest_images.debian import Archive, Request
from guest_images.errors import EnvironmentLacks
from guest_images.prefix import Prefix, run_command, unpacked
from guest_images.progress import Progress

PROGRAM = "qemu-system-x86_64"
LEAST_VERSION = (10, 1)
PACKAGES = Request(("qemu-system-x86", "seabios", "ipxe-qemu"), "trixie-backports")
FIRMWARE_FOLDERS = ("usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu")
LIBRARY_FOLDERS = ("pulseaudio",)
PROBE_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Qemu:
    """How to start QEMU: the first words of its command line, its version, and where it comes from."""

    argv_prefix: tuple[str, ...]
    version: str
    origin: str


def find_or_fetch(cache: Path, archive: Archive, progress: Progress, search_path: str | None = None) -> Qemu:
    """Return the system's QEMU if it will do, else the prefix's, which is fetched at the first call.

    Raises EnvironmentLacks if neither knows vfio-user-pci.
    """
    return system_qemu(search_path) or prefix_qemu(unpacked(cache, "qemu", archive, PACKAGES, progress))


def system_qemu(search_path: str | None = None) -> Qemu | None:
    """Return the QEMU on the PATH if it is new enough and has vfio-user-pci."""
    program = shutil.which(PROGRAM, path=search_path)
    if program is None:
        return None
    try:
        version = probe((program,))
    except (EnvironmentLacks, subprocess.TimeoutExpired):
        return None
    return Qemu((program,), version, "system") if version else None


def prefix_qemu(prefix: Prefix) -> Qemu:
    """Return the command line for the QEMU of a prefix, after checking that it runs and has vfio-user-pci."""
    argv = list(prefix.argv(f"usr/bin/{PROGRAM}", library_folders=LIBRARY_FOLDERS))
    for folder in FIRMWARE_FOLDERS:
        if (prefix.root / folder).is_dir():
            argv += ["-L", str(prefix.root / folder)]
    version = probe(argv)
    if not version:
        raise EnvironmentLacks(
            f"the QEMU in {prefix.root} must be 10.1 or later and have vfio-user-pci; "
            "remove that folder, so that the next run fetches it again"
        )
    return Qemu(tuple(argv), version, f"Debian {prefix.versions['qemu-system-x86']}")


def probe(argv: Sequence[str]) -> str:
    """Return QEMU's version if it is new enough and has vfio-user-pci, else an empty string."""
    found = re.search(r"version (\d+)\.(\d+)(\.\d+)?", run_command((*argv, "--version"), PROGRAM))
    if found is None or (int(found[1]), int(found[2])) < LEAST_VERSION:
        return ""
    devices = run_command((*argv, "-device", "help"), PROGRAM)
    return found[0].removeprefix("version ") if '"vfio-user-pci"' in devices else ""
