# SPDX-License-Identifier: BSD-3-Clause
"""Folders of unpacked Debian packages, and programs run from them by their own dynamic loader.

Such a folder holds a libc of its own, so a program of a newer Debian runs on an older host unchanged.
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from guest_images.cache import finished_folder
from guest_images.debian import Archive, Request, unpack
from guest_images.errors import EnvironmentLacks
from guest_images.progress import Progress

LOADER = "usr/lib64/ld-linux-x86-64.so.2"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
VERSIONS = "hilnic-packages.json"
RUN_DEADLINE_S = 600.0


@dataclass(frozen=True, slots=True)
class Prefix:
    """A folder of unpacked packages; `versions` maps each package to its version."""

    root: Path
    versions: dict[str, str]

    def argv(self, program: str, *arguments: str, library_folders: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the command line that runs `program` (a path below the prefix) with the prefix's own libraries."""
        folders = [self.root / LIBRARIES, *(self.root / LIBRARIES / folder for folder in library_folders)]
        loader = (str(self.root / LOADER), "--library-path", ":".join(map(str, folders)))
        return (*loader, "--argv0", Path(program).name, str(self.root / program), *arguments)

    def run(self, program: str, *arguments: str, environment: dict[str, str] | None = None) -> str:
        """Run a program of the prefix to its end and return what it printed.

        Raises EnvironmentLacks with the program's last words if it fails.
        """
        return run_command(self.argv(program, *arguments), Path(program).name, environment)


def run_command(argv: Sequence[str], name: str, environment: dict[str, str] | None = None) -> str:
    """Run a command to its end; map failure to EnvironmentLacks under the name `name`."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=RUN_DEADLINE_S,
            check=False,
        )
    except OSError as error:
        raise EnvironmentLacks(f"{name} must start: {error.strerror}") from error
    except subprocess.TimeoutExpired:
        raise EnvironmentLacks(f"{name} must end within {RUN_DEADLINE_S:g} s") from None
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip())[-400:]
        raise EnvironmentLacks(f"{name} must succeed, but ended with status {done.returncode}: {words}")
    return done.stdout


def unpacked(
    cache: Path,
    name: str,
    archive: Archive,
    request: Request,
    progress: Progress,
    *,
    only: Sequence[str] = (),
    without: Sequence[str] = (),
) -> Prefix:
    """Return the prefix that holds `request`, fetched and unpacked at the first call, without network later.

    With `only`, of all that is fetched just the packages whose names match one of these patterns are unpacked, and
    those that match one of `without` never are.
    """

    def build(folder: Path) -> None:
        fetched = archive.fetch(request)
        chosen = [each for each in fetched if not only or _matches(each.name, only)]
        chosen = [each for each in chosen if not _matches(each.name, without)]
        with progress.step(f"unpacking {len(chosen)} packages for {name}"):
            for package in chosen:
                unpack(package.path, folder)
        versions = {package.name: package.version for package in chosen}
        (folder / VERSIONS).write_text(json.dumps(versions, indent=1, sort_keys=True), encoding="utf-8")

    inputs = {"suites": list(archive.suites), "only": sorted(only), **request.inputs()}
    inputs |= {"without": sorted(without)} if without else {}
    root = finished_folder(cache, "prefix", inputs, build, name=name)
    return Prefix(root, json.loads((root / VERSIONS).read_text(encoding="utf-8")))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
