# SPDX-License-Identifier: BSD-3-Clause
"""The guest's root as a folder: packages unpacked, and by hand the few things that their scripts would have done."""

import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from guest_images.cache import remove_tree
from guest_images.debian import Fetched, unpack
from guest_images.modules import Module, store
from guest_images.prefix import Prefix, run_command
from guest_images.recipe import RootRecipe

BUSYBOX = "usr/bin/busybox"
HOST_KEY = "etc/ssh/ssh_host_ed25519_key"
PYTHON_VERSIONS = "usr/lib/python3.*"


def root_tree(packages: Iterable[Fetched], recipe: RootRecipe, init: Path, root: Path) -> Prefix:
    """Unpack packages into the empty folder `root` and add the recipe's files, links and folders."""
    versions = {}
    # base-files brings the links /bin → usr/bin and the like, which the others' paths must find.
    for package in sorted(packages, key=lambda package: package.name != "base-files"):
        if package.name not in recipe.without:
            unpack(package.path, root)
            versions[package.name] = package.version
    for pattern in recipe.prune:
        for path in sorted(root.glob(pattern)):
            _remove(path)
    for name in recipe.folders:
        (root / name).mkdir(parents=True, exist_ok=True)
    for path_text, text in recipe.files.items():
        _replace(root / path_text).write_text(text, encoding="utf-8")
    for path_text, target in recipe.links.items():
        _replace(root / path_text).symlink_to(target)
    shutil.copy(init, root / "usr/sbin/hilnic-init")
    (root / "usr/sbin/hilnic-init").chmod(0o755)
    (root / "etc/shadow").chmod(0o600)
    (root / "tmp").chmod(0o1777)
    tree = Prefix(root, versions)
    _busybox_links(tree)
    _compile_python(tree)
    return tree


def add_kernel_modules(tree: Prefix, release: str, modules: Iterable[Module], shipped: Path | None) -> None:
    """Store modules below lib/modules/RELEASE and index them with the tree's own depmod.

    `shipped` is the kernel's own lib/modules/RELEASE, or its build tree, with the lists of what is built in.
    """
    into = tree.root / "usr/lib/modules" / release
    into.mkdir(parents=True, exist_ok=True)
    store(modules, into)
    for listing in shipped.glob("modules.*") if shipped else ():
        shutil.copy(listing, into / listing.name)
    tree.run("usr/sbin/depmod", "-b", str(tree.root), release)


def add_keys(tree: Prefix, private_key: Path) -> None:
    """Make the guest's host key, and a key pair at `private_key` with which root may log in."""
    for path, comment in ((tree.root / HOST_KEY, "hilnic-guest"), (private_key, "hilnic-harness")):
        path.parent.mkdir(parents=True, exist_ok=True)
        tree.run("usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))
    folder = tree.root / "root/.ssh"
    folder.mkdir(mode=0o700)
    shutil.copy(private_key.with_suffix(".pub"), folder / "authorized_keys")
    (folder / "authorized_keys").chmod(0o600)


def _busybox_links(tree: Prefix) -> None:
    """Link every program that busybox can be and that no package provides."""
    listed = run_command((str(tree.root / BUSYBOX), "--list"), "busybox").split()
    for name in listed:
        places = [tree.root / folder / name for folder in ("usr/bin", "usr/sbin")]
        if not any(place.exists() or place.is_symlink() for place in places):
            places[0].symlink_to("busybox")


def _compile_python(tree: Prefix) -> None:
    """Compile the standard library with the guest's own Python, so that programs in the guest start at once."""
    for library in tree.root.glob(PYTHON_VERSIONS):
        tree.run(
            f"usr/bin/{library.name}",
            *("-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
            *("-s", str(tree.root), "-p", "/", str(library)),
            environment={"PYTHONHOME": str(tree.root / "usr"), "LC_ALL": "C.UTF-8"},
        )


def _replace(path: Path) -> Path:
    """Make way for a file at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.exists():
        path.unlink()
    return path


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    elif not stat.S_ISDIR(path.lstat().st_mode):
        path.unlink()
