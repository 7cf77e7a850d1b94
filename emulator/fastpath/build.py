# SPDX-License-Identifier: BSD-3-Clause
"""Build the extension ``emulator.fastpath._engine`` from the C files of this folder.

``python -m emulator.fastpath.build [--python-include DIR] [--sanitize LIST] [--output DIR]``; ``--sanitize
address,undefined`` makes a build for tests, which goes to ``--output``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shlex
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

from cffi import FFI

from emulator.errors import EnvironmentLacks, UsageError, WorldError
from emulator.fastpath.engine_declarations import ENGINE_DECLARATIONS
from emulator.fastpath.packet_declarations import PACKET_DECLARATIONS
from emulator.vfu.build import python_flags, run

HERE = Path(__file__).resolve().parent
MODULE = "emulator.fastpath._engine"
FLAGS = (
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-g",
    "-fPIC",
    "-pthread",
    "-fno-omit-frame-pointer",
    "-fvisibility=hidden",
    "-ftls-model=initial-exec",
)
PREAMBLE = """
#include "accept.h"
#include "checksum.h"
#include "engine.h"
#include "rx_status.h"
"""


def build(includes: list[Path], sanitize: str, output: Path, folder: Path = HERE, optimise: str = "-O3") -> Path:
    """Build the extension from the C files of ``folder`` into ``output``; return its path."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        raise EnvironmentLacks(f"a C compiler must be installed, and {compiler[0]!r} is not: apt-get install gcc")
    checks = (f"-fsanitize={sanitize}", "-fno-sanitize-recover=all") if sanitize else ()
    ffi = FFI()
    ffi.cdef(PACKET_DECLARATIONS + ENGINE_DECLARATIONS)
    ffi.set_source(MODULE, PREAMBLE)
    output.mkdir(parents=True, exist_ok=True)
    target = output / f"_engine{sysconfig.get_config_var('EXT_SUFFIX')}"
    with tempfile.TemporaryDirectory(prefix="hilnic-build-") as place:
        work = Path(place)
        generated = work / "_engine.c"
        with contextlib.redirect_stdout(io.StringIO()):  # cffi tells what it does
            ffi.emit_c_code(str(generated))
        objects = []
        for source in sorted(folder.glob("*.c")):
            made = work / f"{source.stem}.o"
            run([*compiler, *FLAGS, optimise, *checks, "-c", str(source), "-o", str(made)])
            objects.append(str(made))
        bindings = work / "_engine.o"
        quiet = ("-O1", "-fPIC", "-D_GNU_SOURCE", f"-I{folder}", *python_flags([i.resolve() for i in includes]))
        run([*compiler, *quiet, *checks, "-c", str(generated), "-o", str(bindings)])
        # Made aside and moved, so that a running process keeps the file that it has mapped.
        linked = work / target.name
        run([*compiler, "-shared", "-pthread", *checks, *objects, str(bindings), "-o", str(linked)])
        shutil.copy2(linked, target.with_suffix(".new"))
        target.with_suffix(".new").replace(target)
    return target


def main(arguments: list[str] | None = None) -> int:
    """Build, and say where the result lies."""
    parser = argparse.ArgumentParser(prog="python -m emulator.fastpath.build", description=__doc__.splitlines()[0])
    parser.add_argument("--python-include", type=Path, action="append", default=[], help="folder of Python.h")
    parser.add_argument("--sanitize", default="", metavar="LIST", help="sanitizers of the compiler, by commas")
    parser.add_argument("--sources", type=Path, default=HERE, help="folder of the C files (default: this one)")
    parser.add_argument("--optimise", default="-O3", metavar="-OX", help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for the extension (default: this one)")
    options = parser.parse_args(arguments)
    try:
        target = build(options.python_include, options.sanitize, options.output, options.sources, options.optimise)
    except UsageError as error:
        print(f"emulator.fastpath.build: {error}", file=sys.stderr)  # noqa: T201 - this is a command
        return 2
    except WorldError as error:
        print(f"emulator.fastpath.build: {error}", file=sys.stderr)  # noqa: T201 - this is a command
        return 1
    print(f"built {target}")  # noqa: T201 - this is a command
    return 0


if __name__ == "__main__":
    sys.exit(main())
