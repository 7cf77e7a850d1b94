# SPDX-License-Identifier: BSD-3-Clause
"""Recipe to image: kernel, initramfs, a read-only root file system, and the key that opens its ssh.

An image is a folder of the cache, named by the digest of all that it was made from.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from guest_images import cpio
from guest_images.cache import file_sha256, finished_folder, remove_tree
from guest_images.debian import Archive, Request
from guest_images.errors import EnvironmentLacks
from guest_images.modules import Module, ModuleTree
from guest_images.own_kernel import OwnKernel, own_kernel
from guest_images.prefix import unpacked
from guest_images.progress import Progress
from guest_images.recipe import CODE_FILES, HERE, RECIPE_FILES, KernelRecipe, RootRecipe, kernel_recipe, root_recipe
from guest_images.tree import BUSYBOX, add_kernel_modules, add_keys, root_tree

MANIFEST = "manifest.json"
PARTS = ("vmlinuz", "initrd", "root.erofs", "ssh_key", "ssh_key.pub", "ssh_host_key.pub")
INITRAMFS_APPLETS = ("echo", "insmod", "mkdir", "mount", "sh", "sleep", "switch_root")
INITRAMFS_FOLDERS = ("bin", "dev", "lower", "modules", "new", "proc", "sys", "upper")
MKFS_REQUEST = Request(("erofs-utils",), "trixie")
CONSOLE = (5, 1)
"""Major and minor number of /dev/console (Linux Documentation/admin-guide/devices.txt)."""

OWN = "own"
OWN_KEPT = 2
"""Images of kernels that somebody builds again and again: so many of them stay."""


@dataclass(frozen=True, slots=True)
class Image:
    """A guest that can be booted. `ssh_host_key` is the public key that the guest's sshd shows."""

    folder: Path
    kernel: Path
    initrd: Path
    root: Path
    ssh_key: Path
    ssh_host_key: Path
    kernel_release: str
    kernel_version: str
    command_line: str
    packages: dict[str, str]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel: release and version, the program to boot, its modules, and the packages it came in.

    `place` goes before the modules' paths.
    """

    release: str
    version: str
    program: Path
    modules: Path | None
    versions: dict[str, str]
    place: str = ""


def image(cache: Path, archive: Archive, progress: Progress, kernel: str = "") -> Image:
    """Return the image for a kernel, built at the first call: PACKAGE, PACKAGE/SUITE, BZIMAGE or BZIMAGE:MODULES.

    An image that is damaged is thrown away and built again. Raises EnvironmentLacks if it cannot be built.
    """
    own = own_kernel(kernel)
    kernel_wanted = kernel_recipe("" if own else kernel)
    inputs = image_inputs(archive, kernel_wanted, own)
    name = OWN if own else ""

    def build(folder: Path) -> None:
        # The image's permissions must not depend on who builds it.
        previous = os.umask(0o022)
        try:
            found = _own(own) if own else _kernel(cache, archive, progress, kernel_wanted)
            _build(folder, cache, archive, progress, root_recipe(), kernel_wanted, found)
        finally:
            os.umask(previous)

    folder = finished_folder(cache, "images", inputs, build, name=name)
    damage = damage_of(folder)
    if damage:
        progress.say(f"the guest image {folder} is damaged ({damage}); building it again")
        remove_tree(folder)
        folder = finished_folder(cache, "images", inputs, build, name=name)
    if own:
        _forget_others(folder)
    return open_image(folder)


def _forget_others(used: Path) -> None:
    """Keep the few images of own kernels that were used last."""
    used.touch()
    others = [path for path in used.parent.glob(f"{OWN}-*") if path != used]
    for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)[OWN_KEPT - 1 :]:
        remove_tree(path)


def image_inputs(archive: Archive, kernel: KernelRecipe, own: OwnKernel | None = None) -> dict[str, object]:
    """Return all that decides what an image is, as plain data."""
    files = {name: file_sha256(HERE / name) for name in (*RECIPE_FILES, *CODE_FILES)}
    which = own.inputs() if own else f"{kernel.package}/{kernel.suite}"
    return {"suites": list(archive.suites), "kernel": which, "files": files}


def open_image(folder: Path) -> Image:
    """Read an image's folder.

    Raises EnvironmentLacks if a part is missing, cut short or changed.
    """
    damage = damage_of(folder)
    if damage:
        raise EnvironmentLacks(f"the guest image {folder} must be whole, but {damage}; run: make setup")
    facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return Image(
        folder=folder,
        kernel=folder / "vmlinuz",
        initrd=folder / "initrd",
        root=folder / "root.erofs",
        ssh_key=folder / "ssh_key",
        ssh_host_key=folder / "ssh_host_key.pub",
        kernel_release=facts["kernel_release"],
        kernel_version=facts["kernel_version"],
        command_line=facts["command_line"],
        packages=facts["packages"],
    )


def damage_of(folder: Path) -> str:
    """Say what is wrong with an image's folder, or return an empty string."""
    try:
        recorded = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["parts"]
        for name in PARTS:
            size = (folder / name).stat().st_size
            if size != recorded[name]["size"]:
                return f"{name} must have {recorded[name]['size']} bytes, not {size}"
            if file_sha256(folder / name) != recorded[name]["sha256"]:
                return f"{name} has changed since it was made"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"its manifest or a part cannot be read: {error}"
    return ""


