# SPDX-License-Identifier: BSD-3-Clause
"""``hilnic debug`` and ``hilnic shell``: a guest bound to the card, kept for as long as somebody looks at it."""

from __future__ import annotations

import code
import os
import sys
import tempfile
import traceback
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import frames
from harness.bundle.recording import recorded
from harness.debug.lines import talk
from harness.debug.session import Session
from harness.debug.watcher import Watcher
from harness.emulator import CardOptions
from harness.errors import LabBroken
from harness.opening import open_lab, own_folder
from harness.options import engine_option, fault_option, lab_options, module_option, sanitize_option
from harness.report.results import ExitStatus
from harness.verb import Verb, always, epilogue

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from harness.lab import Bound, Lab
    from harness.report.terminal import Progress

FOLDER = Path("build/run/debug")
PATIENCE_S = 3600
"""How long QEMU waits for a card that stands at a breakpoint."""

NAMES = "lab, bound, card, guest, netif, peer, console, vm, frames"
BANNER = f"""\
The guest's driver is bound to the card and its link is up. Ready: {NAMES}.
For example: card.ring("tx", 0), guest.run("ip -br link").stdout, peer.send_flows(count=8).
Ctrl-D ends guest and card."""


def declare(verb: argparse.ArgumentParser) -> None:
    """Declare the options of ``debug``."""
    engine_option(verb)
    module_option(verb)
    verb.add_argument("--vmlinux", type=Path, metavar="FILE", help="the guest's kernel with symbols, for gdb")
    fault_option(verb)
    sanitize_option(verb)
    lab_options(verb)


def declare_shell(verb: argparse.ArgumentParser) -> None:
    """Declare the options of ``shell``."""
    engine_option(verb)
    module_option(verb)
    verb.add_argument("-c", default="", metavar="CODE", dest="code", help="run this and end")
    fault_option(verb)
    sanitize_option(verb)
    lab_options(verb)


@dataclass(frozen=True, slots=True)
class Opened:
    """A lab whose guest is bound to the card."""

    lab: Lab
    bound: Bound


@contextmanager
def opened(arguments: argparse.Namespace, progress: Progress) -> Iterator[Opened]:
    """Open a lab as the options ask for, its card bound, its link partner answering; all are gone afterwards."""
    progress.start("opening the lab")
    file: Path | None = getattr(arguments, "bundle", None)
    try:
        with (
            open_lab(
                own_folder(FOLDER.absolute()),
                accelerator=arguments.accel,
                kernel=arguments.kernel,
                cpus=arguments.smp,
                default=CardOptions(engine=arguments.engine, faults=tuple(arguments.fault), patience_s=PATIENCE_S),
                say=progress.stage,
                module=arguments.module,
                sanitize=getattr(arguments, "sanitize", ""),
            ) as lab,
            kept(lab, file) if file else nullcontext(),
        ):
            bound = lab.bound()
            progress.close()
            with bound.peer.answering():
                yield Opened(lab, bound)
    finally:
        progress.close()


@contextmanager
def kept(lab: Lab, file: Path) -> Iterator[None]:
    """Make a bundle at ``file`` of what happens in this context."""
    with recorded(lab) as recording:
        try:
            yield
            recording.files["dmesg.txt"] = lab.present.dmesg()
            recording.files["events.txt"] = "\n".join(map(str, lab.bound().card.last_events()))
        finally:
            recording.write(file, lab.facts(), why="hilnic record")


def debug(arguments: argparse.Namespace, progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """Hold a session on a screen where the terminal can show one, else line by line."""
    with opened(arguments, progress) as lab:
        return hold(lab, arguments.vmlinux, say)


def hold(lab: Opened, vmlinux: Path | None, say: Callable[[str], None]) -> ExitStatus:
    """Carry out what is typed; BROKEN if there is no screen and a line was refused or failed."""
    with tempfile.TemporaryDirectory(prefix="hilnic-") as folder:
        session = Session(lab.lab, lab.bound, Path(folder), vmlinux)
        if plain := why_no_screen():
            say(f"{plain}, so there is no screen: a command a line, help lists them")
            failed = talk(session, iter(sys.stdin.readline, ""), say)
            return ExitStatus.BROKEN if failed else ExitStatus.HOLDS
        from harness.debug.screen import Screen  # noqa: PLC0415 - a terminal's library, needed for a terminal alone

        with Watcher(lab.bound.card) as watcher:
            Screen(session, watcher).run()
    return ExitStatus.HOLDS


def why_no_screen() -> str:
    """Return why this terminal cannot show a screen; empty if it can."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return "standard input and output are no terminal"
    if os.environ.get("TERM", "dumb") in ("", "dumb", "unknown"):
        return f"the terminal is {os.environ.get('TERM') or 'of no known kind'}"
    return ""


def shell(arguments: argparse.Namespace, progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """Give Python with the parts of the lab under their names."""
    with opened(arguments, progress) as lab:
        names = namespace(lab.lab, lab.bound)
        if arguments.code:
            return run_code(arguments.code, names)
        say(f"card {lab.lab.card_folder}, guest {lab.lab.guest_folder}")
        code.interact(banner=BANNER, local=names, exitmsg="ending the guest and the card")
    return ExitStatus.HOLDS


def run_code(text: str, names: dict[str, Any]) -> ExitStatus:
    """Run ``text``; BROKEN, with the traceback on standard error, if it raises. LabBroken goes through."""
    try:
        exec(compile(text, "<-c>", "exec"), names)  # noqa: S102 - that is what -c is for
    except LabBroken:
        raise
    except Exception:  # noqa: BLE001 - the user's own code
        traceback.print_exc()
        return ExitStatus.BROKEN
    return ExitStatus.HOLDS


def namespace(lab: Lab, bound: Bound) -> dict[str, Any]:
    """Return the names that ``shell`` has ready."""
    return {
        "lab": lab,
        "bound": bound,
        "card": bound.card,
        "guest": bound.guest,
        "netif": bound.netif,
        "peer": bound.peer,
        "console": bound.console,
        "vm": lab.vm,
        "frames": frames,
    }


DEBUG = Verb(
    "debug",
    "keep guest and card, and look at both from one terminal",
    "Bind a guest to the card and stay: console, shell, monitor, gdb stub and card in one terminal.",
    declare,
    debug,
    epilogue("the session was ended", "without a screen: a line was refused or failed"),
    always,
)
SHELL = Verb(
    "shell",
    "Python with guest, card and link partner ready",
    f"Bind a guest to the card and give Python, with these names ready: {NAMES}.",
    declare_shell,
    shell,
    beside=always,
)
