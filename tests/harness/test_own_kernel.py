# SPDX-License-Identifier: BSD-3-Clause
"""Kernels that somebody built: what is taken for one, and what is refused, with the reason."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from guest_images.errors import UsageError
from guest_images.modules import ModuleTree
from guest_images.own_kernel import own_kernel
from harness.cli import main

if TYPE_CHECKING:
    from pathlib import Path

RELEASE = "6.19.0-rc3+"


def bzimage(folder: Path, version: str = f"{RELEASE} (me@here) #7 SMP") -> Path:
    """The start of a bzImage: "HdrS" and the place of the version (boot.rst)."""
    head = bytearray(0x400)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, 0x100)
    head[0x300 : 0x300 + len(version)] = version.encode()
    path = folder / "bzImage"
    path.write_bytes(head)
    return path


def module(path: Path, release: str = RELEASE, needs: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"\x7fELF\0depends={needs}\0vermagic={release} SMP\0".encode())


def build_tree(folder: Path, release: str = RELEASE) -> Path:
    module(folder / "drivers/net/ethernet/intel/igb/igb.ko", release, needs="dca")
    module(folder / "drivers/dca/dca.ko", release)
    told = folder / "include/config/kernel.release"
    told.parent.mkdir(parents=True)
    told.write_text(f"{release}\n")
    return folder


def test_packages_are_no_kernels_of_ones_own() -> None:
    assert own_kernel("") is None
    assert own_kernel("linux-image-amd64/trixie") is None


def test_a_bzimage_says_its_release_and_may_have_no_modules(tmp_path: Path) -> None:
    found = own_kernel(str(bzimage(tmp_path)))
    assert found is not None
    assert (found.release, found.version, found.modules) == (RELEASE, "(me@here) #7 SMP", None)
    assert ModuleTree(found.modules, found.place).chosen(["drivers/net"]) == []


def test_modules_of_a_build_tree_get_the_paths_that_they_are_installed_under(tmp_path: Path) -> None:
    found = own_kernel(f"{bzimage(tmp_path)}:{build_tree(tmp_path / 'linux')}")
    assert found is not None
    chosen = ModuleTree(found.modules, found.place).chosen(["drivers/net/ethernet/intel"])
    assert [m.path for m in chosen] == ["kernel/drivers/dca/dca.ko", "kernel/drivers/net/ethernet/intel/igb/igb.ko"]


@pytest.mark.parametrize("below", ["", f"lib/modules/{RELEASE}"])
def test_installed_modules_are_found_at_either_end_of_the_path(tmp_path: Path, below: str) -> None:
    module(tmp_path / "out" / below / "kernel/drivers/dca/dca.ko")
    found = own_kernel(f"{bzimage(tmp_path)}:{tmp_path / 'out'}")
    assert found is not None
    assert [m.path for m in ModuleTree(found.modules, found.place).chosen(["drivers/dca"])] == [
        "kernel/drivers/dca/dca.ko"
    ]


def test_a_rebuilt_module_makes_another_kernel(tmp_path: Path) -> None:
    text = f"{bzimage(tmp_path)}:{build_tree(tmp_path / 'linux')}"
    found = own_kernel(text)
    assert found is not None
    before = found.inputs()
    assert found.inputs() == before
    module(tmp_path / "linux/drivers/dca/dca.ko", needs="longer-than-before")
    assert found.inputs() != before


@pytest.mark.parametrize(
    ("release", "sentence"),
    [("6.12.0", f"must be of the kernel's release {RELEASE}, not of 6.12.0")],
)
def test_a_build_of_another_release_is_refused(tmp_path: Path, release: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        own_kernel(f"{bzimage(tmp_path)}:{build_tree(tmp_path / 'linux', release)}")
    assert sentence in str(caught.value)


def test_installed_modules_of_another_release_are_refused(tmp_path: Path) -> None:
    module(tmp_path / "out/kernel/x.ko", "5.0")
    with pytest.raises(UsageError, match=r"modules must be of the kernel's release .*x\.ko is of 5\.0"):
        own_kernel(f"{bzimage(tmp_path)}:{tmp_path / 'out'}")


def test_what_is_no_kernel_is_named(tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_bytes(b"\x7fELF")
    with pytest.raises(UsageError, match=r"must be a bzImage .*not a file that begins with b'\\x7fELF'"):
        own_kernel(str(tmp_path / "vmlinux"))
    with pytest.raises(UsageError, match=r"a kernel must be a package .*or a bzImage, not 'vmlinuz'"):
        own_kernel("vmlinuz")


def test_modules_that_are_none_are_named(tmp_path: Path) -> None:
    kernel = bzimage(tmp_path)
    with pytest.raises(UsageError, match="--modules must be a folder"):
        own_kernel(f"{kernel}:{tmp_path / 'nowhere'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"must hold modules \(\*\.ko\)"):
        own_kernel(f"{kernel}:{tmp_path / 'empty'}")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--modules", "linux"], "--modules must come with --kernel and a bzImage, not with 'the usual kernel'"),
        (["--kernel", "linux-image-amd64", "--modules", "linux"], "not with 'linux-image-amd64'"),
    ],
)
def test_modules_without_their_kernel_are_refused(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *words]) == 2
    assert sentence in capsys.readouterr().err
