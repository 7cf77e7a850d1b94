# SPDX-License-Identifier: BSD-3-Clause
"""``python -m tests.fuzz``: fuzz the native engine (libFuzzer), the registers and the messages (atheris).

What is found lies in build/fuzz: the corpus, and inputs that crash. A crash becomes a file in tests/fuzz/kept/TARGET.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from guest_images.errors import EnvironmentLacks
from guest_images.prefix import run_command
from tests.fuzz.build import fuzzer

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent
KEPT = HERE / "kept"
FOLDER = Path("build/fuzz").absolute()
TARGETS = ("engine", "registers", "messages")
LONGEST = 4096
SLOW_S = 30


def command_line(target: str) -> tuple[str, ...]:
    """Return the first words of a command line that fuzzes ``target``, after fetching what that needs."""
    if target == "engine":
        return fuzzer(FOLDER / "engine")
    packages = FOLDER / "packages"
    lock = HERE / "atheris.lock"
    if not packages.is_dir():
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--target", str(packages), "--requirement", str(lock))
        run_command(pip, "pip")
    path = os.pathsep.join((str(Path.cwd()), str(packages)))
    return ("env", f"PYTHONPATH={path}", sys.executable, "-m", "tests.fuzz.guided", target)


def fuzz(target: str, seconds: int) -> int:
    """Fuzz for ``seconds``; return libFuzzer's exit status."""
    corpus = FOLDER / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    kept = KEPT / target
    kept.mkdir(parents=True, exist_ok=True)
    words = (
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST}",
        "-len_control=5",
        f"-timeout={SLOW_S}",
        f"-artifact_prefix={FOLDER}/{target}-",
        "-print_final_stats=1",
        "-verbosity=0" if target != "engine" else "-verbosity=1",
        str(corpus),
        str(kept),
    )
    return subprocess.run([*command_line(target), *words], check=False).returncode


def keep(target: str) -> int:
    """Make the corpus small: keep the fewest inputs that reach what all of build/fuzz's reach."""
    kept, corpus = KEPT / target, FOLDER / "corpus" / target
    small = FOLDER / "small" / target
    small.mkdir(parents=True, exist_ok=True)
    words = ("-merge=1", f"-max_len={LONGEST}", str(small), str(kept), str(corpus))
    return subprocess.run([*command_line(target), *words], check=False).returncode


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz; 0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", default=TARGETS, choices=TARGETS, help="default: all, one after another")
    parser.add_argument("--seconds", type=int, default=1800, help="for each target; default: %(default)s")
    parser.add_argument("--merge", action="store_true", help="do not fuzz, make the corpus in build/fuzz/small instead")
    options = parser.parse_args(arguments)
    found = 0
    for target in options.targets:
        try:
            status = keep(target) if options.merge else fuzz(target, options.seconds)
        except EnvironmentLacks as error:
            print(f"tests.fuzz: {error}", file=sys.stderr)
            return 3
        if status != 0:
            found = 1
            print(f"{target}: found something, see {FOLDER}/{target}-*")
        else:
            print(f"{target}: nothing found")
    return found


if __name__ == "__main__":
    sys.exit(main())
