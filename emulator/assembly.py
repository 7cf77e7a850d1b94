# SPDX-License-Identifier: BSD-3-Clause
"""From options to a card with everything around it."""

from __future__ import annotations

import importlib.util
import inspect
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.bundle.entries import Header
from emulator.bundle.log import LIMIT, Writer
from emulator.bundle.native import NativeWriter
from emulator.bundle.ports import LoggedDevice
from emulator.clock import MonotonicClock
from emulator.errors import EnvironmentLacks, UsageError
from emulator.families import Strapping, Surroundings
from emulator.pci import SIZE, ConfigSpace, expose
from emulator.rules.rule import is_rule
from emulator.vfu.context import Context
from emulator.vfu.device import CONFIG_REGION, IrqKind, Region
from emulator.wires import open_wire
from emulator.wires.capture import CapturedWire, CaptureFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import ExitStack

    from device_model.pci import PciFunction
    from emulator.bundle.log import Log
    from emulator.card import Card
    from emulator.families import Family
    from emulator.wires import WireEnd

DEFAULT_MAC = "52:54:00:82:57:60"
NVM_MOST = 128 * 1024
PAUSES = ("ignored", "obeyed")
DOORBELLS = ("trap", "mmap")
DOORBELL_PAGE = range(0x3000, 0x4000)
"""Of BAR 0: the ring registers of transmit queues 0 to 3, at the addresses that Linux igb uses (shared.h)."""

THREADS_MOST = 16
"""As many as there are queues."""

LEAST_GAP_MOST_US = 10_000
"""About as much as EITR itself can ask for (82576 8.8.12)."""

NAMED_RATES = {"auto": None, "unlimited": 0}


@dataclass(frozen=True, slots=True)
class Options:
    """What distinguishes one card process from another; the command line explains each."""

    socket: Path
    wire: str
    irq: str = "msix"
    msix_vectors: int | None = None
    mac: str = DEFAULT_MAC
    rate: str = "auto"
    capture: Path | None = None
    nvm: Path | None = None
    patches: tuple[str, ...] = ()
    log_level: int = 30
    engine: str = ""
    """Which engine runs the card; empty: the family's usual one."""

    pause: str = "ignored"
    """Whether the far end of the wire obeys pause frames: if it does, the card's end sees to it."""

    least_gap: str = "auto"
    """Microseconds between two messages of a moderated vector at least, if they are more than EITR asks for; ``auto``
    lets the guest's pace decide, for transmit completions alone."""

    faults: tuple[str, ...] = ()
    """Deliberate faults in force from the start, each as ``hold_interrupts vector=3``."""

    doorbells: str = "trap"
    """How the card learns of transmit doorbells: each by a trap, or by looking at a page that the client maps."""

    threads: int = 1
    """How many threads the native engine carries packets with, where several queues have some."""

    bundle_log: Path | None = None
    """A file in which all that comes in and goes out is taken down, to be replayed."""

    bundle_limit: int = LIMIT
    """How many bytes of it are kept, from the beginning on."""


def assemble(options: Options, family: Family, undo: ExitStack) -> Card:
    """Return the card that ``options`` describe, with its socket open; ``undo`` gives back what it holds."""
    if options.pause not in PAUSES:
        raise UsageError(f"pause must be one of {', '.join(PAUSES)}, not {options.pause!r}")
    engine = engine_of(options, family)
    make = family.engines.get(engine)
    if make is None:
        raise UsageError(f"the engine must be one of {', '.join(family.engines)}, not {options.engine!r}")
    paced = options.least_gap == "auto"
    gap_us = 0 if paced else parse_gap(options.least_gap)
    threads = parse_threads(options.threads, engine)
    strapping = Strapping(parse_mac(options.mac), parse_rate(options.rate), read_nvm(options.nvm), gap_us)
    patches = [load_patch(text) for text in options.patches]
    function = expose(family.function(strapping.mac), options.irq, options.msix_vectors)
    space = ConfigSpace(function)
    vectors = {
        IrqKind.INTX: 1,
        IrqKind.MSI: 1 if space.has("msi") else 0,
        IrqKind.MSIX: function.msix.vectors if space.has("msix") else 0,
    }
    bar0 = share_bar0(options.doorbells, engine, function, undo)
    context = Context(options.socket, regions(function, bar0), vectors, options.log_level)
    undo.callback(context.close)
    wire: WireEnd = open_wire(options.wire)
    if options.capture is not None:
        try:
            wire = CapturedWire(wire, CaptureFile(options.capture))
        except EnvironmentLacks:
            wire.close()
            raise
    undo.callback(wire.close)
    log: Log | None = None
    if options.bundle_log is not None:
        if options.doorbells != "trap":
            raise UsageError("a card whose inputs are logged must have doorbells that trap: it is told of no others")
        log = (NativeWriter if engine == "native" else Writer)(options.bundle_log, options.bundle_limit)
        undo.callback(log.close)
    around = Surroundings(space, context, wire, MonotonicClock(), bar0, options.pause == "obeyed", paced, log, threads)
    card = make(around, strapping, undo)
    if log is not None:
        log.write_header(header_of(options, family, log.now_ns()).encode())
    prepare(card, patches, options.faults)
    context.realize(card.endpoint if log is None else LoggedDevice(card.endpoint, log))
    return card


def engine_of(options: Options, family: Family) -> str:
    """Return which engine runs the card."""
    return options.engine or next(iter(family.engines))


