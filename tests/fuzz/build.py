# SPDX-License-Identifier: BSD-3-Clause
"""Build the fuzzers' program: with clang and libFuzzer, or with the compiler at hand for running kept inputs again."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import sys
from pathlib import Path

from device_model.igb.spec import REGISTERS
from emulator.fastpath.build import FLAGS, HERE
from guest_images.prefix import LOADER, run_command
from guest_images.progress import Progress
from harness.setup.steps import tools

TARGET = Path(__file__).with_name("target.c")
PACKAGES = ("clang-19", "lld-19", "libclang-rt-19-dev", "libstdc++-14-dev", "libc6-dev", "llvm-19")
LLVM = "usr/lib/llvm-19"
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
LENIENT = ("-Wno-unused-parameter", "-Wno-gnu-folding-constant", "-Wno-error")
"""The flags of the engine's build that speak of warnings are gcc's."""


def lay_out(folder: Path) -> None:
    """Write where each register lies and how it may be accessed, as emulator.fastpath.engine has it."""
    lines, at = [], 0
    for reg in REGISTERS:
        rules = ", ".join(f"{reg.rules[name]:#x}u" for name in ("RW", "W1C", "W1S", "RC", "SC"))
        lines += [f"{{ {offset:#x}u, {at + n}, {rules} }}," for offset, n in reg.addresses()]
        at += reg.count
    (folder / "laid.inc").write_text("\n".join(lines) + "\n", encoding="ascii")


def sources() -> list[Path]:
    """Return the C files of the engine and the target."""
    return [*sorted(HERE.glob("*.c")), TARGET]


def replayer(folder: Path, sanitizers: tuple[str, ...] = SANITIZERS) -> Path:
    """Return a program that runs the inputs it is given, built with gcc and these of its sanitizers."""
    folder.mkdir(parents=True, exist_ok=True)
    lay_out(folder)
    compiler = shlex.split(os.environ.get("CC", "cc"))
    program = folder / "replay"
    flags = (*(flag for flag in FLAGS if flag != "-Werror"), "-O1", "-DREPLAY", f"-I{HERE}", f"-I{folder}", *sanitizers)
    run_command((*compiler, *flags, *map(str, sources()), "-o", str(program)), "the C compiler")
    return program


def fuzzer(folder: Path) -> tuple[str, ...]:
    """Return the first words of a command line that fuzzes; clang comes from Debian into the private cache."""
    folder.mkdir(parents=True, exist_ok=True)
    lay_out(folder)
    prefix = tools("fuzz", PACKAGES, os.environ, Progress(sys.stderr))
    root, llvm = prefix.root, prefix.root / LLVM
    with_libraries = (
        str(root / LOADER),
        "--library-path",
        f"{root}/usr/lib/x86_64-linux-gnu:{llvm}/lib",
    )
    system = folder / "system"
    shutil.rmtree(system, ignore_errors=True)
    system.mkdir()
    for name in ("usr", "usr/lib", "usr/lib64"):  # Debian's /lib is a link, which no package brings
        (system / Path(name).name).symlink_to(root / name)
    linker = _script(folder / "lld", (*with_libraries, "--argv0", "ld.lld", str(llvm / "bin/lld")))
    symbolizer = _script(folder / "llvm-symbolizer", (*with_libraries, str(llvm / "bin/llvm-symbolizer")))
    clang = (
        *with_libraries,
        *("--argv0", str(llvm / "bin/clang"), str(llvm / "bin/clang")),
        *(f"--sysroot={system}", "-resource-dir", str(llvm / "lib/clang/19")),
    )
    objects = []
    for source in sources():
        made = folder / f"{source.stem}.o"
        flags = (*(f for f in FLAGS if f != "-Werror"), *LENIENT, "-O1", f"-I{HERE}", f"-I{folder}")
        run_command(
            (*clang, *flags, "-fsanitize=fuzzer-no-link", *SANITIZERS, "-c", str(source), "-o", str(made)), "clang"
        )
        objects.append(str(made))
    program = folder / "fuzz"
    run_command(
        (
            *clang,
            "--driver-mode=g++",
            f"-fuse-ld={linker}",
            f"-Wl,--dynamic-linker={root / LOADER},-rpath,{root}/usr/lib/x86_64-linux-gnu",
            "-fsanitize=fuzzer,address,undefined",
            *objects,
            "-o",
            str(program),
        ),
        "clang",
    )
    return ("env", f"ASAN_SYMBOLIZER_PATH={symbolizer}", str(program))


def _script(path: Path, words: tuple[str, ...]) -> Path:
    path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
