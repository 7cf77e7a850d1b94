# SPDX-License-Identifier: BSD-3-Clause
"""Opening a lab from what set-up left, the way the checks, the tests and ``hilnic debug`` do it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from guest_images.cache import cache_root
from guest_images.errors import EnvironmentLacks as ImageLacks
from guest_images.errors import UsageError as CallersError
from guest_images.progress import Progress
from harness.accel import choose
from harness.errors import EnvironmentLacks, UsageError
from harness.guest.driver import DriverFile
from harness.lab import Lab
from harness.setup.steps import artefacts
from harness.snapshot import Materials

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.emulator import CardOptions

KEPT = 3


def materials(kernel: str = "") -> Materials:
    """Return QEMU, the guest image for a kernel package, and the cache; what set-up has not made yet is made now."""
    try:
        qemu, image = artefacts(os.environ, Progress(sys.stderr), kernel)
    except CallersError as error:
        raise UsageError(str(error)) from error
    except ImageLacks as error:
        raise EnvironmentLacks(str(error)) from error
    return Materials(qemu, image, cache_root(os.environ))


def own_folder(parent: Path) -> Path:
    """Return a folder below ``parent`` for this process alone; of those of ended processes the newest three stay."""
    parent.mkdir(parents=True, exist_ok=True)
    ended = [path for path in parent.iterdir() if path.name.isdigit() and not Path("/proc", path.name).exists()]
    for path in sorted(ended, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)
    mine = parent / str(os.getpid())
    shutil.rmtree(mine, ignore_errors=True)
    mine.mkdir()
    return mine


def open_lab(
    folder: Path,
    *,
    accelerator: str = "auto",
    kernel: str = "",
    cpus: int = 4,
    default: CardOptions | None = None,
    say: Callable[[str], None] = lambda _text: None,
    module: Path | None = None,
    module_later: bool = False,
    sanitize: str = "",
) -> Lab:
    """Return a lab in state off, whose artefacts go to ``folder``; the caller closes it.

    ``module`` is an igb.ko that takes the place of the guest's own; with ``module_later`` one comes by ``take_driver``.
    """
    driver = None if module is None else DriverFile.read(module)
    parts = materials(kernel)
    chosen = choose(accelerator, parts, folder / "accelerator", say)
    return Lab(
        parts,
        chosen,
        folder,
        cpus=cpus,
        default=default,
        say=say,
        driver=driver,
        driver_later=module_later,
        sanitize=sanitize,
    )
