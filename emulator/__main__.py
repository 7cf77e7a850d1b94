# SPDX-License-Identifier: BSD-3-Clause
"""``python -m emulator``: one card, served on one vfio-user socket, until it is told to stop."""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import resource
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.assembly import DEFAULT_MAC, Options, assemble
from emulator.bundle.log import LIMIT
from emulator.control import ControlServer
from emulator.errors import UsageError, WorldError
from emulator.families import FAMILIES
from emulator.server import StopSignal
from emulator.wires import GRAMMAR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.families import Family

LOG_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
PR_SET_PDEATHSIG = 1
DESCRIPTORS_WANTED = 1 << 16
LIMIT_MOST_MIB = 65536

DESCRIPTION = """\
Be a PCI Express network card. A client of the vfio-user protocol (QEMU 10.1 or later, -device
vfio-user-pci) finds the card behind --socket, and its guest drives the card with its own driver."""

EPILOG = f"""\
wires:
{GRAMMAR}

The card says `hilnic: ready …` on its standard output when a client may connect. It serves one client at
a time and waits for the next when one leaves. SIGTERM and SIGINT end it. It exits with 2 when it was asked
for something impossible, with 1 when its surroundings failed it."""


def parser(names: list[str]) -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    made = argparse.ArgumentParser(
        prog="python -m emulator",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("--nic", default=names[0], metavar="NAME", help=f"which card to be: {', '.join(names)} (default: %(default)s)")
    add(
        "--engine",
        default="",
        metavar="NAME",
        help="what runs the rings: native (C, fast) or python (readable, open to patches) (default: native)",
    )
    add(
        "--doorbells",
        default="trap",
        metavar="HOW",
        help="trap: the card is told of each transmit doorbell; mmap: it looks at a page that the guest writes without "
        "a trap, faster, and with the limits told in docs/engine.md (default: %(default)s)",
    )
    add(
        "--pause",
        default="ignored",
        metavar="HOW",
        help="how the far end of the wire takes the card's pause frames: ignored, or obeyed: then nothing is taken off "
        "the wire until the card lets it go on (default: %(default)s)",
    )
    add(
        "--least-gap",
        default="auto",
        metavar="US",
        help="leave at least so many microseconds between two messages of a vector that EITR moderates, even if EITR "
        "asks for fewer: a guest whose interrupts are dear gets fewer of them; auto does so for transmit completions, "
        "as long as the guest takes to answer (default: %(default)s)",
    )
    add(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="how many threads the native engine carries packets with, where several queues have some (default: "
        "%(default)s)",
    )
    add("--socket", required=True, type=Path, metavar="PATH", help="unix socket on which a vfio-user client connects")
    add("--wire", default="null", metavar="SPEC", help="what the cable leads to, see below (default: %(default)s)")
    add(
        "--control",
        type=Path,
        metavar="PATH",
        help="unix socket for control connections: JSON lines, see docs/control.md",
    )
    add(
        "--irq",
        default="msix",
        metavar="SCHEME",
        help="best interrupt scheme that the card shows: msix, msi or intx (default: %(default)s)",
    )
    add(
        "--msix-vectors",
        type=int,
        metavar="N",
        help="size of the MSI-X table; the 82576 has 10, fewer make drivers fall back (default: the card's own)",
    )
    add("--mac", default=DEFAULT_MAC, metavar="MAC", help="address in the card's EEPROM (default: %(default)s)")
    add(
        "--rate",
        default="auto",
        metavar="RATE",
        help="speed at which frames leave: auto (the link's), 10, 100, 1000 (Mb/s) or unlimited (default: %(default)s)",
    )
    add(
        "--capture",
        type=Path,
        metavar="FILE",
        help="write every frame on the wire to FILE, in pcapng, each with what became of it (docs/debugging.md)",
    )
    add("--nvm", type=Path, metavar="FILE", help="take the EEPROM's words from FILE instead of the built-in ones")
    add(
        "--patch",
        action="append",
        default=[],
        metavar="FILE.py:FUNCTION",
        help="call FUNCTION(card) before serving, to change the card on purpose; may be given several times",
    )
    add(
        "--fault",
        action="append",
        default=[],
        metavar="TEXT",
        help="a deliberate fault in force from the start, as 'hold_interrupts vector=3' (docs/control.md); may be "
        "given several times",
    )
    add(
        "--bundle-log",
        type=Path,
        metavar="FILE",
        help="take down in FILE all that comes in and goes out, so that the card can be run on it again "
        "(docs/bundles.md)",
    )
    add(
        "--bundle-limit",
        type=int,
        default=LIMIT >> 20,
        metavar="MIB",
        help="how much of it is kept, from the beginning on (default: %(default)s MiB)",
    )
    add(
        "--log-level", default="warning", choices=list(LOG_LEVELS), help="what is told on stderr (default: %(default)s)"
    )
    add("--die-with-parent", action="store_true", help="end when the process that started this one ends")
    return made


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent thread ends (prctl(2), PR_SET_PDEATHSIG)."""
    parent = os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise WorldError(f"prctl(PR_SET_PDEATHSIG) must succeed, not end in {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # it ended before we could ask
        os.kill(os.getpid(), signal.SIGTERM)


def raise_descriptor_limit() -> None:
    """Allow as many descriptors as the hard limit does: a client with an IOMMU sends one for every mapping."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def serve(given: argparse.Namespace, families: Mapping[str, Family]) -> None:
    """Be the card that the command line describes, until a signal ends it."""
    family = families.get(given.nic)
    if family is None:
        raise UsageError(f"the NIC must be one of {', '.join(families)}, not {given.nic!r}")
    options = Options(
        socket=given.socket,
        wire=given.wire,
        irq=given.irq,
        msix_vectors=given.msix_vectors,
        mac=given.mac,
        rate=given.rate,
        capture=given.capture,
        nvm=given.nvm,
        patches=tuple(given.patch),
        faults=tuple(given.fault),
        log_level=LOG_LEVELS[given.log_level],
        engine=given.engine,
        doorbells=given.doorbells,
        least_gap=given.least_gap,
        threads=given.threads,
        pause=given.pause,
        bundle_log=given.bundle_log,
        bundle_limit=bundle_limit(given.bundle_limit),
    )
    with StopSignal() as stop, ExitStack() as undo:
        if given.die_with_parent:
            die_with_parent()
        card = assemble(options, family, undo)
        controls = None
        if given.control is not None:
            controls = ControlServer(str(given.control), card, card.recorder())
            undo.callback(controls.close)
        where = f" control={given.control}" if controls else ""
        print(f"hilnic: ready socket={options.socket}{where}", flush=True)
        card.serve(controls, stop)


def bundle_limit(mib: int) -> int:
    """Return bytes."""
    if not 1 <= mib <= LIMIT_MOST_MIB:
        raise UsageError(f"the limit of a log must be 1 to {LIMIT_MOST_MIB} MiB, not {mib}")
    return mib << 20


def main(arguments: list[str] | None = None, families: Mapping[str, Family] = FAMILIES) -> int:
    """Run, and turn errors into one sentence and an exit status."""
    given = parser(list(families)).parse_args(arguments)
    logging.basicConfig(level=LOG_LEVELS[given.log_level], format="hilnic: %(levelname)s %(name)s: %(message)s")
    raise_descriptor_limit()
    try:
        serve(given, families)
    except UsageError as error:
        print(f"hilnic: {error}", file=sys.stderr)
        return 2
    except (WorldError, OSError) as error:
        print(f"hilnic: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
