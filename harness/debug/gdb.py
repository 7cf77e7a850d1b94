# SPDX-License-Identifier: BSD-3-Clause
"""QEMU's gdb stub, and the gdb command line that brings the guest kernel's symbols to where they run."""

from __future__ import annotations

import shlex
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from harness.deadline import Deadline
from harness.errors import LabBroken, UsageError

if TYPE_CHECKING:
    from harness.qemu import Vm

OPEN_S = 5.0
DEBUG_ROOT = Path("/usr/lib/debug")
PROGRAM_HEADER = 56
PT_LOAD = 1
ELF64 = b"\x7fELF\x02\x01"


def open_stub(vm: Vm, path: Path) -> Path:
    """Let QEMU's gdb stub listen at the Unix socket ``path``. The guest stands still while gdb is connected."""
    said = vm.monitor.human(f"gdbserver unix:{path},server=on,wait=off", Deadline.after(OPEN_S)).strip()
    if not path.is_socket():
        raise LabBroken(f"QEMU must open its gdb stub at {path}, but it says: {said or 'nothing'}")
    return path


def find_vmlinux(release: str, given: Path | None, root: Path = DEBUG_ROOT) -> Path | None:
    """Return the kernel with symbols: ``given``, or where Debian's linux-image-RELEASE-dbg puts it; None if neither."""
    if given is not None:
        if not given.is_file():
            raise UsageError(f"--vmlinux must be a file, not {str(given)!r}")
        return given
    places = (root / "lib/modules" / release / "vmlinux", root / f"boot/vmlinux-{release}")
    return next((place for place in places if place.is_file()), None)


def link_address(vmlinux: Path) -> int:
    """Return the address that ``vmlinux`` is linked for: that of its first loadable segment (ELF-64)."""
    with vmlinux.open("rb") as file:
        header = file.read(64)
        if len(header) < 64 or header[:6] != ELF64:
            raise UsageError(f"{vmlinux} must be an ELF-64 little-endian file, not one that begins with {header[:6]!r}")
        (start,) = struct.unpack_from("<Q", header, 0x20)
        size, count = struct.unpack_from("<HH", header, 0x36)
        file.seek(start)
        table = file.read(size * count)
    for at in range(0, len(table) - PROGRAM_HEADER + 1, max(size, PROGRAM_HEADER)):
        kind, _, _, address = struct.unpack_from("<IIQQ", table, at)
        if kind == PT_LOAD:
            return int(address)
    raise UsageError(f"{vmlinux} must have a segment to load, and has none")


def gdb_command(stub: Path, vmlinux: Path | None, text: int) -> str:
    """Return the command line for gdb. ``text`` is where the guest's kernel begins (KASLR moves it)."""
    steps = ["set confirm off", "set architecture i386:x86-64"]
    if vmlinux is not None:
        steps.append(f"symbol-file -o {text - link_address(vmlinux):#x} {vmlinux}")
    steps.append(f"target remote {stub}")
    return shlex.join(["gdb", "-q", *(word for step in steps for word in ("-ex", step))])
