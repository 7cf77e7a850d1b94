# SPDX-License-Identifier: BSD-3-Clause
"""The build of the bindings: what it refuses, in which words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.errors import EnvironmentLacks
from emulator.vfu.build import json_c_flags, main, patched_source, python_flags
from emulator.vfu.patches import PATCHES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A tree that has just what the changes look for."""
    tree = tmp_path / "source"
    (tree / "include").mkdir(parents=True)
    (tree / "lib").mkdir()
    (tree / "include" / "libvfio-user.h").touch()
    for name in {patch.file for patch in PATCHES}:
        (tree / name).write_text("\n".join(patch.old for patch in PATCHES if patch.file == name))
    return tree


def test_every_change_is_applied_to_a_copy(source: Path, tmp_path: Path) -> None:
    made = patched_source(source, tmp_path / "made")
    for patch in PATCHES:
        assert patch.new in (made / patch.file).read_text()
        assert patch.old in (source / patch.file).read_text()
        assert patch.why


def test_another_revision_is_refused_by_the_name_of_the_change(source: Path, tmp_path: Path) -> None:
    (source / PATCHES[0].file).write_text("something else")
    with pytest.raises(EnvironmentLacks, match="must fit in one place, not in 0:"):
        patched_source(source, tmp_path / "made")


def test_a_folder_without_sources_is_a_mistake_of_the_caller(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--source", str(tmp_path), "--work", str(tmp_path / "work")]) == 2
    assert f"include/libvfio-user.h, not {tmp_path}" in capsys.readouterr().err


def test_a_missing_compiler_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -m64")
    assert main(["--source", str(tmp_path)]) == 1
    assert "'no-such-compiler' is not: apt-get install gcc" in capsys.readouterr().err


def test_json_c_is_found_below_its_prefix(tmp_path: Path) -> None:
    headers, libraries = tmp_path / "usr/include/json-c", tmp_path / "usr/lib"
    headers.mkdir(parents=True)
    libraries.mkdir()
    (headers / "json.h").touch()
    assert json_c_flags(tmp_path) == ([f"-I{headers}"], ["-l:libjson-c.so.5"])
    (libraries / "libjson-c.so").symlink_to("libjson-c.so.5.3.0")  # dangling, as in a development package alone
    assert json_c_flags(tmp_path)[1] == ["-l:libjson-c.so.5"]
    (libraries / "libjson-c.so.5.3.0").touch()
    assert json_c_flags(tmp_path)[1][1] == f"-Wl,-rpath,{libraries}"


def test_a_prefix_without_json_c_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLacks, match=r"must hold json-c/json\.h"):
        json_c_flags(tmp_path)


def test_python_headers_named_by_the_caller_come_first(tmp_path: Path) -> None:
    (tmp_path / "python3.11").mkdir()
    (tmp_path / "python3.11" / "Python.h").touch()
    flags = python_flags([tmp_path / "python3.11"])
    assert flags[:2] == [f"-I{tmp_path / 'python3.11'}", f"-I{tmp_path}"]
