# SPDX-License-Identifier: BSD-3-Clause
"""The driver igb, built out of tree for the guest's kernel: Debian's headers and source, the host's compiler.

Everything lies in the cache. The tools of Debian's linux-kbuild are programs of the guest's release, so that they run
with its own loader and libraries.
"""

import os
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from guest_images.cache import finished_folder
from guest_images.debian import Archive, Request
from guest_images.errors import EnvironmentLacks
from guest_images.prefix import LIBRARIES, LOADER, run_command, unpacked
from guest_images.progress import Progress

HEADERS_UNPACK = (
    *("linux-headers-*", "linux-kbuild-*", "pahole", "libc6", "libelf1*", "libdw1*", "libbpf1*", "zlib1g", "libzstd1"),
    *("libssl3*", "liblzma5", "libbz2-1.0", "libgcc-s1", "libstdc++6"),
)
DRIVER = "drivers/net/ethernet/intel/igb"
TOOLS: Mapping[str, Sequence[str]] = {
    "scripts/basic/fixdep": ("fixdep",),
    "scripts/mod/modpost": ("modpost.real-lsb-64", "modpost"),
    "tools/objtool/objtool": ("objtool.real-x86", "objtool"),
    "tools/bpf/resolve_btfids/resolve_btfids": ("resolve_btfids",),
}
"""Programs that a build calls; Debian hides some behind another that starts them by their place in the file system."""

WRAPPER = """#!/bin/sh
here=$(readlink -f "$0")
root=${{here%/usr/*}}
while [ ! -e "$root/{loader}" ]; do root=${{root%/usr/*}}; done
exec "$root/{loader}" --library-path "$root/{libraries}" "$here.program" "$@"
"""
PAHOLE = "usr/bin/pahole"
"""Writes the types of a module into it: probes that name arguments need them."""

UNLIKE_HOST = ("CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT=",)
"""What Debian's compiler can and an older one cannot; a module works without."""


def headers(cache: Path, archive: Archive, progress: Progress, release: str) -> Path:
    """Return the folder to build modules of ``release`` against, made at the first call.

    Raises EnvironmentLacks if Debian has no headers of that release.
    """
    request = Request((f"linux-headers-{release}", "pahole"), "trixie")
    prefix = unpacked(cache, "headers", archive, request, progress, only=HEADERS_UNPACK)

    def build(folder: Path) -> None:
        shutil.copytree(prefix.root / "usr", folder / "usr", symlinks=True)
        [tools] = folder.glob("usr/lib/linux-kbuild-*")
        for place, names in TOOLS.items():
            _wrap(tools / place, names)
        _wrap(folder / PAHOLE, (Path(PAHOLE).name,))
        own = folder / "usr/src" / f"linux-headers-{release}"
        [common] = folder.glob("usr/src/linux-headers-*-common")
        here = "$(dir $(realpath $(lastword $(MAKEFILE_LIST))))"
        (own / "Makefile").write_text(f"include {here}../{common.name}/Makefile\n", encoding="utf-8")
        (own / ".kernelvariables").write_text("", encoding="utf-8")

    return finished_folder(cache, "kbuild", {"release": release, "headers": prefix.root.name}, build) / (
        f"usr/src/linux-headers-{release}"
    )


def _wrap(place: Path, names: Sequence[str]) -> None:
    """Let ``place`` start the first of the programs ``names`` beside it with the loader of the same folder."""
    program = next(found for name in names if (found := place.with_name(name)).is_file())
    program.rename(place.with_name(f"{place.name}.program"))
    place.unlink(missing_ok=True)
    place.write_text(WRAPPER.format(loader=LOADER, libraries=LIBRARIES), encoding="utf-8")
    place.chmod(0o755)


def source(cache: Path, archive: Archive, progress: Progress, release: str) -> Path:
    """Return the folder with igb's sources of the kernel series of ``release``, fetched at the first call."""
    series = ".".join(release.split(".")[:2])
    request = Request((f"linux-source-{series}",), "trixie")
    prefix = unpacked(cache, "linux-source", archive, request, progress, only=("linux-source-*",))
    packed = prefix.root / f"usr/src/linux-source-{series}.tar.xz"

    def build(folder: Path) -> None:
        with progress.step("taking igb out of the kernel's source"), tarfile.open(packed, "r|xz") as archive_file:
            begun = False
            for member in archive_file:
                inside = f"/{DRIVER}/" in member.name
                if begun and not inside:
                    break
                if inside and member.isfile():
                    begun = True
                    content = archive_file.extractfile(member)
                    assert content is not None
                    (folder / Path(member.name).name).write_bytes(content.read())
        if not begun:
            raise EnvironmentLacks(f"{packed.name} must hold {DRIVER}, and does not")

    return finished_folder(cache, "igb", {"source": prefix.root.name, "version": prefix.versions}, build)


def build(against: Path, folder: Path) -> Path:
    """Build igb in ``folder``, a copy of its sources, and return igb.ko. What has not changed is not built again.

    Raises EnvironmentLacks with the compiler's last words.
    """
    if shutil.which("make") is None or shutil.which("gcc") is None:
        raise EnvironmentLacks("gcc and make must be on PATH: apt-get install gcc make")
    pahole = against.parents[2] / PAHOLE
    words = ["make", "-C", str(against), f"M={folder.absolute()}", "CC=gcc", "CONFIG_IGB=m", f"PAHOLE={pahole}"]
    run_command([*words, *UNLIKE_HOST, f"-j{os.cpu_count() or 1}", "modules"], "the build of igb")
    return folder / "igb.ko"
