# SPDX-License-Identifier: BSD-3-Clause
"""All steps of set-up in their order, and what they leave for the rest of hilnic.

A finished step leaves a stamp with its inputs, so that a second run does nothing and needs no network. Call
`artefacts()` to learn the paths; it runs what is not finished yet.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from guest_images.build import Image, image
from guest_images.cache import cache_root, file_sha256, is_complete, locked, write_stamp
from guest_images.debian import Archive, Request
from guest_images.mirror import mirror
from guest_images.prefix import Prefix, unpacked
from guest_images.progress import Progress
from harness.setup import chromium, host, library, qemu
from harness.setup.command import run_step
from harness.setup.environment import environment

GUEST_SUITES = ("trixie", "trixie-backports")
GUEST_SOURCE_SUITES = ("trixie",)
BUILD_MODULE = "emulator.vfu.build"
BINDINGS = "emulator/vfu"
ENGINE_MODULE = "emulator.fastpath.build"
ENGINE = "emulator/fastpath"


@dataclass(frozen=True, slots=True)
class Artefacts:
    """What set-up leaves: the environment's python, QEMU, and the guest image."""

    python: Path
    qemu: qemu.Qemu
    image: Image


@dataclass(frozen=True, slots=True)
class Archives:
    """Debian as set-up sees it: the suites of QEMU and the guest, and the host's own."""

    guest: Archive
    own: Archive
    own_suite: str


def set_up(repository: Path, variables: Mapping[str, str], progress: Progress, kernel: str = "") -> Artefacts:
    """Run every step that is not finished, under the cache's lock."""
    this = host.inspect()
    cache = cache_root(variables)
    with locked(cache, progress.say):
        archives = _archives(cache, this, variables, progress)
        python = environment(
            repository / "build" / "venv",
            repository / "requirements.lock",
            cache,
            archives.own,
            archives.own_suite,
            progress,
            variables,
        )
        _bindings(repository, python, cache, archives, progress, variables)
        found = qemu.find_or_fetch(cache, archives.guest, progress, variables.get("PATH"))
        return Artefacts(python, found, image(cache, archives.guest, progress, kernel))


def artefacts(variables: Mapping[str, str], progress: Progress, kernel: str = "") -> tuple[qemu.Qemu, Image]:
    """Return QEMU and the guest image alone, for a program that already runs in the environment."""
    this = host.inspect()
    cache = cache_root(variables)
    with locked(cache, progress.say):
        guest = _archives(cache, this, variables, progress).guest
        return qemu.find_or_fetch(cache, guest, progress, variables.get("PATH")), image(cache, guest, progress, kernel)


def tools(name: str, packages: tuple[str, ...], variables: Mapping[str, str], progress: Progress) -> Prefix:
    """Return a prefix with programs of the guest's release, for running them on the host; fetched at the first call."""
    this = host.inspect()
    cache = cache_root(variables)
    with locked(cache, progress.say):
        archive = _archives(cache, this, variables, progress).guest
        return unpacked(cache, name, archive, Request(packages, GUEST_SUITES[0]), progress)


@contextmanager
def guest_archive(variables: Mapping[str, str], progress: Progress) -> Iterator[tuple[Path, Archive]]:
    """Hold the cache's lock, and give the cache and Debian as the guest has it."""
    this = host.inspect()
    cache = cache_root(variables)
    with locked(cache, progress.say):
        yield cache, _archives(cache, this, variables, progress).guest


def browser(variables: Mapping[str, str], progress: Progress) -> chromium.Browser:
    """Return a browser for the tests of the report's page; nothing else needs one. Fetched at the first call."""
    this = host.inspect()
    cache = cache_root(variables)
    with locked(cache, progress.say):
        archives = _archives(cache, this, variables, progress)
        return chromium.find_or_fetch(cache, archives.own, archives.own_suite, progress, variables.get("PATH"))


def _archives(cache: Path, this: host.Host, variables: Mapping[str, str], progress: Progress) -> Archives:
    def address() -> str:
        return mirror(variables, Path("/etc/apt"), this.codename)

    return Archives(
        guest=Archive(cache, address, GUEST_SUITES, progress, environment=variables, source_suites=GUEST_SOURCE_SUITES),
        own=Archive(cache, address, (this.codename,), progress, environment=variables),
        own_suite=this.codename,
    )


def _bindings(
    repository: Path,
    python: Path,
    cache: Path,
    archives: Archives,
    progress: Progress,
    variables: Mapping[str, str],
) -> None:
    """Compile emulator/vfu against libvfio-user, and the native engine, unless what goes into them is as it was."""
    parts = library.ingredients(cache, archives.guest, archives.own, archives.own_suite, progress)
    include = () if parts.python_include is None else ("--python-include", str(parts.python_include))
    ingredients = ("--source", str(parts.source), "--json-c", str(parts.json_c))
    for name, folder, pattern, argv in (
        ("bindings", BINDINGS, "_native*.so", (BUILD_MODULE, *ingredients, *include)),
        ("engine", ENGINE, "_engine*.so", (ENGINE_MODULE, *include)),
    ):
        sources = sorted(path for path in (repository / folder).iterdir() if path.suffix in {".py", ".c", ".h"})
        inputs: dict[str, object] = {
            "sources": {path.name: file_sha256(path) for path in sources},
            "ingredients": str(parts.root),
            "python": sys.version,
        }
        stamp = repository / "build" / name
        if is_complete(stamp, inputs) and any((repository / folder).glob(pattern)):
            continue
        what = {"bindings": "the bindings to libvfio-user", "engine": "the native engine"}[name]
        with progress.step(f"building {what}"):
            run_step([str(python), "-m", *argv], argv[0], variables, folder=repository)
        stamp.mkdir(parents=True, exist_ok=True)
        (stamp / "python-include").write_text(f"{parts.python_include}\n" if parts.python_include else "")
        write_stamp(stamp, inputs)
