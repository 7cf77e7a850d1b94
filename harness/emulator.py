# SPDX-License-Identifier: BSD-3-Clause
"""The card's process: ``python -m emulator`` started, ready, and ended."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from harness.child import Child
from harness.deadline import Deadline, wait_until
from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

READY = b"hilnic: ready"
BUNDLE_LOG = "bundle.log"
READY_S = 30.0
REPOSITORY = Path(__file__).resolve().parents[1]
INTERRUPTS = ("msix", "msi", "intx")
KINDS = ("hilnic", "qemu-igb")
ENGINES = ("native", "python")


@dataclass(frozen=True, slots=True)
class CardOptions:
    """Which card to plug. ``qemu-igb`` is QEMU's own 82576, for comparison; it knows only ``mac``.

    ``interrupts`` is the best scheme that the card shows; ``patches`` are FILE.py:FUNCTION; ``arguments`` are more
    words for the emulator's command line. ``wire`` is a wire in its grammar, empty for the one to the link partner;
    without ``capture`` no frame is written to wire.pcapng. Without ``posted`` a CPU of the guest that writes a register
    waits for the card's answer. ``engine`` runs the card; empty: the usual one, or the one that patches need.
    ``faults`` are in force from the start, each as ``hold_interrupts vector=3``. QEMU gives up a card that does not
    answer for ``patience_s`` seconds (0: its own 5). With ``log`` the card's log is kept, by which it can be replayed.
    """

    kind: str = "hilnic"
    interrupts: str = "msix"
    mac: str = "52:54:00:82:57:60"
    rate: str = "auto"
    msix_vectors: int | None = None
    patches: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    wire: str = ""
    capture: bool = True
    posted: bool = True
    engine: str = ""
    faults: tuple[str, ...] = ()
    patience_s: int = 0
    log: bool = False

    def __post_init__(self) -> None:
        """Refuse what no card can be."""
        if self.kind not in KINDS:
            raise UsageError(f"a card must be one of {', '.join(KINDS)}, not {self.kind!r}")
        if self.engine not in ("", *ENGINES):
            raise UsageError(f"an engine must be one of {', '.join(ENGINES)}, not {self.engine!r}")
        if self.interrupts not in INTERRUPTS:
            raise UsageError(f"interrupts must be one of {', '.join(INTERRUPTS)}, not {self.interrupts!r}")


@dataclass(frozen=True, slots=True)
class CardSockets:
    """Where a card is met: by QEMU, by the harness, and at both ends of its wire."""

    vfio_user: Path
    control: Path
    wire: Path
    peer: Path


def card_arguments(options: CardOptions, sockets: CardSockets, folder: Path) -> tuple[str, ...]:
    """Return the emulator's arguments."""
    arguments = [
        *("--socket", str(sockets.vfio_user), "--control", str(sockets.control)),
        *("--wire", options.wire or f"dgram:local={sockets.wire},remote={sockets.peer}"),
        *("--irq", options.interrupts, "--mac", options.mac, "--rate", options.rate),
    ]
    if options.capture:
        arguments += ["--capture", str(folder / "wire.pcapng")]
    if options.log:
        arguments += ["--bundle-log", str(folder / BUNDLE_LOG)]
    if options.msix_vectors is not None:
        arguments += ["--msix-vectors", str(options.msix_vectors)]
    engine = options.engine or ("python" if options.patches else "")
    if engine:
        arguments += ["--engine", engine]
    for patch in options.patches:
        arguments += ["--patch", patch]
    for fault in options.faults:
        arguments += ["--fault", fault]
    return (*arguments, *options.arguments)


class CardProcess:
    """A running emulator; its log is ``folder``/emulator.log. A client can connect once ``wait_ready`` has returned."""

    def __init__(self, options: CardOptions, sockets: CardSockets, folder: Path, python: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        argv = (*(python or (sys.executable,)), "-m", "emulator")
        argv += card_arguments(options, sockets, folder)
        (folder / "emulator.argv").write_text("\n".join(argv) + "\n")
        environment = {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
        self.child = Child("the card", argv, folder / "emulator.log", env=environment)

    def wait_ready(self) -> None:
        """Wait until the card serves. Raises LabBroken with its own words if it ends instead."""
        wait_until(self._ready, Deadline.after(READY_S), "the card saying that it is ready")

    def _ready(self) -> bool:
        self.child.must_run()
        return READY in self.child.log.read_bytes()

    def must_run(self) -> None:
        """Raise LabBroken with the card's last words if it has ended."""
        self.child.must_run()

    def close(self) -> None:
        """End the card."""
        self.child.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
