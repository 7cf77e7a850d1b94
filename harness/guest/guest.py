# SPDX-License-Identifier: BSD-3-Clause
"""A running guest, and everything that can be asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from harness.deadline import Deadline
from harness.errors import LabBroken, UsageError
from harness.guest import driver
from harness.guest.agent import Agent
from harness.guest.console import Console
from harness.guest.dql_probes import load, of_guest
from harness.guest.netif import NetIf
from harness.guest.proc import Proc
from harness.guest.ssh import Shell
from harness.guest.symbols import Symbols
from harness.guest.trace import Tracer
from harness.guest.undo import Undo
from harness.spec.catalogue import KernelRange

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.guest.dql_probes import DqlProbes
    from harness.guest.ssh import Completed
    from harness.qemu import Vm

SHELL_S = 60.0
KALLSYMS = "kallsyms"
DQL_PROBES = "dql.json"


class Guest:
    """The guest inside ``vm``; its console goes to ``folder``/console.log, and ``saved`` is its snapshot's folder.

    The agent is there once ``wait_agent`` has returned; a shell is opened at its first use.
    """

    def __init__(self, vm: Vm, key: Path, folder: Path, saved: Path) -> None:
        self._vm = vm
        self._key = key
        self._shell: Shell | None = None
        self._watched: list[Callable[[], None]] = []
        self.console = Console(vm.console, folder / "console.log")
        self.agent = Agent(vm.agent, self.check, vm.obituary)
        self.undo = Undo()
        self.proc = Proc(self.agent, self.undo)
        self.symbols = Symbols(saved / KALLSYMS)
        self.trace = Tracer(self.agent, vm.machine.cpus, self.symbols)
        self.cpus = vm.machine.cpus
        self.kernel = ""
        self._saved = saved
        self._own_driver = False
        self._dql_probes: DqlProbes | None = None

    def check(self) -> None:
        """Raise GuestFault if the kernel has cried, LabBroken if QEMU or the card is dead."""
        self.console.check()
        self._vm.must_run()
        for look in self._watched:
            look()

    def watch(self, look: Callable[[], None]) -> None:
        """Call ``look`` at every ``check`` too; it raises if something that the guest needs is dead."""
        self._watched.append(look)

    def forget_watched(self) -> None:
        """Stop asking what ``watch`` was given: the card is about to go."""
        self._watched.clear()

    def wait_agent(self, deadline: Deadline) -> None:
        """Wait until the agent answers."""
        self.kernel = str(self.agent.wait_ready(deadline)["kernel"])

    def kernel_is(self, bounds: str) -> bool:
        """Say whether the kernel's release lies within ``bounds``, such as ``>=6.12,<7``."""
        return KernelRange(bounds).admits(self.kernel)

    @property
    def shell(self) -> Shell:
        """The ssh session, opened now if need be."""
        if self._shell is None:
            self._shell = Shell(self._vm.ssh_port(), self._key, self.check, Deadline.after(SHELL_S))
        return self._shell

    def run(self, command: str, *, check: bool = True, deadline: Deadline | None = None) -> Completed:
        """Run a shell command through ssh; CommandFailedError if ``check`` and its status is not 0."""
        return self.shell.run(command, check=check, deadline=deadline)

    def netif(self, name: str = "eth0") -> NetIf:
        """Return the interface ``name``, which need not exist yet."""
        return NetIf(name, self.agent, self.proc, self.undo)

    def dql_probes(self) -> DqlProbes:
        """Return the probes on dynamic queue limits for this build. Raises LabBroken with the reason there are none."""
        found = self._saved / DQL_PROBES
        if found.exists() and not self._own_driver:
            return load(found)
        try:
            self._dql_probes = self._dql_probes or of_guest(self.agent, self.kernel)
        except UsageError as error:
            raise LabBroken(f"dynamic queue limits must be observable in {self.kernel}: {error}") from error
        return self._dql_probes

    def own_driver(self) -> None:
        """Take note that the driver is another than when the snapshot was made: what is known of it is void."""
        self._own_driver = True
        self.symbols.module_moved(driver.NAME, lambda: driver.addresses(self))

    def dmesg(self) -> str:
        """Return the whole kernel log."""
        return "\n".join(f"[{r.usec / 1e6:12.6f}] {r.text}" for r in self.proc.log())

    def close(self) -> None:
        """Leave the guest; it ends with its QEMU."""
        if self._shell is not None:
            self._shell.close()
        self.agent.close()
        self.console.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
