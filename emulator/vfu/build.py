# SPDX-License-Identifier: BSD-3-Clause
"""Build the extension ``emulator.vfu._native`` from libvfio-user's sources and our glue.

``python -m emulator.vfu.build --source DIR [--json-c DIR] [--python-include DIR]`` compiles the eight C
files of libvfio-user (changed as ``patches.py`` says), ``glue.c`` and what cffi makes of
``declarations.py`` into one shared object beside this file. With ``--installed`` it links against the
libvfio-user that pkg-config finds instead; that one is not patched.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from cffi import FFI

from emulator.errors import EnvironmentLacks, UsageError, WorldError
from emulator.vfu.declarations import DECLARATIONS, PREAMBLE
from emulator.vfu.patches import PATCHES

HERE = Path(__file__).resolve().parent
MODULE = "emulator.vfu._native"
LIBRARY_FILES = ("dma", "irq", "libvfio-user", "migration", "pci", "pci_caps", "tran", "tran_sock")
LIBRARY_FLAGS = ("-std=gnu99", "-D_GNU_SOURCE")
GLUE_FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Werror")
COMMON_FLAGS = ("-O2", "-g", "-fPIC", "-fno-omit-frame-pointer")


def patched_source(source: Path, into: Path) -> Path:
    """Copy libvfio-user's ``lib`` and ``include`` to ``into`` and apply PATCHES; return the copy."""
    if not (source / "include" / "libvfio-user.h").is_file():
        raise UsageError(f"--source must be a folder with include/libvfio-user.h, not {source}")
    if into.exists():
        shutil.rmtree(into)
    for part in ("lib", "include"):
        shutil.copytree(source / part, into / part)
    for patch in PATCHES:
        file = into / patch.file
        text = file.read_text()
        if text.count(patch.old) != 1:
            raise EnvironmentLacks(
                f"the change of {patch.file} for {patch.why!r} must fit in one place, not in {text.count(patch.old)}: "
                f"{source} is another revision of libvfio-user than the changes were written for"
            )
        file.write_text(text.replace(patch.old, patch.new))
    return into


def json_c_flags(prefix: Path | None) -> tuple[list[str], list[str]]:
    """Return compiler and linker flags of json-c: the system's, or the one unpacked below ``prefix``."""
    if prefix is None:
        return ["-I/usr/include/json-c"], ["-ljson-c"]
    headers = sorted(prefix.rglob("json-c/json.h"))
    libraries = sorted(prefix.rglob("libjson-c.so*"))
    if not headers:
        raise EnvironmentLacks(f"--json-c must hold json-c/json.h somewhere below it, not {prefix}")
    compile_flags = [f"-I{headers[0].parent}"]
    usable = [library for library in libraries if library.exists()]
    if not usable:
        # The development package alone: its library is the system's libjson-c5.
        return compile_flags, ["-l:libjson-c.so.5"]
    return compile_flags, [str(usable[-1]), f"-Wl,-rpath,{usable[-1].parent}"]


def python_flags(includes: list[Path]) -> list[str]:
    """Return the flags that find Python.h, in ``includes`` (and one folder above, for Debian's pyconfig.h) first."""
    folders = [folder for include in includes for folder in (include, include.parent)]
    folders += [Path(sysconfig.get_path(name)) for name in ("include", "platinclude")]
    if not any((folder / "Python.h").is_file() for folder in folders):
        raise EnvironmentLacks(
            f"Python.h must be in one of {', '.join(map(str, folders))}, and is not: "
            "install python3-dev, or name its folder by --python-include"
        )
    return [f"-I{folder}" for folder in dict.fromkeys(folders)]


def run(command: list[str]) -> None:
    """Run a compiler; its own words are the error."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise WorldError(f"{shlex.join(command)} must end with status 0, not {done.returncode}:\n{done.stderr}")


def build(source: Path | None, json_c: Path | None, includes: list[Path], work: Path) -> Path:
    """Build the extension in ``work`` from ``source`` (None: the installed library); return its path."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        raise EnvironmentLacks(f"a C compiler must be installed, and {compiler[0]!r} is not: apt-get install gcc")
    work.mkdir(parents=True, exist_ok=True)
    objects: list[str] = []

    def compile_file(file: Path, *flags: str) -> None:
        target = work / f"{file.stem}.o"
        run([*compiler, *COMMON_FLAGS, *flags, "-c", str(file), "-o", str(target)])
        objects.append(str(target))

    if source is None:
        found = subprocess.run(
            ["pkg-config", "--cflags", "--libs", "libvfio-user"], check=False, capture_output=True, text=True
        )
        if found.returncode != 0:
            raise EnvironmentLacks(f"pkg-config must know libvfio-user, and says: {found.stderr.strip()}")
        headers = [flag for flag in shlex.split(found.stdout) if flag.startswith("-I")]
        link = [flag for flag in shlex.split(found.stdout) if not flag.startswith("-I")]
    else:
        tree = patched_source(source.resolve(), work / "libvfio-user")
        json_headers, link = json_c_flags(json_c.resolve() if json_c else None)
        headers = [f"-I{tree / 'include'}"]
        for name in LIBRARY_FILES:
            compile_file(tree / "lib" / f"{name}.c", *LIBRARY_FLAGS, *headers, f"-I{tree / 'lib'}", *json_headers)

    system_headers = [flag.replace("-I", "-isystem", 1) for flag in headers]
    compile_file(HERE / "glue.c", *GLUE_FLAGS, *system_headers)
    ffi = FFI()
    ffi.cdef(DECLARATIONS)
    ffi.set_source(MODULE, PREAMBLE)
    generated = work / "_native.c"
    with contextlib.redirect_stdout(io.StringIO()):  # cffi tells what it does
        ffi.emit_c_code(str(generated))
    compile_file(generated, "-D_GNU_SOURCE", f"-I{HERE}", *headers, *python_flags([i.resolve() for i in includes]))

    # Made aside and moved, so that a running process keeps the file that it has mapped.
    target = HERE / f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"
    made = work / target.name
    run([*compiler, "-shared", *objects, *link, "-o", str(made)])
    shutil.copy2(made, target.with_suffix(".new"))
    target.with_suffix(".new").replace(target)
    return target


def main(arguments: list[str] | None = None) -> int:
    """Build, and say where the result lies."""
    parser = argparse.ArgumentParser(prog="python -m emulator.vfu.build", description=__doc__.splitlines()[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--source", type=Path, help="folder of libvfio-user's sources (with include/ and lib/)")
    where.add_argument("--installed", action="store_true", help="use the libvfio-user that pkg-config finds")
    parser.add_argument("--json-c", type=Path, help="folder below which json-c's headers and library lie")
    parser.add_argument("--python-include", type=Path, action="append", default=[], help="folder with Python.h")
    parser.add_argument("--work", type=Path, default=HERE.parents[1] / "build" / "vfu", help="where objects are made")
    options = parser.parse_args(arguments)
    try:
        target = build(options.source, options.json_c, options.python_include, options.work)
    except UsageError as error:
        print(f"emulator.vfu.build: {error}", file=sys.stderr)  # noqa: T201 - this is a command
        return 2
    except WorldError as error:
        print(f"emulator.vfu.build: {error}", file=sys.stderr)  # noqa: T201 - this is a command
        return 1
    print(f"built {target}")  # noqa: T201 - this is a command
    return 0


if __name__ == "__main__":
    sys.exit(main())
