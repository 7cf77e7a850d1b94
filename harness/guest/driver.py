# SPDX-License-Identifier: BSD-3-Clause
"""Somebody's own igb.ko instead of the kernel's: looked at on the host, put in place in the guest, loaded."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import LabBroken, NotLoaded, UsageError
from harness.guest.dql_probes import MODULE

if TYPE_CHECKING:
    from harness.guest.guest import Guest

NAME = "igb"
ELF64 = b"\x7fELF\x02\x01"
LOAD_S = 30.0
LOG_LINES = 6


@dataclass(frozen=True, slots=True)
class DriverFile:
    """A module file: what its .modinfo says of it, and its bytes."""

    path: Path
    data: bytes
    vermagic: str

    @classmethod
    def read(cls, path: Path) -> DriverFile:
        """Read a file. Raises UsageError unless it is a module named igb."""
        if not path.is_file():
            raise UsageError(f"a module must be a file, not {str(path)!r}")
        data = path.read_bytes()
        if not data.startswith(ELF64):
            raise UsageError(f"{path} must be an uncompressed ELF-64 module, not a file that begins with {data[:6]!r}")
        name = modinfo(data, "name")
        if name != NAME:
            raise UsageError(f"{path} must be the module {NAME}, not {name or 'one without a name'}")
        return cls(path, data, modinfo(data, "vermagic"))

    def must_fit(self, release: str) -> None:
        """Raise UsageError unless the module was built for kernel ``release``."""
        built = self.vermagic.partition(" ")[0]
        if built != release:
            raise UsageError(f"{self.path} must be built for the guest's kernel {release}, not for {built or 'none'}")

    def stripped(self) -> bytes:
        """Return the module without what only a debugger reads, if binutils are here to take it out."""
        strip = shutil.which("strip")
        if strip is None:
            return self.data
        with tempfile.NamedTemporaryFile(suffix=".ko") as file:
            file.write(self.data)
            file.flush()
            done = subprocess.run([strip, "--strip-debug", file.name], capture_output=True, check=False)
            return Path(file.name).read_bytes() if done.returncode == 0 else self.data

    def __str__(self) -> str:
        return f"{self.path} (SHA-256 {hashlib.sha256(self.data).hexdigest()[:12]})"


def modinfo(data: bytes, key: str) -> str:
    """Return a field of a module's .modinfo; empty if it has none."""
    found = re.search(rb"\0" + key.encode() + rb"=([^\0]*)\0", data)
    return found[1].decode(errors="replace") if found else ""


def load_driver(guest: Guest, driver: DriverFile) -> None:
    """Put ``driver`` in the place of the guest's igb, which must not be loaded, and load it; there is no card yet.

    Raises NotLoaded with the kernel's words if it does not load.
    """
    guest.agent.store(MODULE.format(release=guest.kernel), driver.stripped())
    done = guest.agent.call("run", argv=["modprobe", NAME], seconds=LOAD_S)
    if done["rc"] != 0:
        log = "\n".join(guest.dmesg().splitlines()[-LOG_LINES:])
        raise NotLoaded(f"modprobe must load {driver.path}, but: {done['err'].strip()}\n{log}")
    guest.own_driver()


def addresses(guest: Guest) -> dict[str, int]:
    """Return the addresses of the loaded driver's functions. Raises LabBroken if the kernel shows none."""
    done = guest.agent.call("run", argv=["grep", "-F", f"[{NAME}]", "/proc/kallsyms"], seconds=LOAD_S)
    found = {}
    for line in done["out"].splitlines():
        address, _, name, *_ = line.split()
        found[name] = int(address, 16)
    if not found:
        raise LabBroken(f"the guest must list the functions of {NAME}, and lists none")
    return found