def _build(
    folder: Path,
    cache: Path,
    archive: Archive,
    progress: Progress,
    recipe: RootRecipe,
    wanted: KernelRecipe,
    kernel: Kernel,
) -> None:
    mkfs = unpacked(cache, "mkfs", archive, MKFS_REQUEST, progress)
    packages = archive.fetch(Request(recipe.packages, recipe.suite))
    work = folder / "work"
    root = work / "root"
    root.mkdir(parents=True)
    available = ModuleTree(kernel.modules, kernel.place)
    with progress.step("laying out the guest's root file system"):
        tree = root_tree(packages, recipe, HERE / "init", root)
        add_kernel_modules(tree, kernel.release, available.chosen(wanted.root_modules), kernel.modules)
        add_keys(tree, folder / "ssh_key")
        (folder / "ssh_host_key.pub").write_bytes((root / "etc/ssh/ssh_host_ed25519_key.pub").read_bytes())
    with progress.step("writing the guest image"):
        (folder / "vmlinuz").write_bytes(kernel.program.read_bytes())
        needed = available.in_load_order(wanted.initramfs_modules)
        (folder / "initrd").write_bytes(_initramfs((root / BUSYBOX).read_bytes(), needed))
        mkfs.run("usr/bin/mkfs.erofs", "--quiet", "--all-root", "-T0", str(folder / "root.erofs"), str(root))
    remove_tree(work)
    facts = {
        "kernel_release": kernel.release,
        "kernel_version": kernel.version,
        "command_line": wanted.command_line,
        "packages": {**tree.versions, **kernel.versions},
        "parts": {n: {"size": (folder / n).stat().st_size, "sha256": file_sha256(folder / n)} for n in PARTS},
    }
    (folder / MANIFEST).write_text(json.dumps(facts, indent=1, sort_keys=True), encoding="utf-8")


def _kernel(cache: Path, archive: Archive, progress: Progress, wanted: KernelRecipe) -> Kernel:
    """Return the unpacked kernel. Debian keeps it in /boot, and since 7.0 beside its modules."""
    request = Request((f"{wanted.package}/{wanted.suite}",), wanted.suite)
    prefix = unpacked(cache, "kernel", archive, request, progress, only=wanted.unpack)
    found = [
        Kernel(modules.name, _packaged(prefix.versions, modules.name), program, modules, prefix.versions)
        for modules in sorted([*prefix.root.glob("lib/modules/*"), *prefix.root.glob("usr/lib/modules/*")])
        for program in (prefix.root / f"boot/vmlinuz-{modules.name}", modules / "vmlinuz")
        if program.is_file()
    ]
    if len(found) != 1:
        names = [kernel.release for kernel in found]
        raise EnvironmentLacks(f"{wanted.package} must bring exactly one kernel with its modules, not {names}")
    return found[0]


def _packaged(versions: dict[str, str], release: str) -> str:
    return next(version for name, version in versions.items() if release in name)


def _own(own: OwnKernel) -> Kernel:
    """Take a kernel that somebody built."""
    return Kernel(own.release, own.version, own.program, own.modules, {}, own.place)


def _initramfs(busybox: bytes, modules: list[Module]) -> bytes:
    """Pack busybox, the modules in load order, and the script that uses them."""
    entries = [cpio.folder(name) for name in INITRAMFS_FOLDERS]
    entries += [cpio.character_device("dev/console", *CONSOLE), cpio.file("bin/busybox", busybox, 0o755)]
    entries += [cpio.link(f"bin/{name}", "busybox") for name in INITRAMFS_APPLETS]
    entries += [cpio.link("bin/[", "busybox")]
    entries += [cpio.file(f"modules/{module.name}.ko", module.content) for module in modules]
    order = "".join(f"{module.name}.ko\n" for module in modules)
    entries += [cpio.file("modules/order", order.encode())]
    entries += [cpio.file("init", (HERE / "initramfs-init").read_bytes(), 0o755)]
    return cpio.archive(entries)
