# SPDX-License-Identifier: BSD-3-Clause
"""The virtual environment in build/venv, with exactly the packages that requirements.lock names.

Packages come from wherever this machine's pip is configured to fetch them.
"""

import importlib.util
import sys
import sysconfig
import venv
from collections.abc import Mapping
from pathlib import Path

from guest_images.cache import file_sha256, is_complete, write_stamp
from guest_images.debian import Archive, Request
from guest_images.errors import EnvironmentLacks
from guest_images.prefix import unpacked
from guest_images.progress import Progress
from harness.setup.command import run_step

PIP_PACKAGE = "python3-pip-whl"
PIP_WHEELS = "usr/share/python-wheels/pip-*.whl"


def environment(
    folder: Path,
    lock: Path,
    cache: Path,
    host_archive: Archive,
    host_suite: str,
    progress: Progress,
    variables: Mapping[str, str],
) -> Path:
    """Return the environment's python; nothing runs if neither the lock nor the host's Python has changed."""
    python = folder / "bin" / "python"
    inputs: dict[str, object] = {
        "lock": file_sha256(lock),
        "python": sys.version,
        "platform": sysconfig.get_platform(),
        "base": sys.base_prefix,
    }
    if is_complete(folder, inputs) and python.exists():
        return python
    with progress.step(f"installing the Python packages of {lock.name} into {folder.name}"):
        venv.EnvBuilder(clear=True, symlinks=True, with_pip=False).create(folder)
        _add_pip(python, cache, host_archive, host_suite, progress, variables)
        run_step(
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(lock)],
            "pip",
            variables,
            hint="it fetches as this machine's pip is configured (pip config list)",
        )
    write_stamp(folder, inputs)
    return python


def _add_pip(
    python: Path, cache: Path, archive: Archive, suite: str, progress: Progress, variables: Mapping[str, str]
) -> None:
    """Put pip into the environment: from Python's own ensurepip, or from Debian's wheel of pip."""
    if importlib.util.find_spec("ensurepip") is not None:
        run_step([str(python), "-m", "ensurepip", "--default-pip"], "ensurepip", variables)
        return
    prefix = unpacked(cache, "pip", archive, Request((PIP_PACKAGE,), suite), progress, only=(PIP_PACKAGE,))
    wheels = sorted(prefix.root.glob(PIP_WHEELS))
    if not wheels:
        raise EnvironmentLacks(f"{PIP_PACKAGE} must hold a wheel of pip, and has none in {prefix.root}")
    install = ["install", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check", str(wheels[-1])]
    run_step([str(python), f"{wheels[-1]}/pip", *install], "pip's own wheel", variables)
