# SPDX-License-Identifier: BSD-3-Clause
"""A kernel that somebody built: its bzImage, and its modules as `make modules` or `make modules_install` left them."""

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from guest_images.cache import file_sha256
from guest_images.errors import UsageError

PACKAGE_START = "linux-image-"
SEPARATOR = ":"
RELEASE_FILE = "include/config/kernel.release"
"""Where a build tree says which release it is (Linux Makefile)."""

HEADER_BYTES = 0x10000
MAGIC_AT, VERSION_AT, SETUP_AT = 0x202, 0x20E, 0x200
"""Of "HdrS", of the version's offset, and what that counts from (Linux Documentation/arch/x86/boot.rst)."""

VERMAGIC = re.compile(rb"\0vermagic=(\S+)")


@dataclass(frozen=True, slots=True)
class OwnKernel:
    """A bzImage and its modules; `modules` is None when all is built in.

    `place` is what the paths of the modules lack of those below lib/modules/RELEASE: `kernel` in a build tree.
    """

    program: Path
    modules: Path | None
    place: str
    release: str
    version: str

    def inputs(self) -> dict[str, object]:
        """Return what tells this kernel from another, as plain data. Of modules, size and time of change count."""
        found = {} if self.modules is None else {str(path): path.stat() for path in sorted(module_files(self.modules))}
        listed = {name: [status.st_size, status.st_mtime_ns] for name, status in found.items()}
        return {"program": file_sha256(self.program), "modules": listed}


def own_kernel(text: str) -> OwnKernel | None:
    """Read FILE or FILE:FOLDER; None if `text` is empty or names a package. Raises UsageError for what is no kernel."""
    if not text or text.startswith(PACKAGE_START):
        return None
    file, _, folder = text.partition(SEPARATOR)
    program = Path(file)
    if not program.is_file():
        known = "a package such as linux-image-amd64 or linux-image-amd64/SUITE, or a bzImage"
        raise UsageError(f"a kernel must be {known}, not {file!r}")
    release, version = release_of(program)
    if not folder:
        return OwnKernel(program, None, "", release, version)
    modules, place = _modules(Path(folder), release)
    return OwnKernel(program, modules, place, release, version)


def release_of(program: Path) -> tuple[str, str]:
    """Return the release and the rest of the version that a bzImage says of itself."""
    with program.open("rb") as file:
        head = file.read(HEADER_BYTES)
    if head[MAGIC_AT : MAGIC_AT + 4] != b"HdrS":
        raise UsageError(
            f"{program} must be a bzImage (arch/x86/boot/bzImage of a build), not a file that begins with {head[:4]!r}"
        )
    (offset,) = struct.unpack_from("<H", head, VERSION_AT)
    release, _, rest = head[SETUP_AT + offset :].partition(b"\0")[0].decode(errors="replace").partition(" ")
    if not release:
        raise UsageError(f"{program} must say its version, and says none")
    return release, rest


def module_files(folder: Path) -> list[Path]:
    """Return all modules below a folder."""
    return [path for path in folder.rglob("*.ko*") if path.name.endswith((".ko", ".ko.xz"))]


def _modules(folder: Path, release: str) -> tuple[Path, str]:
    """Find the modules of `release` at or below `folder`, and what their paths lack."""
    if not folder.is_dir():
        raise UsageError(f"--modules must be a folder, not {str(folder)!r}")
    told = folder / RELEASE_FILE
    if told.is_file():
        built = told.read_text(encoding="utf-8").strip()
        if built != release:
            raise UsageError(f"the build in {folder} must be of the kernel's release {release}, not of {built}")
        place = "kernel"
    else:
        below = folder / "lib/modules" / release
        folder, place = (below if below.is_dir() else folder), ""
    files = module_files(folder)
    if not files:
        raise UsageError(f"--modules must hold modules (*.ko) of {release}, and {folder} holds none")
    plain = next((path for path in files if path.suffix == ".ko"), None)
    magic = VERMAGIC.search(plain.read_bytes()) if plain else None
    if magic is not None and magic[1].decode() != release:
        raise UsageError(
            f"the modules must be of the kernel's release {release}, and {plain} is of {magic[1].decode()}"
        )
    return folder, place
