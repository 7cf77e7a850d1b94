# SPDX-License-Identifier: BSD-3-Clause
"""A session that stays: one line typed, one thing asked of guest, QEMU or card, its answer as lines."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from harness.deadline import Deadline
from harness.debug import gdb
from harness.debug.card_lines import CardLines, Verb, given, json_lines
from harness.sanitizer.live import sanitized
from harness.words import number, pairs, split

if TYPE_CHECKING:
    from pathlib import Path

    from harness.lab import Bound, Lab
    from harness.sanitizer.live import Account

GUEST_S = 120.0
MONITOR_S = 10.0
CONSOLE_LINES = 30
DRIVER_TEXT = "/sys/module/igb/sections/.text"


class Session(CardLines):
    """Asks the guest, QEMU and the card of ``bound``; ``folder`` gets the gdb stub's socket.

    ``run`` raises UsageError for a line that asks for nothing, and a WorldError when something is dead.
    """

    def __init__(self, lab: Lab, bound: Bound, folder: Path, vmlinux: Path | None = None) -> None:
        super().__init__(bound.card)
        self.lab = lab
        self.bound = bound
        self._folder = folder
        self._vmlinux = gdb.find_vmlinux(bound.guest.kernel, vmlinux)
        self._stub: Path | None = None
        self._watching = ExitStack()
        self._account: Account | None = None
        self.verbs = {
            "guest": Verb("COMMAND", "run a shell command in the guest, over ssh", self._guest),
            "type": Verb("TEXT", "type a line on the guest's serial console", self._type),
            "console": Verb("[LINES]", "the last lines of the console", self._console),
            "qmp": Verb("COMMAND [name=value …]", "run a QMP command of QEMU", self._qmp),
            "hmp": Verb("LINE", "run a line of QEMU's human monitor", self._hmp),
            "sanitize": Verb("", "hold the driver to its DMA mappings; once more: what was found", self._sanitize),
            "gdb": Verb("", "open QEMU's gdb stub, and say how gdb meets it", self._gdb),
            "socket": Verb("", "where the card listens, for hilnic top --control", lambda _: [self.bound.card.path]),
            **self.verbs,
        }

    # -- the guest ------------------------------------------------------------------------------------

    def _guest(self, rest: str) -> list[str]:
        done = self.bound.guest.run(given(rest, "a command"), check=False, deadline=Deadline.after(GUEST_S))
        said = [*done.stdout.splitlines(), *done.stderr.splitlines()]
        return said if done.rc == 0 else [*said, f"exit status {done.rc}"]

    def _type(self, rest: str) -> list[str]:
        self.bound.console.send(f"{rest}\n")
        return []

    def _console(self, rest: str) -> list[str]:
        return self.bound.console.last(number(split(rest), 0, "the number of lines", CONSOLE_LINES)).splitlines()

    def _sanitize(self, _: str) -> list[str]:
        if self._account is None:
            self._account = self._watching.enter_context(sanitized(self.lab))
            return ["the sanitizer records; say sanitize once more to hear what it has found"]
        account, self._account = self._account, None
        self._watching.close()
        return str(account).splitlines()

    # -- QEMU -----------------------------------------------------------------------------------------

    def _qmp(self, rest: str) -> list[str]:
        command, *words = split(given(rest, "a command"))
        return json_lines(self.lab.vm.execute(command, MONITOR_S, **pairs(words)))

    def _hmp(self, rest: str) -> list[str]:
        return self.lab.vm.monitor.human(given(rest, "a line"), Deadline.after(MONITOR_S)).splitlines()

    def _gdb(self, _: str) -> list[str]:
        if self._stub is None:
            self._stub = gdb.open_stub(self.lab.vm, self._folder / "gdb")
        guest = self.bound.guest
        text = guest.symbols.addresses(["_text"])["_text"]
        driver = guest.agent.read_many([DRIVER_TEXT])[0]
        lines = [gdb.gdb_command(self._stub, self._vmlinux, text), "the guest stands still while gdb is there"]
        if self._vmlinux is None:
            lines.append(f"no symbols: apt-get install linux-image-{guest.kernel}-dbg, or --vmlinux FILE")
        if driver is not None:
            lines.append(f"for the driver's symbols, in gdb: add-symbol-file igb.ko {driver.strip()}")
        return lines
