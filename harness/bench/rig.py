# SPDX-License-Identifier: BSD-3-Clause
"""One guest with two cards in it, ours and QEMU's own, each with a far end of the same kind.

Both stay plugged, since a vfio-user card cannot leave a running guest (Lab.unplug); the one that is not measured idles.
"""

from __future__ import annotations

import re
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from harness.bench.far_end import FarEnd
from harness.bench.far_stream import StreamEnd
from harness.card import Card
from harness.deadline import Deadline
from harness.emulator import CardOptions, CardProcess, CardSockets
from harness.errors import GuestFault, LabBroken
from harness.machine import datagram_netdev, qemu_igb, vfio_user_card
from harness.snapshot import restore

if TYPE_CHECKING:
    from harness.bench.namespace import Namespace
    from harness.guest.guest import Guest
    from harness.guest.netif import NetIf
    from harness.machine import Machine
    from harness.snapshot import Materials

BIND_S = 30.0
CARRIER_S = 20.0
CONNECT_S = 10.0
SLOTS = ("rp0", "rp1")
MACS = ("52:54:00:82:57:60", "52:54:00:82:57:61")
PARTNER_MAC = "52:54:00:70:65:65"
QUEUE_OF = re.compile(r"-(?:rx|tx|TxRx)-(\d+)$")
DISCARD = 9
"""UDP port that is measured with (RFC 863); pktgen's default too."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a guest is continued from."""

    materials: Materials
    machine: Machine
    saved: Path


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two cards: its interface in the guest, and both ends' addresses. TAP wires have no ``far_end``."""

    guest: Guest
    netif: NetIf
    address: str
    mac: str
    partner: str
    partner_mac: str
    far_end: FarEnd | StreamEnd | None
    control: Card | None

    @property
    def wire(self) -> FarEnd | StreamEnd:
        """The far end. Raises LabBroken for a card on a TAP wire."""
        if self.far_end is None:
            raise LabBroken(f"{self.netif.name} must lead to the harness, and leads to a TAP interface")
        return self.far_end

    def with_queues(self, count: int) -> None:
        """Let the interface have ``count`` queue pairs, and wait for its carrier if that took it down."""
        if self.netif.queue_count != (count, count):
            self.run("ethtool", "-L", self.netif.name, "combined", str(count), seconds=20.0)
            self.netif.wait_carrier(seconds=CARRIER_S)

    def spread(self) -> None:
        """Have CPU N handle the interrupts of queue N, round about: the kernel's choice differs from boot to boot."""
        for name, irq in self.netif.irqs().items():
            if (queue := QUEUE_OF.search(name)) is not None:
                self.guest.proc.set_affinity(irq.number, [int(queue[1]) % self.guest.cpus])

    def run(self, *argv: str, seconds: float) -> str:
        """Run a program on any CPU of the guest and return what it printed. Raises GuestFault if it fails."""
        cpus = list(range(self.guest.cpus))
        pending = self.guest.agent.start("run", cpus=cpus, argv=list(argv), seconds=seconds)
        answer = pending.result(seconds + 5.0)
        if answer["rc"] != 0:
            said = (answer["err"] or answer["out"]).strip()
            raise GuestFault(f"{' '.join(argv)} must succeed in the guest, but ended with {answer['rc']}: {said}")
        return str(answer["out"])


class Wiring(Protocol):
    """What the cards of a rig are wired to."""

    @property
    def enter(self) -> tuple[str, ...]:
        """The first words of the command lines of QEMU and the card."""

    def wire(self, place: int) -> str:
        """Return the emulator's ``--wire`` for the card at ``place``."""

    def netdev(self, place: int, ident: str) -> dict[str, Any]:
        """Return QEMU's backend for the card at ``place``."""

    def connect(self, place: int) -> FarEnd | StreamEnd | None:
        """Make the far end work, once the card's end is there; return it if it is ours."""

    def close(self) -> None:
        """Take the far ends away."""


class Datagrams:
    """Wires of Unix datagrams to far ends in this process."""

    enter: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._undo = ExitStack()
        self._folder = Path(self._undo.enter_context(tempfile.TemporaryDirectory(prefix="hilnic-bench-")))
        self._ends = [
            self._undo.enter_context(FarEnd(self._path("far", place), self._path("near", place), DISCARD))
            for place in range(len(SLOTS))
        ]

    def _path(self, which: str, place: int) -> Path:
        return self._folder / f"{which}-{place}"

    def wire(self, place: int) -> str:
        """Return the emulator's ``--wire``."""
        return f"dgram:local={self._path('near', place)},remote={self._path('far', place)}"

    def netdev(self, place: int, ident: str) -> dict[str, Any]:
        """Return QEMU's backend."""
        return datagram_netdev(ident, self._path("near", place), self._path("far", place))

    def connect(self, place: int) -> FarEnd:
        """Connect the far end to the card's end."""
        self._ends[place].connect(Deadline.after(CONNECT_S))
        return self._ends[place]

    def close(self) -> None:
        """Close the far ends."""
        self._undo.close()


class Streams:
    """Wires of Unix streams to far ends in this process, whom the cards call."""

    enter: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._undo = ExitStack()
        self._folder = Path(self._undo.enter_context(tempfile.TemporaryDirectory(prefix="hilnic-bench-")))
        self._ends = [self._undo.enter_context(StreamEnd(self._path(place))) for place in range(len(SLOTS))]

    def _path(self, place: int) -> Path:
        return self._folder / f"far-{place}"

    def wire(self, place: int) -> str:
        """Return the emulator's ``--wire``."""
        return f"stream:connect={self._path(place)}"

    def netdev(self, place: int, ident: str) -> dict[str, Any]:
        """Return QEMU's backend."""
        return {
            "type": "stream",
            "id": ident,
            "server": False,
            "addr": {"type": "unix", "path": str(self._path(place))},
        }

    def connect(self, place: int) -> StreamEnd:
        """Take the card's call."""
        self._ends[place].connect(Deadline.after(CONNECT_S))
        return self._ends[place]

    def close(self) -> None:
        """Close the far ends."""
        self._undo.close()


