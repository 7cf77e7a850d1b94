# SPDX-License-Identifier: BSD-3-Clause
"""A kernel's configuration, from wherever its builder left it."""

from __future__ import annotations

import lzma
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from guest_images.own_kernel import HEADER_BYTES, RELEASE_FILE, SEPARATOR, own_kernel
from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

SET = re.compile(r"^CONFIG_(\w+)=(.*)$", re.MULTILINE)
PAYLOAD_AT, SETUP_SECTORS_AT = 0x248, 0x1F1
"""Of a bzImage: offset and length of the compressed kernel, and how many sectors lie before it (boot.rst)."""

SECTOR = 512
IN_KERNEL = b"IKCFG_ST"
"""What stands before the gzip of CONFIG_IKCONFIG (kernel/configs.c)."""


@dataclass(frozen=True, slots=True)
class Config:
    """The options that are set, by name without CONFIG_, and where that was read."""

    values: dict[str, str]
    origin: str

    @classmethod
    def of(cls, text: str, origin: str) -> Config:
        """Read a .config. Raises UsageError if it sets nothing."""
        values = dict(SET.findall(text))
        if not values:
            raise UsageError(f"{origin} must be a kernel's configuration (lines CONFIG_NAME=value), and sets nothing")
        return cls(values, origin)

    def has(self, name: str) -> bool:
        """Say whether an option is built in or a module."""
        return self.values.get(name) in ("y", "m")


def find_config(kernel: str, release: str, cache: Path) -> Config | None:
    """Return the configuration of a kernel as ``--kernel`` names it (``FILE:MODULES`` or a package), or None.

    A build tree has ``.config``; a distribution puts ``config-RELEASE`` beside the kernel or ``config`` beside its
    modules; a kernel with CONFIG_IKCONFIG carries its own.
    """
    own = own_kernel(kernel)
    places: Iterator[Path]
    if own is None:
        folders = sorted((cache / "prefix").glob("kernel-*"))
        places = (path for folder in folders for path in _installed(folder, release))
    else:
        places = _of_builder(own.program, kernel.partition(SEPARATOR)[2], release)
    for path in places:
        if path.is_file():
            return Config.of(path.read_text(encoding="utf-8", errors="replace"), str(path))
    text = inner_config(own.program) if own else None
    return Config.of(text, f"{own.program} (CONFIG_IKCONFIG)") if own and text else None


def _installed(root: Path, release: str) -> Iterator[Path]:
    yield root / f"boot/config-{release}"
    yield root / f"usr/lib/modules/{release}/config"
    yield root / f"lib/modules/{release}/config"


def _of_builder(program: Path, modules: str, release: str) -> Iterator[Path]:
    trees = [program.resolve().parents[3]] if len(program.resolve().parents) > 3 else []
    trees += [Path(modules)] if modules else []
    for tree in trees:
        told = tree / RELEASE_FILE
        if told.is_file() and told.read_text(encoding="utf-8").strip() == release:
            yield tree / ".config"
    yield program.with_name(f"config-{release}")
    if modules:
        for place in (Path(modules), Path(modules) / f"lib/modules/{release}"):
            yield place / "build/.config"
            yield place / "config"


def inner_config(program: Path) -> str | None:
    """Return what a bzImage says of itself; None if it says nothing, or is compressed by what Python cannot read."""
    image = program.read_bytes()
    if len(image) < HEADER_BYTES:
        return None
    offset, length = struct.unpack_from("<II", image, PAYLOAD_AT)
    begin = ((image[SETUP_SECTORS_AT] or 4) + 1) * SECTOR + offset
    kernel = decompressed(image[begin : begin + length])
    at = kernel.find(IN_KERNEL) if kernel else -1
    if kernel is None or at < 0:
        return None
    try:
        return zlib.decompressobj(wbits=31).decompress(kernel[at + len(IN_KERNEL) :]).decode(errors="replace")
    except zlib.error:
        return None


def decompressed(payload: bytes) -> bytes | None:
    """Return a kernel that was compressed by gzip, xz or lzma; None for another."""
    try:
        if payload.startswith(b"\x1f\x8b"):
            return zlib.decompressobj(wbits=31).decompress(payload)
        if payload.startswith((b"\xfd7zXZ", b"\x5d\0\0")):
            return lzma.LZMADecompressor().decompress(payload)
    except (zlib.error, lzma.LZMAError, EOFError):
        return None
    return None
