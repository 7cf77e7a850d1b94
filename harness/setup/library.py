# SPDX-License-Identifier: BSD-3-Clause
"""Sources of libvfio-user, json-c to link it with, and Python's headers: what emulator/vfu is built from.

No Debian release packages libvfio-user, but QEMU's source package carries the revision that QEMU is tested with.
json-c and Python.h come from the host's own release, so that they fit the host's libc and Python.
"""

import shutil
import sysconfig
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from guest_images.cache import STAMP, finished_folder
from guest_images.debian import Archive, Request
from guest_images.errors import EnvironmentLacks
from guest_images.prefix import unpacked
from guest_images.progress import Progress

SOURCE_PACKAGE = "qemu/trixie"
SUBPROJECT = ("subprojects", "libvfio-user")
JSON_C_PACKAGES = ("libjson-c-dev", "libjson-c5")
TRIPLET = "x86_64-linux-gnu"


@dataclass(frozen=True, slots=True)
class Ingredients:
    """Folders for the build: libvfio-user's tree, json-c's `include` and `lib`, and Python.h if the host has none."""

    root: Path

    @property
    def source(self) -> Path:
        """libvfio-user's own tree, with include/ and lib/."""
        return self.root / "src"

    @property
    def json_c(self) -> Path:
        """A folder with json-c's include/ and lib/."""
        return self.root / "json-c"

    @property
    def python_include(self) -> Path | None:
        """The folder of Python.h, or None if the Python that runs has its own."""
        folder = self.root / "python-include"
        return folder if folder.is_dir() else None


def ingredients(
    cache: Path, source_archive: Archive, host_archive: Archive, host_suite: str, progress: Progress
) -> Ingredients:
    """Return the build's ingredients, fetched at the first call."""
    python = f"python{sysconfig.get_python_version()}"
    lacks_header = not Path(sysconfig.get_path("include"), "Python.h").is_file()

    def extract(folder: Path) -> None:
        tarball = _original_tarball(source_archive.fetch_source(SOURCE_PACKAGE))
        with progress.step("unpacking libvfio-user from QEMU's sources"):
            extract_subproject(tarball, folder)

    def build(folder: Path) -> None:
        extracted = finished_folder(cache, "sources", {"source": SOURCE_PACKAGE}, extract, name="libvfio-user")
        shutil.copytree(extracted, folder / "src", ignore=shutil.ignore_patterns(STAMP))
        request = Request(("libjson-c-dev",), host_suite)
        json_c = unpacked(cache, "json-c", host_archive, request, progress, only=JSON_C_PACKAGES)
        shutil.copytree(json_c.root / "usr/include", folder / "json-c/include")
        _copy_libraries(json_c.root / "usr/lib" / TRIPLET, folder / "json-c/lib")
        if lacks_header:
            _copy_python_headers(cache, host_archive, host_suite, python, folder / "python-include", progress)

    inputs: dict[str, object] = {
        "source": SOURCE_PACKAGE,
        "host_suite": host_suite,
        "python_headers": python if lacks_header else "",
    }
    return Ingredients(finished_folder(cache, "libvfio-user", inputs, build))


def extract_subproject(tarball: Path, into: Path) -> None:
    """Extract ANY/subprojects/libvfio-user from a source tarball, and nothing else."""
    try:
        with tarfile.open(tarball, mode="r|*") as archive:
            for member, inner in _below_subproject(archive):
                target = into / inner
                if member.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                elif member.isfile():
                    file = archive.extractfile(member)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(file.read() if file else b"")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise EnvironmentLacks(f"{tarball} must be a whole source tarball, but reading it says: {error}") from error
    if not (into / "include" / "libvfio-user.h").is_file():
        raise EnvironmentLacks(f"{tarball.name} must hold {'/'.join(SUBPROJECT)}, and does not")


def _below_subproject(archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, PurePosixPath]]:
    """Yield the subproject's members with their path in it, and stop reading the archive behind them."""
    inside = False
    for member in archive:
        parts = PurePosixPath(member.name).parts
        start = 0 if parts[:1] == SUBPROJECT[:1] else 1
        if parts[start : start + 2] == SUBPROJECT and ".." not in parts:
            inside = True
            yield member, PurePosixPath(*parts[start + 2 :])
        elif inside:
            return


def _original_tarball(paths: list[Path]) -> Path:
    for path in paths:
        if ".orig.tar." in path.name:
            return path
    raise EnvironmentLacks(f"the source package {SOURCE_PACKAGE} must have an .orig.tar file, not {paths}")


def _copy_libraries(source: Path, into: Path) -> None:
    into.mkdir(parents=True)
    for path in source.glob("libjson-c.so*"):
        shutil.copy2(path, into / path.name, follow_symlinks=False)


def _copy_python_headers(
    cache: Path, archive: Archive, suite: str, python: str, into: Path, progress: Progress
) -> None:
    """Fetch Python's headers; Debian's pyconfig.h includes another below the multi-architecture folder."""
    package = f"lib{python}-dev"
    headers = unpacked(cache, "python-dev", archive, Request((package,), suite), progress, only=(package,))
    include = headers.root / "usr/include"
    shutil.copytree(include / python, into)
    shutil.copytree(include / TRIPLET / python, into / TRIPLET / python)