class Nobody:
    """Cables that lead nowhere, the cheapest there are: an own hub in QEMU, and the emulator's null wire."""

    enter: tuple[str, ...] = ()

    def wire(self, place: int) -> str:  # noqa: ARG002 - all are alike
        """Return the emulator's ``--wire``."""
        return "null"

    def netdev(self, place: int, ident: str) -> dict[str, Any]:
        """Return QEMU's backend."""
        return {"type": "hubport", "id": ident, "hubid": place}

    def connect(self, place: int) -> None:
        """Do nothing: nobody is there."""

    def close(self) -> None:
        """Do nothing."""


class Taps:
    """TAP interfaces in a network namespace, where the host's kernel answers."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self.enter = namespace.enter

    def wire(self, place: int) -> str:
        """Return the emulator's ``--wire``; the interface comes to be when it is opened."""
        return f"tap:tap{place}"

    def netdev(self, place: int, ident: str) -> dict[str, Any]:
        """Return QEMU's backend."""
        return {"type": "tap", "id": ident, "ifname": f"tap{place}", "script": "no", "downscript": "no"}

    def connect(self, place: int) -> None:
        """Give the host's end its address."""
        self._namespace.address(f"tap{place}", f"{partner_of(place)}/24")

    def close(self) -> None:
        """Leave the interfaces to whoever holds them."""


def address_of(place: int) -> str:
    """Return the guest's address on the card at ``place`` (RFC 2544's benchmarking range)."""
    return f"198.18.{place + 1}.1"


def partner_of(place: int) -> str:
    """Return the far end's address."""
    return f"198.18.{place + 1}.2"


class Rig:
    """A guest continued from ``start`` with our card (``ours``) and QEMU's (``theirs``), links up, nothing recorded.

    ``card`` are more words for the command line of ours. ``alone``: without QEMU's.
    """

    def __init__(
        self, start: Start, wiring: Wiring, folder: Path, card: tuple[str, ...] = (), *, alone: bool = False
    ) -> None:
        self._undo = ExitStack()
        self._card = card
        self._folder = folder
        self._wiring = wiring
        with ExitStack() as undo:
            undo.callback(wiring.close)
            self._sockets = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="hilnic-bench-")))
            self._process = undo.enter_context(self._card_process())
            qemu = replace(start.materials.qemu, argv_prefix=(*wiring.enter, *start.materials.qemu.argv_prefix))
            materials = replace(start.materials, qemu=qemu)
            self._vm, self._guest = restore(materials, start.machine, start.saved, folder)
            undo.callback(self._vm.close)
            undo.callback(self._guest.close)
            self.ours = self._plug_ours(undo)
            self._theirs = None if alone else self._plug_theirs()
            self._undo = undo.pop_all()

    @property
    def theirs(self) -> Side:
        """QEMU's card. Raises LabBroken if ours is alone."""
        if self._theirs is None:
            raise LabBroken("QEMU's igb must be plugged too, and our card is alone")
        return self._theirs

    @property
    def pids(self) -> dict[str, int]:
        """The processes of the card and of QEMU."""
        return {"card": self._process.child.pid, "QEMU": self._vm.child.pid}

    def _card_process(self) -> CardProcess:
        sockets = CardSockets(*(self._sockets / name for name in ("vfio", "control", "wire", "peer")))
        options = CardOptions(
            mac=MACS[0], rate="unlimited", wire=self._wiring.wire(0), capture=False, arguments=self._card
        )
        return CardProcess(options, sockets, self._folder / "card", (*self._wiring.enter, sys.executable))

    def _plug_ours(self, undo: ExitStack) -> Side:
        self._process.wait_ready()
        control = undo.enter_context(Card(self._sockets / "control"))
        control.call("record", kinds=[])
        self._vm.plug(vfio_user_card(self._sockets / "vfio", SLOTS[0], "ours"))
        self._guest.watch(self._process.must_run)
        return self._bound(0, control)

    def _plug_theirs(self) -> Side:
        self._vm.add_netdev(self._wiring.netdev(1, "wire"))
        self._vm.plug(qemu_igb("wire", SLOTS[1], MACS[1], "theirs"))
        return self._bound(1, None)

    def _bound(self, place: int, control: Card | None) -> Side:
        """Wait for the driver, bring the interface up and wait for its carrier."""
        agent = self._guest.agent
        netif = self._guest.netif(f"eth{place}")
        found = agent.start("wait_text", path=netif.path("type"), text="1", seconds=BIND_S).result(BIND_S + 5)
        if found is None:
            raise GuestFault(f"the guest must make {netif.name} within {BIND_S:g} s, and has not")
        far_end = self._wiring.connect(place)
        side = Side(
            self._guest, netif, address_of(place), MACS[place], partner_of(place), PARTNER_MAC, far_end, control
        )
        netif.ip("address", "add", f"{side.address}/24", "dev", netif.name)
        netif.up()
        if not isinstance(self._wiring, Taps):
            netif.ip("neigh", "replace", side.partner, "lladdr", PARTNER_MAC, "dev", netif.name, "nud", "permanent")
        netif.wait_carrier(seconds=CARRIER_S)
        return side

    def close(self) -> None:
        """End guest, card and far ends."""
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
