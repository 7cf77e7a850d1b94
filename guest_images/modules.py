# SPDX-License-Identifier: BSD-3-Clause
"""Kernel modules: which ones a recipe chooses, what they depend on, and in which order they load.

Debian ships modules compressed with xz. They are stored decompressed, because a guest under TCG is slow at that.
"""

import lzma
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from guest_images.errors import EnvironmentLacks

DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
SUFFIX = re.compile(r"\.ko(\.xz)?$")


@dataclass(frozen=True, slots=True)
class Module:
    """One module: its name with underscores, its path below lib/modules/RELEASE, its bytes, and what it needs."""

    name: str
    path: str
    content: bytes
    needs: tuple[str, ...]


class ModuleTree:
    """The modules of one kernel release, read as they are asked for. `root` is None for a kernel without any.

    `place` goes before the paths below `root`, to make those below lib/modules/RELEASE.
    """

    def __init__(self, root: Path | None, place: str = "") -> None:
        self._root = root or Path()
        self._place = place
        found = sorted(path for path in root.rglob("*.ko*") if SUFFIX.search(path.name)) if root else []
        self._paths = {module_name(path.name): path for path in found}
        self._read: dict[str, Module] = {}

    def chosen(self, prefixes: Iterable[str]) -> list[Module]:
        """Return all modules at or below the given paths (below `kernel/`), and all that they need.

        A path may have nothing: kernels differ in what is built in.
        """
        wanted = [Path("kernel", SUFFIX.sub("", prefix)) for prefix in prefixes]
        names = [name for name, path in self._paths.items() if any(self._is_below(path, place) for place in wanted)]
        return self.in_load_order(names)

    def in_load_order(self, names: Sequence[str]) -> list[Module]:
        """Return the named modules and all that they need, each after what it needs; built-in ones are left out."""
        order: dict[str, Module] = {}

        def visit(name: str) -> None:
            if name in order or name not in self._paths:
                return
            module = self._module(name)
            for need in module.needs:
                visit(need)
            order[name] = module

        for name in names:
            visit(name)
        return list(order.values())

    def _is_below(self, path: Path, wanted: Path) -> bool:
        relative = Path(SUFFIX.sub("", self._relative(path)))
        return relative == wanted or wanted in relative.parents

    def _module(self, name: str) -> Module:
        if name not in self._read:
            path = self._paths[name]
            self._read[name] = parse(self._relative(path), path.read_bytes())
        return self._read[name]

    def _relative(self, path: Path) -> str:
        return str(self._place / path.relative_to(self._root))


def parse(path: str, stored: bytes) -> Module:
    """Decompress a module and read its `depends` field (kernel/module/main.c reads the same .modinfo strings)."""
    try:
        content = lzma.decompress(stored) if path.endswith(".xz") else stored
    except lzma.LZMAError as error:
        raise EnvironmentLacks(f"the kernel module {path} must be whole, but is not: {error}") from error
    found = DEPENDS.search(content)
    needs = tuple(module_name(need) for need in found[1].decode().split(",") if need) if found else ()
    return Module(module_name(Path(path).name), path.removesuffix(".xz"), content, needs)


def module_name(text: str) -> str:
    """Return a module's name as lsmod shows it: no suffix, `-` as `_`."""
    return SUFFIX.sub("", text).replace("-", "_")


def store(modules: Iterable[Module], into: Path) -> None:
    """Write modules below lib/modules/RELEASE (`into`)."""
    for module in modules:
        path = into / module.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(module.content)
