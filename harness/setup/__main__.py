# SPDX-License-Identifier: BSD-3-Clause
"""python3 -m harness.setup: set everything up, or say in one line what is missing."""

import argparse
import os
import sys
from pathlib import Path

from guest_images.cache import cache_root, locked, remove_tree
from guest_images.errors import EnvironmentLacks, UsageError
from guest_images.progress import Progress
from harness.setup.steps import set_up

CACHE_FOLDERS = ("accelerator", "apt", "images", "libvfio-user", "matplotlib", "prefix", "snapshots", "sources")
REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run set-up; return 0, 1 if the machine lacks something, 2 if a setting is wrong, 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="python3 -m harness.setup", description="Set up all that hilnic needs.")
    parser.add_argument("--kernel", default="", metavar="PACKAGE[/SUITE]", help="Debian package of the guest's kernel")
    parser.add_argument("--remove-cache", action="store_true", help="remove the cache instead, with all it holds")
    arguments = parser.parse_args()
    progress = Progress(sys.stdout)
    try:
        if arguments.remove_cache:
            remove_cache(progress)
            return 0
        found = set_up(REPOSITORY, os.environ, progress, arguments.kernel)
    except UsageError as error:
        print(f"hilnic: {error}", file=sys.stderr)
        return 2
    except EnvironmentLacks as error:
        print(f"hilnic: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("hilnic: interrupted; the next run continues where this one stopped", file=sys.stderr)
        return 130
    progress.say(
        f"set up: QEMU {found.qemu.version} ({found.qemu.origin}), "
        f"guest kernel {found.image.kernel_release}, image {found.image.folder}"
    )
    return 0


def remove_cache(progress: Progress) -> None:
    """Remove everything that set-up has put into the cache, and nothing else that may lie there."""
    root = cache_root(os.environ)
    if not root.is_dir():
        return
    with locked(root, progress.say), progress.step(f"removing {', '.join(CACHE_FOLDERS)} from {root}"):
        for name in CACHE_FOLDERS:
            remove_tree(root / name)


if __name__ == "__main__":
    sys.exit(main())
