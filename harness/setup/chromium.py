# SPDX-License-Identifier: BSD-3-Clause
"""A browser without windows for the tests of the page: the system's Chromium, or Debian's from a private prefix.

Chromium starts itself again for its helpers, so it cannot run under a loader of its own as other programs of a prefix
do. It comes from the host's own release instead, and runs on the host's libc with the prefix's other libraries.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from guest_images.debian import Archive, Request
from guest_images.errors import EnvironmentLacks
from guest_images.prefix import unpacked
from guest_images.progress import Progress

PROGRAMS = ("chromium-headless-shell", "chromium")
PACKAGE = "chromium-headless-shell"
INSTALLED_AS = "usr/lib/chromium*/*headless*shell"
LIBRARY_FOLDERS = (
    *("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"),
    *("usr/lib/x86_64-linux-gnu/pulseaudio", "usr/lib/chromium"),
)
FONTS = "usr/share/fonts"
NOT_UNPACKED = ("libc6", "libllvm*", "libz3-*")
"""The host's own libc is used, and drivers of graphics cards are not."""


@dataclass(frozen=True, slots=True)
class Browser:
    """A program, the folders of its libraries in the order of search, and of its fonts; none: the system's."""

    program: Path
    libraries: tuple[Path, ...] = ()
    fonts: Path | None = None


def find_or_fetch(
    cache: Path, archive: Archive, suite: str, progress: Progress, search_path: str | None = None
) -> Browser:
    """Return the system's Chromium, else the prefix's, which is fetched at the first call (150 MiB)."""
    for name in PROGRAMS:
        found = shutil.which(name, path=search_path)
        if found is not None:
            return Browser(Path(found))
    prefix = unpacked(cache, "chromium", archive, Request((PACKAGE,), suite), progress, without=NOT_UNPACKED)
    programs = sorted(prefix.root.glob(INSTALLED_AS))
    if not programs:
        raise EnvironmentLacks(f"{PACKAGE} must install {INSTALLED_AS}, and has nothing of that in {prefix.root}")
    return Browser(programs[0], tuple(prefix.root / folder for folder in LIBRARY_FOLDERS), prefix.root / FONTS)
