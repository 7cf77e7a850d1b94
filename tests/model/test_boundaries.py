# SPDX-License-Identifier: BSD-3-Clause
"""The three boundaries of the project, held over the source itself: who may import what, and how long a file may be."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PARTS = ("device_model", "emulator", "guest_images", "harness", "tests")

PURE = {
    *("__future__", "bisect", "collections", "dataclasses", "difflib", "enum", "functools", "heapq", "inspect"),
    *("itertools", "math", "operator", "struct", "typing"),
}
"""What the card may use of the standard library: nothing that knows of time, chance, files, threads or the network."""

THIRD_PARTY = {
    "atheris": ("tests/fuzz/",),
    "cffi": ("emulator/vfu/", "emulator/fastpath/"),
    "hypothesis": ("tests/",),
    "matplotlib": ("harness/report/drawing.py", "harness/bench/page.py"),
    "paramiko": ("harness/guest/",),
    "pexpect": ("harness/guest/",),
    "prompt_toolkit": ("harness/debug/screen.py", "harness/top/screen.py"),
    "pytest": ("tests/", "harness/"),
    "qemu": ("harness/qmp.py",),
    "ruamel": ("tests/harness/",),
    "setuptools": ("emulator/vfu/", "emulator/fastpath/"),
}
"""Which part of the project knows each foreign package; paths from the root."""

MAY_IMPORT = {
    "device_model": {"device_model"},
    "emulator": {"device_model", "emulator"},
    "guest_images": {"guest_images"},
    "harness": {"device_model", "guest_images", "harness"},
    "tests": set(PARTS),
}
LONGEST = 600


def sources(part: str) -> list[Path]:
    return sorted((ROOT / part).rglob("*.py"))


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield every statement below ``node``, however deep; expressions are passed over, for they import nothing."""
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, block, ()):
            yield child
            yield from statements(child)


def imported(source: str, package: str = "") -> Iterator[str]:
    """Yield the full name of every module that ``source``, a module of ``package``, imports at any place."""
    for node in statements(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


@cache
def imports_of(path: Path) -> list[str]:
    package = ".".join(path.relative_to(ROOT).parent.parts)
    return list(imported(path.read_text(), package))


def is_name_only(module: str) -> bool:
    """What the harness may know of a card: what it *is* (``spec``), in the language in which that is written."""
    parts = module.split(".")
    return "spec" in parts[2:3] or parts[:2] == ["device_model", "declare"]


def test_there_is_something_to_look_at() -> None:
    assert all(len(sources(part)) > 3 for part in PARTS)


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("import socket", ["socket"]),
        ("def f():\n    from time import sleep", ["time.sleep"]),
        ("try:\n    pass\nexcept E:\n    import random", ["random"]),
        ("class C:\n    with x:\n        import os.path", ["os.path"]),
        ("match x:\n    case 1:\n        import threading", ["threading"]),
        ("from . import ring", ["device_model.igb.ring"]),
        ("from ..packet.parse import parse", ["device_model.packet.parse.parse"]),
    ],
)
def test_no_form_of_import_hides(source: str, modules: list[str]) -> None:
    assert list(imported(source, "device_model.igb")) == modules


def test_the_card_imports_only_itself_and_the_pure_part_of_the_standard_library() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sources("device_model")
        for module in imports_of(path)
        if module.split(".")[0] not in PURE | {"device_model"}
    ]
    assert wrong == []


def test_the_common_part_of_the_card_knows_no_family() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sources("device_model")
        if "igb" not in path.parts
        for module in imports_of(path)
        if module.startswith("device_model.igb")
    ]
    assert wrong == []


def test_what_a_card_is_has_no_behaviour() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in (ROOT / "device_model").glob("*/spec/*.py")
        for module in imports_of(path)
        if module.startswith("device_model.")
        and ".spec" not in module
        and not module.startswith(("device_model.declare", "device_model.pci"))
    ]
    assert wrong == []


@pytest.mark.parametrize("part", PARTS)
def test_each_part_imports_only_the_parts_below_it(part: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sources(part)
        for module in imports_of(path)
        if module.split(".")[0] in set(PARTS) - MAY_IMPORT[part]
    ]
    assert wrong == []


def test_the_harness_knows_only_the_names_of_the_card() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sources("harness")
        for module in imports_of(path)
        if module.startswith("device_model") and not is_name_only(module)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("device_model.igb.spec.REGISTERS", True),
        ("device_model.igb.spec.receive.RDT", True),
        ("device_model.igb.receive.Receive", False),
        ("device_model.regfile.RegisterFile", False),
        ("device_model.igb.spectacles", False),
    ],
)
def test_names_and_behaviour_are_told_apart(module: str, allowed: bool) -> None:
    assert is_name_only(module) is allowed


def test_foreign_packages_stay_where_they_belong() -> None:
    ours = {*sys.stdlib_module_names, *PARTS, "_pytest"}
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for part in PARTS
        for path in sources(part)
        for module in imports_of(path)
        if module.split(".")[0] not in ours
        and not str(path.relative_to(ROOT)).startswith(THIRD_PARTY.get(module.split(".")[0], ("nowhere",)))
    ]
    assert wrong == []


def test_only_the_bindings_touch_the_native_library() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for part in PARTS
        for path in sources(part)
        if "vfu" not in path.parts and "fastpath" not in path.parts
        for module in imports_of(path)
        if "._native" in module
    ]
    assert wrong == []


def test_no_file_is_too_long_to_read_and_each_names_its_licence() -> None:
    paths = [path for part in PARTS for path in sources(part)]
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in paths}
    assert [name for name, text in texts.items() if text.count("\n") > LONGEST] == []
    unmarked = [name for name, text in texts.items() if not text.startswith("# SPDX-License-Identifier: BSD-3-Clause")]
    assert [name for name in unmarked if texts[name].strip()] == []


def test_no_module_is_called_utils() -> None:
    assert [path for part in PARTS for path in sources(part) if path.stem in {"util", "utils", "helpers"}] == []
