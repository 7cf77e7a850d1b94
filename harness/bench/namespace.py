# SPDX-License-Identifier: BSD-3-Clause
"""A network namespace of our own, with a real TCP stack for the far end of TAP wires.

Nothing of it has a name on the host: the namespace lives in a process that dies with us, and all that is in it goes
with that process.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

from guest_images.prefix import run_command
from harness.child import Child, dies_with_parent
from harness.deadline import Deadline, wait_until
from harness.errors import EnvironmentLacks

if TYPE_CHECKING:
    from guest_images.prefix import Prefix

OWN = Path("/proc/self/ns/net")
TUN = Path("/dev/net/tun")
CLONE_NEWNET = 0x40000000
START_S = 10.0
PACKAGES = ("iperf3", "iproute2")


def check() -> None:
    """Raise EnvironmentLacks if no namespace with TAP interfaces can be had here."""
    if os.geteuid() != 0:
        raise EnvironmentLacks("TAP interfaces in a network namespace of our own need root")
    if not os.access(TUN, os.R_OK | os.W_OK):
        raise EnvironmentLacks(f"{TUN} must be there and open: modprobe tun")
    for tool in ("unshare", "nsenter"):
        if shutil.which(tool) is None:
            raise EnvironmentLacks(f"{tool} must be on PATH: apt-get install util-linux")


class Namespace:
    """A network namespace; ``tools`` holds iproute2 and iperf3. Logs go to ``folder``.

    Raises EnvironmentLacks if the system refuses it.
    """

    def __init__(self, tools: Prefix, folder: Path) -> None:
        check()
        self._tools = tools
        self._folder = folder
        self._holder = Child(
            "the namespace", ("unshare", "--net", "--", *dies_with_parent(("sleep", "infinity"))), folder / "ns.log"
        )
        try:
            wait_until(self._made, Deadline.after(START_S), "a network namespace of our own", EnvironmentLacks)
            self.ip("link", "set", "dev", "lo", "up")
        except BaseException:
            self._holder.stop()
            raise

    def _made(self) -> bool:
        if not self._holder.running:
            raise EnvironmentLacks(f"a network namespace must be ours to make, and is not: {self._holder.tail()}")
        try:
            return Path(f"/proc/{self._holder.pid}/ns/net").readlink() != OWN.readlink()
        except FileNotFoundError:
            return False

    @property
    def enter(self) -> tuple[str, ...]:
        """The first words of a command line that is to run inside."""
        return ("nsenter", f"--net=/proc/{self._holder.pid}/ns/net", "--")

    def ip(self, *words: str) -> str:
        """Run iproute2's ip inside. Raises EnvironmentLacks with its words if it fails."""
        return run_command((*self.enter, *self._tools.argv("usr/bin/ip", *words)), f"ip {' '.join(words)}")

    def counters(self, interface: str) -> dict[str, dict[str, int]]:
        """Return what an interface has counted, ``rx`` and ``tx`` as the namespace sees them (ip-link(8), stats64)."""
        [link] = json.loads(self.ip("-s", "-j", "link", "show", "dev", interface))
        found: dict[str, dict[str, int]] = link["stats64"]
        return found

    def socket(self, family: int, kind: int) -> socket.socket:
        """Return a socket of the namespace, made by a thread that enters it and ends (setns(2) is per thread)."""
        made: list[socket.socket | OSError] = []

        def enter() -> None:
            try:
                with Path(f"/proc/{self._holder.pid}/ns/net").open("rb") as there:
                    refused = ctypes.CDLL(None, use_errno=True).setns(there.fileno(), CLONE_NEWNET)
                made.append(OSError(ctypes.get_errno(), "setns") if refused else socket.socket(family, kind))
            except OSError as error:
                made.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        [found] = made
        if isinstance(found, OSError):
            raise EnvironmentLacks(f"a socket must open in our namespace, and does not: {found.strerror}") from found
        return found

    def serve(self, program: str, *arguments: str, until: bytes) -> Child:
        """Start a program of the tools inside and return when its output holds ``until``; the caller stops it."""
        name = Path(program).name
        child = Child(name, (*self.enter, *self._tools.argv(program, *arguments)), self._folder / f"{name}.log")

        def ready() -> bool:
            child.must_run()
            return until in child.log.read_bytes()

        try:
            wait_until(ready, Deadline.after(START_S), f"{name} saying that it is ready")
        except BaseException:
            child.stop()
            raise
        return child

    def address(self, interface: str, address: str) -> None:
        """Give an interface that is there its address, and bring it up."""
        self.ip("address", "add", address, "dev", interface)
        self.ip("link", "set", "dev", interface, "up")

    def close(self) -> None:
        """End the process that holds the namespace."""
        self._holder.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
