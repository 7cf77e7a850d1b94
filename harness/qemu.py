# SPDX-License-Identifier: BSD-3-Clause
"""A running QEMU: started from data, watched through QMP, gone when its owner is."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from harness.child import Child
from harness.deadline import Deadline, wait_until
from harness.errors import LabBroken
from harness.machine import Lines, at, machine_arguments
from harness.qmp import Monitor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.machine import Machine
    from harness.setup.qemu import Qemu

START_S = 30.0
SAVE_S = 60.0
UNPLUG_S = 15.0
FORWARD = re.compile(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s")


class Vm:
    """One QEMU process with its monitor, and the host's ends of console and agent port.

    It runs as soon as it is made; with ``incoming`` it stands still until ``resume``.
    """

    def __init__(self, program: Qemu, machine: Machine, folder: Path, *, incoming: Path | None = None) -> None:
        self.machine = machine
        self._undo = ExitStack()
        try:
            self._start(program, folder, incoming)
        except BaseException:
            self._undo.close()
            raise

    def _start(self, program: Qemu, folder: Path, incoming: Path | None) -> None:
        monitor, its_monitor = self._pair()
        self.console, its_console = self._pair()
        self.agent, its_agent = self._pair()
        lines = Lines(its_monitor.fileno(), its_console.fileno(), its_agent.fileno())
        argv = (*program.argv_prefix, *machine_arguments(self.machine, lines, incoming))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "qemu.argv").write_text("\n".join(argv) + "\n")
        fds = (lines.monitor, lines.console, lines.agent)
        self.child = Child("QEMU", argv, folder / "qemu.log", fds=fds)
        self._undo.callback(self.child.stop)
        for end in (its_monitor, its_console, its_agent):
            end.close()
        self.monitor = self._undo.enter_context(Monitor(monitor, self.obituary, Deadline.after(START_S)))

    def _pair(self) -> tuple[socket.socket, socket.socket]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._undo.callback(ours.close)
        self._undo.callback(theirs.close)
        return ours, theirs

    def obituary(self) -> str:
        """Return what is known of the end of this QEMU; it gets a second to end after a lost monitor."""
        try:
            self.child.wait_ended(Deadline.after(1.0))
        except LabBroken:
            return "QEMU runs, but its monitor is closed"
        return self.child.obituary()

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.child.running

    def must_run(self) -> None:
        """Raise LabBroken with QEMU's last words if it has ended."""
        self.child.must_run()

    def execute(self, command: str, seconds: float = 10.0, **arguments: object) -> Any:  # noqa: ANN401 - QMP's JSON
        """Run a QMP command and return its answer."""
        return self.monitor.execute(command, Deadline.after(seconds), **arguments)

    def ssh_port(self) -> int:
        """Return the loopback port that leads to the guest's sshd; the host's kernel picked it."""
        text = self.monitor.human("info usernet", Deadline.after(5.0))
        found = FORWARD.search(text)
        if found is None:
            raise LabBroken(f"QEMU must forward a loopback port to the guest, but it says: {text.strip()}")
        return int(found[1])

    def resume(self) -> None:
        """Wait until the snapshot is loaded, and let the guest go on."""
        deadline = Deadline.after(START_S)

        def loaded() -> bool:
            self.must_run()
            status = self.monitor.execute("query-status", deadline)
            if isinstance(status, dict) and status["status"] == "internal-error":
                raise LabBroken(f"the snapshot must be loadable, but QEMU says: {self.child.tail()}")
            return isinstance(status, dict) and status["status"] != "inmigrate"

        wait_until(loaded, deadline, "loading the snapshot")
        self.monitor.execute("cont", deadline)

    def save(self, path: Path) -> None:
        """Stop the guest and write its state to ``path``; this QEMU is of no use afterwards."""
        deadline = Deadline.after(SAVE_S)
        self.monitor.execute("stop", deadline)
        channel = {"channel-type": "main", "addr": {"transport": "file", **at(path)}}
        self.monitor.execute("migrate-set-parameters", deadline, max_bandwidth=1 << 40)
        self.monitor.execute("migrate", deadline, channels=[channel])

        def done() -> bool:
            state: Any = self.monitor.execute("query-migrate", deadline)
            if state.get("status") == "failed":
                raise LabBroken(f"QEMU must write the snapshot, but it says: {state.get('error-desc')}")
            return bool(state.get("status") == "completed")

        wait_until(done, deadline, "writing the snapshot")

    def plug(self, device: Mapping[str, Any]) -> None:
        """Hot-plug a device (device_add); MonitorRefusedError carries QEMU's reason."""
        self.monitor.execute("device_add", Deadline.after(10.0), **device)

    def unplug(self, ident: str) -> None:
        """Ask the guest to give a device back (device_del), and wait until it has."""
        since = self.monitor.mark()
        deadline = Deadline.after(UNPLUG_S)
        self.monitor.execute("device_del", deadline, id=ident)
        self.wait_gone(ident, since, deadline)

    def wait_gone(self, ident: str, since: int, deadline: Deadline) -> None:
        """Wait for DEVICE_DELETED of ``ident`` after event position ``since``."""
        self.monitor.wait_event("DEVICE_DELETED", deadline, since=since, matches={"device": ident})

    def add_netdev(self, netdev: Mapping[str, Any]) -> None:
        """Add a network backend."""
        self.monitor.execute("netdev_add", Deadline.after(5.0), **netdev)

    def drop_netdev(self, ident: str) -> None:
        """Remove a network backend."""
        self.monitor.execute("netdev_del", Deadline.after(5.0), id=ident)

    def close(self) -> None:
        """End QEMU and everything that leads to it."""
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