def prepare(card: Card, patches: Iterable[Callable[[Card], object]], faults: Iterable[str]) -> None:
    """Change the card on purpose before anybody uses it."""
    for patch in patches:
        patch(card)
    for text in faults:
        _misbehave(card, text)


def header_of(options: Options, family: Family, born_ns: int) -> Header:
    """Return what a log says of the card that ``options`` describe."""
    nvm = read_nvm(options.nvm)
    return Header(
        nic=family.name,
        engine=engine_of(options, family),
        irq=options.irq,
        msix_vectors=options.msix_vectors,
        mac=options.mac,
        rate=options.rate,
        least_gap=options.least_gap,
        pause=options.pause,
        nvm=None if nvm is None else nvm.hex(),
        patches=options.patches,
        faults=options.faults,
        born_ns=born_ns,
    )


def _misbehave(card: Card, text: str) -> None:
    """Put a fault in force, or a rule that does so later."""
    try:
        if is_rule(text):
            card.rules.add(text)
        else:
            card.rules.act(text)
    except UsageError as error:
        raise UsageError(f"--fault {text!r}: {error}") from None


def share_bar0(doorbells: str, engine: str, function: PciFunction, undo: ExitStack) -> int:
    """Return a file for BAR 0 of which the client may map the page of the doorbells; -1: every access traps."""
    if doorbells not in DOORBELLS:
        raise UsageError(f"doorbells must be one of {', '.join(DOORBELLS)}, not {doorbells!r}")
    if doorbells == "trap":
        return -1
    if engine != "native":
        raise UsageError(f"doorbells that do not trap must have the native engine, not {engine}")
    fd = os.memfd_create("hilnic-bar0", os.MFD_CLOEXEC)
    undo.callback(os.close, fd)
    os.ftruncate(fd, function.bars[0].size)
    return fd


def regions(function: PciFunction, bar0: int) -> Iterator[Region]:
    """Return the regions that a client may access; ``bar0`` is the file of BAR 0, if it has one."""
    for bar in function.bars:
        memory = bar.kind.value != "I/O"
        if bar.index == 0 and bar0 >= 0:
            yield Region(bar.index, bar.size, memory, bar0, DOORBELL_PAGE)
        else:
            yield Region(bar.index, bar.size, memory)
    yield Region(CONFIG_REGION, SIZE, memory=False)


def parse_mac(text: str) -> bytes:
    """Return a unicast address written as six hexadecimal bytes with colons or dashes."""
    parts = text.replace("-", ":").split(":")
    try:
        mac = bytes(int(part, 16) for part in parts if 1 <= len(part) <= 2)
    except ValueError:
        mac = b""
    if len(mac) != 6 or len(parts) != 6:
        raise UsageError(f"the MAC address must be six hexadecimal bytes as 52:54:00:82:57:60, not {text!r}")
    if mac[0] & 1 or not any(mac):
        raise UsageError(f"the MAC address must be unicast and not zero, not {text!r}")
    return mac


def parse_rate(text: str) -> int | None:
    """Return the rate in Mb/s: None follows the link, 0 is unlimited."""
    if text in NAMED_RATES:
        return NAMED_RATES[text]
    if text in ("10", "100", "1000"):
        return int(text)
    raise UsageError(f"the rate must be auto, 10, 100, 1000 or unlimited, not {text!r}")


def parse_threads(threads: int, engine: str) -> int:
    """Return how many threads are to carry packets. Raises UsageError."""
    if not 1 <= threads <= THREADS_MOST:
        raise UsageError(f"threads must be 1 to {THREADS_MOST}, not {threads}")
    if threads > 1 and engine != "native":
        raise UsageError(f"threads must have the native engine, not {engine}: Python runs one at a time")
    return threads


def parse_gap(text: str) -> int:
    """Return microseconds, 0 to LEAST_GAP_MOST_US."""
    if not text.isascii() or not text.isdigit() or int(text) > LEAST_GAP_MOST_US:
        raise UsageError(f"the least gap must be auto, or 0 to {LEAST_GAP_MOST_US} µs, not {text!r}")
    return int(text)


def read_nvm(path: Path | None) -> bytes | None:
    """Return the EEPROM image in ``path``: little-endian 16-bit words."""
    if path is None:
        return None
    try:
        image = path.read_bytes()
    except OSError as error:
        raise EnvironmentLacks(f"the NVM image {path} must be readable, and is not: {error.strerror}") from error
    if len(image) % 2 or not 128 <= len(image) <= NVM_MOST:
        raise UsageError(f"the NVM image must have 64 to {NVM_MOST // 2} words of 2 bytes, not {len(image)} bytes")
    return image


def load_patch(text: str) -> Callable[[Card], object]:
    """Return the function that ``FILE.py:FUNCTION`` names."""
    file, colon, name = text.rpartition(":")
    if not colon or not file or not name:
        raise UsageError(f"a patch must be FILE.py:FUNCTION, not {text!r}")
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"the patch's file must exist, and {path} does not")
    spec = importlib.util.spec_from_file_location(f"hilnic_patch_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"the patch's file must be Python, with a name that ends in .py, not {path}")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"the patch {path} must be importable, and raises {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        here = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        raise UsageError(f"{path} must have a function {name}, and has {', '.join(here) or 'none'}")
    return function  # type: ignore[no-any-return]
