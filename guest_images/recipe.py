# SPDX-License-Identifier: BSD-3-Clause
"""The recipes as typed data, read from rootfs.toml and kernel.toml."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
RECIPE_FILES = ("rootfs.toml", "kernel.toml", "init", "initramfs-init")
CODE_FILES = ("build.py", "cpio.py", "modules.py", "own_kernel.py", "recipe.py", "tree.py")


@dataclass(frozen=True, slots=True)
class RootRecipe:
    """What goes into the root file system; paths are relative to its root."""

    suite: str
    packages: tuple[str, ...]
    without: frozenset[str]
    prune: tuple[str, ...]
    folders: tuple[str, ...]
    links: dict[str, str]
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class KernelRecipe:
    """Which kernel, and which of its modules go into the root file system and into the initramfs."""

    package: str
    suite: str
    unpack: tuple[str, ...]
    root_modules: tuple[str, ...]
    initramfs_modules: tuple[str, ...]
    command_line: str


def root_recipe(folder: Path = HERE) -> RootRecipe:
    """Read rootfs.toml."""
    data = tomllib.loads((folder / "rootfs.toml").read_text(encoding="utf-8"))
    return RootRecipe(
        suite=data["suite"],
        packages=tuple(data["packages"]),
        without=frozenset(data["without"]),
        prune=tuple(data["prune"]),
        folders=tuple(data["folders"]),
        links=dict(data["links"]),
        files={path: text.lstrip("\n") for path, text in data["files"].items()},
    )


def kernel_recipe(kernel: str = "", folder: Path = HERE) -> KernelRecipe:
    """Read kernel.toml; `kernel`, as PACKAGE or PACKAGE/SUITE, takes the place of its package."""
    data = tomllib.loads((folder / "kernel.toml").read_text(encoding="utf-8"))
    package, _, suite = kernel.partition("/")
    return KernelRecipe(
        package=package or data["package"],
        suite=suite or data["suite"],
        unpack=tuple(data["unpack"]),
        root_modules=tuple(data["root_modules"]),
        initramfs_modules=tuple(data["initramfs_modules"]),
        command_line=data["command_line"],
    )
