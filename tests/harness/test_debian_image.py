# SPDX-License-Identifier: BSD-3-Clause
"""Recipes, modules, the initramfs, and an image that is damaged."""

import json
import lzma
import subprocess
from pathlib import Path

import pytest

from guest_images import cpio
from guest_images.build import PARTS, damage_of, open_image
from guest_images.cache import file_sha256
from guest_images.errors import EnvironmentLacks
from guest_images.modules import ModuleTree, parse
from guest_images.recipe import HERE, kernel_recipe, root_recipe


def image_folder(folder: Path) -> Path:
    """Lay out an image whose parts hold their own names."""
    for name in PARTS:
        (folder / name).write_text(f"this is {name}")
    parts = {name: {"size": (folder / name).stat().st_size, "sha256": file_sha256(folder / name)} for name in PARTS}
    facts = {"kernel_release": "6.12.1", "kernel_version": "6.12.1-1", "command_line": "quiet", "packages": {"a": "1"}}
    (folder / "manifest.json").write_text(json.dumps({**facts, "parts": parts}))
    return folder


def module(root: Path, path: str, needs: str, *, compressed: bool = True) -> None:
    """Store something with the .modinfo string that names what a module needs."""
    content = b"\x7fELF\0license=GPL\0depends=" + needs.encode() + b"\0name=x\0"
    target = root / (f"{path}.xz" if compressed else path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(lzma.compress(content) if compressed else content)


def test_whole_image_opens(tmp_path: Path) -> None:
    image = open_image(image_folder(tmp_path))
    assert image.kernel_release == "6.12.1"
    assert image.root.read_text() == "this is root.erofs"


def test_image_cut_short_is_refused_with_both_sizes(tmp_path: Path) -> None:
    (image_folder(tmp_path) / "root.erofs").write_text("this is")
    with pytest.raises(EnvironmentLacks, match=r"root\.erofs must have 18 bytes, not 7; run: make setup"):
        open_image(tmp_path)


def test_image_with_one_changed_byte_is_refused(tmp_path: Path) -> None:
    (image_folder(tmp_path) / "initrd").write_text("this is initrD")
    with pytest.raises(EnvironmentLacks, match="initrd has changed"):
        open_image(tmp_path)


@pytest.mark.parametrize("missing", ["manifest.json", "vmlinuz", "ssh_key"])
def test_image_without_a_part_is_refused(tmp_path: Path, missing: str) -> None:
    (image_folder(tmp_path) / missing).unlink()
    assert missing in damage_of(tmp_path)


def test_manifest_of_nonsense_is_refused(tmp_path: Path) -> None:
    (image_folder(tmp_path) / "manifest.json").write_text("[]")
    assert "cannot be read" in damage_of(tmp_path)


def test_module_comes_after_all_that_it_needs(tmp_path: Path) -> None:
    module(tmp_path, "kernel/drivers/net/ethernet/intel/igb/igb.ko", "i2c-algo-bit,dca")
    module(tmp_path, "kernel/drivers/i2c/algos/i2c-algo-bit.ko", "i2c_core")
    module(tmp_path, "kernel/drivers/dca/dca.ko", "")
    module(tmp_path, "kernel/drivers/i2c/i2c-core.ko", "", compressed=False)
    chosen = ModuleTree(tmp_path).chosen(["drivers/net/ethernet/intel"])
    assert [one.name for one in chosen] == ["i2c_core", "i2c_algo_bit", "dca", "igb"]
    assert chosen[-1].path == "kernel/drivers/net/ethernet/intel/igb/igb.ko"
    assert chosen[-1].content.startswith(b"\x7fELF")


def test_path_chooses_no_module_whose_name_only_begins_like_it(tmp_path: Path) -> None:
    module(tmp_path, "kernel/drivers/net/tun.ko", "")
    module(tmp_path, "kernel/drivers/net/tunnel.ko", "")
    module(tmp_path, "kernel/drivers/net/tun/inner.ko", "")
    assert {one.name for one in ModuleTree(tmp_path).chosen(["drivers/net/tun.ko"])} == {"tun", "inner"}


def test_modules_that_are_built_in_are_left_out(tmp_path: Path) -> None:
    module(tmp_path, "kernel/fs/erofs/erofs.ko", "libcrc32c")
    assert [one.name for one in ModuleTree(tmp_path).in_load_order(["crc32c_generic", "erofs"])] == ["erofs"]


def test_module_that_is_not_xz_is_named() -> None:
    with pytest.raises(EnvironmentLacks, match=r"kernel/a\.ko\.xz must be whole"):
        parse("kernel/a.ko.xz", b"not xz")


def test_cpio_header_and_padding_are_those_of_newc() -> None:
    packed = cpio.archive([cpio.file("init", b"12345", 0o755), cpio.character_device("dev/console", 5, 1)])
    assert packed[:6] == b"070701"
    assert packed[14:22] == b"000081ED"
    assert packed[54:62] == b"00000005"
    assert packed[94:102] == b"00000005"
    assert packed[110:115] == b"init\0"
    assert packed[116:124] == b"12345\0\0\0"
    console = packed[124:]
    assert console[14:22] == b"00002180"
    assert (console[78:86], console[86:94]) == (b"00000005", b"00000001")
    assert packed.endswith(b"TRAILER!!!\0\0\0\0")
    assert len(packed) % 4 == 0


def test_kernel_option_takes_a_package_and_a_suite() -> None:
    recipe = kernel_recipe("linux-image-rt-amd64/trixie-backports")
    assert (recipe.package, recipe.suite) == ("linux-image-rt-amd64", "trixie-backports")
    assert kernel_recipe("linux-image-rt-amd64").suite == kernel_recipe().suite


def test_recipe_names_all_that_the_checks_call() -> None:
    recipe = root_recipe()
    wanted = {"python3", "openssh-server", "ethtool", "iproute2", "iperf3", "tcpdump", "busybox-static", "kmod"}
    assert wanted <= set(recipe.packages)
    assert not recipe.without & set(recipe.packages)


@pytest.mark.parametrize("script", ["init", "initramfs-init"])
def test_script_of_the_guest_is_valid_shell(script: str) -> None:
    done = subprocess.run(["sh", "-n", str(HERE / script)], capture_output=True, text=True, check=False, timeout=10)
    assert (done.returncode, done.stderr) == (0, "")
