# SPDX-License-Identifier: BSD-3-Clause
"""What the host must have before anything else: checked first, each lack named in one line with its remedy."""

import importlib.util
import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from guest_images.errors import EnvironmentLacks

PACKAGE_OF_TOOL = {"apt-get": "apt", "dpkg-deb": "dpkg", "gcc": "gcc", "make": "make", "setpriv": "util-linux"}
PACKAGE_OF_MODULE = {"lzma": "python3", "ssl": "python3", "venv": "python3-venv"}
"""Python modules that a Python built by hand may lack, and the package whose Python has them."""
C_HEADER = Path("/usr/include/stdio.h")
LEAST_PYTHON = (3, 11)
MACHINES = ("x86_64",)


@dataclass(frozen=True, slots=True)
class Host:
    """The release that packages for the host come from, for example bookworm."""

    codename: str


def inspect(
    os_release: Path = Path("/etc/os-release"),
    *,
    find_tool: Callable[[str], str | None] = shutil.which,
    c_header: Path = C_HEADER,
    machine: str = platform.machine(),
) -> Host:
    """Return what is needed to know of the host.

    Raises EnvironmentLacks that lists all that is missing, one line each.
    """
    lacks = [
        f"{tool} is missing; run: apt-get install {package}"
        for tool, package in PACKAGE_OF_TOOL.items()
        if find_tool(tool) is None
    ]
    if not c_header.is_file():
        lacks.append("the C library's headers are missing; run: apt-get install libc6-dev")
    lacks += [
        f"this python3 ({sys.executable}) has no module {module}; run: apt-get install {package}"
        for module, package in PACKAGE_OF_MODULE.items()
        if importlib.util.find_spec(module) is None
    ]
    if sys.version_info < LEAST_PYTHON:
        lacks.append(f"python3 must be 3.11 or later, not {platform.python_version()}")
    if machine not in MACHINES:
        lacks.append(f"the machine must be {' or '.join(MACHINES)}, not {machine}")
    codename = read_os_release(os_release).get("VERSION_CODENAME", "")
    if not codename:
        lacks.append(f"{os_release} must name a VERSION_CODENAME, as Debian 12 and 13 do")
    if lacks:
        raise EnvironmentLacks("\n".join(lacks))
    return Host(codename)


def read_os_release(path: Path) -> Mapping[str, str]:
    """Read os-release(5) into a mapping; a file that cannot be read is an empty one."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}
