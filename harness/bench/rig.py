# SPDX-License-Identifier: BSD-3-Clause
"""One guest with several cards in it, ours and QEMU's own, each with a far end of the same kind.

All stay plugged, since a vfio-user card cannot leave a running guest (Lab.unplug); those that are not measured idle.
"""

from __future__ import annotations

import re
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from harness.bench.processor import Split, look
from harness.bench.wirings import PARTNER_MAC, Taps, address_of, mac_of, partner_of
from harness.card import Card
from harness.emulator import CardOptions, CardProcess, CardSockets
from harness.errors import GuestFault, LabBroken
from harness.machine import qemu_igb, vfio_user_card, virtio_net
from harness.snapshot import restore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.bench.wirings import Sender, Wiring
    from harness.guest.guest import Guest
    from harness.guest.netif import NetIf
    from harness.machine import Machine
    from harness.snapshot import Materials

BIND_S = 30.0
CARRIER_S = 20.0
SLOTS = ("rp0", "rp1", "rp2", "rp3")
"""The root ports of the guest; each takes a card."""

HILNIC, QEMU_IGB, VIRTIO = "hilnic", "qemu-igb", "virtio-net"
QUEUE_OF = re.compile(r"-(?:rx|tx|TxRx)-(\d+)$")


@dataclass(frozen=True, slots=True)
class Start:
    """What a guest is continued from."""

    materials: Materials
    machine: Machine
    saved: Path


@dataclass(frozen=True, slots=True)
class Side:
    """One of the cards: its interface in the guest, and both ends' addresses."""

    guest: Guest
    netif: NetIf
    address: str
    mac: str
    partner: str
    partner_mac: str
    far_end: Sender | None
    control: Card | None
    most_queues: int = 16

    @property
    def wire(self) -> Sender:
        """The far end. Raises LabBroken where nobody is."""
        if self.far_end is None:
            raise LabBroken(f"{self.netif.name} must lead to somebody, and leads nowhere")
        return self.far_end

    def with_queues(self, count: int) -> None:
        """Let the interface have ``count`` queue pairs or what it can have; wait for its carrier if it went down."""
        count = min(count, self.most_queues)
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


class Rig:
    """A guest continued from ``start`` with cards of ``kinds`` in it, links up, nothing recorded.

    ``sides`` are they, in order. ``card`` are more words for the command line of ours.
    """

    def __init__(
        self,
        start: Start,
        wiring: Wiring,
        folder: Path,
        kinds: Sequence[str],
        card: tuple[str, ...] = (),
    ) -> None:
        self._undo = ExitStack()
        self._card = card
        self._folder = folder
        self._wiring = wiring
        with ExitStack() as undo:
            undo.callback(wiring.close)
            self._sockets = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="hilnic-bench-")))
            self._processes = {
                place: undo.enter_context(self._card_process(place))
                for place, kind in enumerate(kinds)
                if kind == HILNIC
            }
            qemu = replace(start.materials.qemu, argv_prefix=(*wiring.enter, *start.materials.qemu.argv_prefix))
            materials = replace(start.materials, qemu=qemu)
            self._vm, self._guest = restore(materials, start.machine, start.saved, folder)
            undo.callback(self._vm.close)
            undo.callback(self._guest.close)
            self.sides = tuple(self._plug(place, kind, undo) for place, kind in enumerate(kinds))
            self._undo = undo.pop_all()

    def pids(self, place: int) -> dict[str, int]:
        """The processes of QEMU and, if it is ours, of the card at ``place``."""
        card = self._processes.get(place)
        return {"QEMU": self._vm.child.pid, **({} if card is None else {"card": card.child.pid})}

    def used(self, place: int) -> Split:
        """Return the CPU time that the guest, QEMU and the card at ``place`` have used so far."""
        pids = self.pids(place)
        return look(pids["QEMU"], pids.get("card"))

    def _paths(self, place: int) -> CardSockets:
        names = ("vfio", "control", "wire", "peer")
        return CardSockets(*(self._sockets / f"{name}-{place}" for name in names))

    def _card_process(self, place: int) -> CardProcess:
        options = CardOptions(
            mac=mac_of(place), rate="unlimited", wire=self._wiring.wire(place), capture=False, arguments=self._card
        )
        folder = self._folder / f"card-{place}"
        return CardProcess(options, self._paths(place), folder, (*self._wiring.enter, sys.executable))

    def _plug(self, place: int, kind: str, undo: ExitStack) -> Side:
        """Plug one card, wait for the driver, bring the interface up and wait for its carrier."""
        control, netdev = None, f"wire{place}"
        if (process := self._processes.get(place)) is not None:
            process.wait_ready()
            control = undo.enter_context(Card(self._paths(place).control))
            control.call("record", kinds=[])
            self._vm.plug(vfio_user_card(self._paths(place).vfio_user, SLOTS[place], f"card{place}"))
            self._guest.watch(process.must_run)
        else:
            self._vm.add_netdev(self._wiring.netdev(place, netdev))
            make = {QEMU_IGB: qemu_igb, VIRTIO: virtio_net}[kind]
            self._vm.plug(make(netdev, SLOTS[place], mac_of(place), f"card{place}"))
        agent = self._guest.agent
        netif = self._guest.netif(f"eth{place}")
        found = agent.start("wait_text", path=netif.path("type"), text="1", seconds=BIND_S).result(BIND_S + 5)
        if found is None:
            raise GuestFault(f"the guest must make {netif.name} within {BIND_S:g} s, and has not")
        far_end = self._wiring.connect(place)
        side = Side(
            self._guest,
            netif,
            address_of(place),
            mac_of(place),
            partner_of(place),
            PARTNER_MAC,
            far_end,
            control,
            1 if kind == VIRTIO else 16,
        )
        netif.ip("address", "add", f"{side.address}/24", "dev", netif.name)
        netif.up()
        if not isinstance(self._wiring, Taps):
            netif.ip("neigh", "replace", side.partner, "lladdr", PARTNER_MAC, "dev", netif.name, "nud", "permanent")
        netif.wait_carrier(seconds=CARRIER_S)
        return side

    def close(self) -> None:
        """End guest, cards and far ends."""
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
