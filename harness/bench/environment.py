# SPDX-License-Identifier: BSD-3-Clause
"""What figures are worth nothing without: where, on what and of what they were taken."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness.accel import cpu_model

if TYPE_CHECKING:
    from harness.lab import Lab

REPOSITORY = Path(__file__).resolve().parents[2]
GIT_S = 10.0


def environment(lab: Lab) -> dict[str, str]:
    """Return name → text: accelerator, both kernels, QEMU, CPUs, Python, commit, date, and the load before the run."""
    facts = lab.facts()
    load, _, _ = os.getloadavg()
    return {
        "accelerator": facts["accelerator"],
        "guest": f"Linux {facts['kernel']}, {lab.machine.cpus} CPUs",
        "qemu": facts["qemu"],
        "host": f"{os.cpu_count()} CPUs ({cpu_model()}), Linux {platform.release()}",
        "python": platform.python_version(),
        "commit": commit(REPOSITORY),
        "date": time.strftime("%Y-%m-%d"),
        "load": f"{load:.2f} before the run",
    }


def commit(repository: Path) -> str:
    """Return the commit of a working copy, with a ``+`` if it has changes; "unknown" where git cannot tell."""
    try:
        said = subprocess.run(
            ("git", "-C", str(repository), "describe", "--always", "--abbrev=10", "--exclude=*", "--dirty=+"),
            capture_output=True,
            text=True,
            timeout=GIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return said.stdout.strip() if said.returncode == 0 else "unknown"
