# SPDX-License-Identifier: BSD-3-Clause
"""What set-up says about a host that lacks something."""

import ast
import sys
from pathlib import Path

import pytest

from guest_images.errors import EnvironmentLacks
from harness.setup.host import inspect, read_os_release

REPOSITORY = Path(__file__).parents[2]


def os_release(folder: Path, text: str = "ID=debian\nVERSION_CODENAME=bookworm\n") -> Path:
    path = folder / "os-release"
    path.write_text(text)
    return path


def lacks(folder: Path, missing: set[str], machine: str = "x86_64") -> list[str]:
    """Return the lines that name what a host without `missing` lacks."""
    header = folder / "stdio.h"
    header.touch()
    with pytest.raises(EnvironmentLacks) as caught:
        inspect(
            os_release(folder),
            find_tool=lambda tool: None if tool in missing else f"/bin/{tool}",
            c_header=header,
            machine=machine,
        )
    return str(caught.value).splitlines()


def test_each_missing_tool_has_one_line_with_its_command(tmp_path: Path) -> None:
    assert lacks(tmp_path, {"gcc", "make"}) == [
        "gcc is missing; run: apt-get install gcc",
        "make is missing; run: apt-get install make",
    ]


def test_missing_c_headers_are_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLacks, match="apt-get install libc6-dev"):
        inspect(os_release(tmp_path), find_tool=lambda tool: tool, c_header=tmp_path / "none", machine="x86_64")


def test_other_machine_is_refused(tmp_path: Path) -> None:
    assert lacks(tmp_path, set(), "aarch64") == ["the machine must be x86_64, not aarch64"]


def test_host_without_a_codename_is_refused(tmp_path: Path) -> None:
    header = tmp_path / "stdio.h"
    header.touch()
    with pytest.raises(EnvironmentLacks, match="must name a VERSION_CODENAME"):
        inspect(os_release(tmp_path, "ID=other\n"), find_tool=lambda tool: tool, c_header=header, machine="x86_64")


def test_codename_is_read_with_and_without_quotes(tmp_path: Path) -> None:
    text = '# a comment = not a field\nPRETTY_NAME="Debian 13"\nVERSION_CODENAME="trixie"\n'
    assert read_os_release(os_release(tmp_path, text))["VERSION_CODENAME"] == "trixie"


def imported_names(path: Path) -> set[str]:
    """Return the top-level modules that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_set_up_imports_the_standard_library_alone() -> None:
    files = [*(REPOSITORY / "guest_images").glob("*.py"), *(REPOSITORY / "harness" / "setup").glob("*.py")]
    files += [REPOSITORY / "harness" / "__init__.py"]
    assert len(files) > 10
    for path in files:
        for name in imported_names(path):
            ours = name.split(".")[0] == "guest_images" or name.startswith("harness.setup")
            assert ours or name.split(".")[0] in sys.stdlib_module_names, f"{path.name} imports {name}"
