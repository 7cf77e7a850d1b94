# SPDX-License-Identifier: BSD-3-Clause
"""The lab: off → emulator → booted → bound. Ask for a state; what it takes to get there is the lab's affair."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from harness import frames
from harness.card import Card
from harness.emulator import ENGINES, CardOptions, CardProcess, CardSockets
from harness.errors import GuestFault, LabBroken, NotComparable, WorldError
from harness.guest.driver import load_driver
from harness.machine import datagram_netdev, qemu_igb, vfio_user_card
from harness.peer import Peer
from harness.sanitizer import COMMAND_LINE, IOMMU
from harness.snapshot import Materials, inputs_of, machine_for, restore, snapshot
from harness.traffic import Station

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.accel import Accelerator
    from harness.guest.console import Console
    from harness.guest.driver import DriverFile
    from harness.guest.guest import Guest
    from harness.guest.netif import NetIf
    from harness.qemu import Vm

QEMU_IGB = "qemu-igb"
SLOT = "rp0"
CARD = "card"
NETDEV = "wire"
NAME = "eth0"
BIND_S = 30.0
CARRIER_S = 20.0
PEER_MAC = "52:54:00:70:65:65"
GUEST_IPV4, PEER_IPV4 = "198.18.0.1", "198.18.0.2"
GUEST_IPV6, PEER_IPV6 = "fd00:82:576::1", "fd00:82:576::2"


@dataclass(frozen=True, slots=True)
class Bound:
    """The lab with the guest's driver bound to the card and the link up.

    ``card`` is None for QEMU's own igb, which has no control socket.
    """

    netif: NetIf
    guest: Guest
    peer: Peer
    console: Console
    options: CardOptions
    control: Card | None

    @property
    def card(self) -> Card:
        """The control connection. Raises NotComparable for a card without one."""
        if self.control is None:
            raise NotComparable(f"the card must have a control socket, and {self.options.kind} has none")
        return self.control


class Plugged:
    """A card with its link partner. Its process starts at once; ``insert`` puts it into a guest and connects to it."""

    def __init__(self, options: CardOptions, sockets: CardSockets, folder: Path) -> None:
        self.options = options
        self.process: CardProcess | None = None
        self.control: Card | None = None
        self._sockets = sockets
        self._vm: Vm | None = None
        station = Station.of(PEER_MAC, PEER_IPV4, PEER_IPV6)
        guest = Station.of(options.mac, GUEST_IPV4, GUEST_IPV6)
        with ExitStack() as undo:
            self.peer = undo.enter_context(Peer(sockets.peer, sockets.wire, station, guest))
            if options.kind != QEMU_IGB:
                self.process = undo.enter_context(CardProcess(options, sockets, folder))
            self._undo = undo.pop_all()

    def insert(self, vm: Vm) -> None:
        """Plug the card into the running guest of ``vm``, once it is ready."""
        self._vm = vm
        if self.process is None:
            vm.add_netdev(datagram_netdev(NETDEV, self._sockets.wire, self._sockets.peer))
            self._undo.callback(vm.drop_netdev, NETDEV)
            vm.plug(qemu_igb(NETDEV, SLOT, self.options.mac, CARD))
        else:
            self.process.wait_ready()
            self.control = self._undo.enter_context(Card(self._sockets.control))
            options = self.options
            vm.plug(
                vfio_user_card(
                    self._sockets.vfio_user, SLOT, CARD, posted=options.posted, patience_s=options.patience_s
                )
            )

    def unplug(self) -> None:
        """Take the card out of the running guest, then end it."""
        if self._vm is not None:
            self._vm.unplug(CARD)
        self._undo.close()

    def abandon(self) -> None:
        """End the card without asking a guest that is about to end too."""
        with contextlib.suppress(LabBroken):
            self._undo.close()


class Lab:
    """One guest at a time, and at most one card in it.

    ``folder`` gets the artefacts: guest-N/ (console.log, qemu.argv, qemu.log), card-N/ (emulator.log, wire.pcapng).
    ``sanitize`` (out of harness.sanitizer.MODES) makes a guest that the DMA sanitizer can see through.
    ``default`` is the card that ``bound`` plugs when it is not told otherwise; ``driver`` takes the place of the
    guest's own, or comes later by ``take_driver``. ``timings`` holds the seconds of the last restore, binding and
    link-up.
    """

    def __init__(
        self,
        materials: Materials,
        accelerator: Accelerator,
        folder: Path,
        *,
        cpus: int = 4,
        default: CardOptions | None = None,
        say: Callable[[str], None] = lambda _text: None,
        driver: DriverFile | None = None,
        driver_later: bool = False,
        sanitize: str = "",
    ) -> None:
        self.driver: DriverFile | None = None
        self.materials = materials
        self._without_driver = driver_later or driver is not None
        self.accelerator = accelerator
        self.folder = folder
        self.default = default or CardOptions()
        self.machine = machine_for(
            materials.image,
            accelerator=accelerator.name,
            cpus=cpus,
            iommu=sanitize == IOMMU,
            more=COMMAND_LINE if sanitize else "",
        )
        self.timings: dict[str, float] = {}
        self._say = say
        self._vm: Vm | None = None
        self._guest: Guest | None = None
        self._plugged: Plugged | None = None
        self._bound: Bound | None = None
        self._guests = 0
        self._cards = 0
        self._inserted = 0.0
        self._undo = ExitStack()
        # Socket paths are limited to 107 bytes, and nobody knows how deep the repository lies.
        if driver is not None:
            self.take_driver(driver)
        self._sockets = Path(self._undo.enter_context(tempfile.TemporaryDirectory(prefix="hilnic-")))

    @property
    def state(self) -> str:
        """off, booted, emulator (a card is plugged, its driver not yet bound) or bound."""
        if self._bound is not None:
            return "bound"
        if self._plugged is not None:
            return "emulator"
        return "booted" if self._guest is not None else "off"

    @property
    def cards(self) -> int:
        """How many cards there have been."""
        return self._cards

    @property
    def guests(self) -> int:
        """How many guests there have been."""
        return self._guests

    @property
    def now(self) -> Bound | None:
        """What is bound, in whatever health: nothing is replaced for who asks; None if nothing is."""
        return self._bound

    @property
    def guest_folder(self) -> Path:
        """Where the present guest's artefacts are."""
        return self.folder / f"guest-{self._guests}"

    @property
    def card_folder(self) -> Path:
        """Where the present card's artefacts are."""
        return self.folder / f"card-{self._cards}"

    def booted(self) -> Guest:
        """Return a guest that runs, with or without a card. A guest that has died is replaced."""
        if self._guest is not None and not self._healthy():
            self.shut()
        if self._guest is None:
            self._restore()
        return self.present

    @property
    def present(self) -> Guest:
        """The guest that runs now. Raises LabBroken if there is none."""
        if self._guest is None:
            raise LabBroken("a guest must run, and none does")
        return self._guest

    @property
    def vm(self) -> Vm:
        """The QEMU that runs now. Raises LabBroken if there is none."""
        if self._vm is None:
            raise LabBroken("a guest must run, and none does")
        return self._vm

    def _healthy(self) -> bool:
        try:
            self.present.check()
        except (GuestFault, LabBroken):
            return False
        return True

    def _restore(self) -> None:
        saved = self._snapshot()
        self._guests += 1
        self._say("continuing the guest from its snapshot")
        began = time.monotonic()
        try:
            self._vm, self._guest = restore(self.materials, self.machine, saved, self.guest_folder)
        except LabBroken as error:
            self._say(f"the snapshot is of no use, making another: {error}")
            shutil.rmtree(saved)
            saved = self._snapshot()
            self._vm, self._guest = restore(self.materials, self.machine, saved, self.guest_folder)
        if self.driver is not None:
            self._load(self._guest, self.driver)
        self.timings["restored"] = time.monotonic() - began

    def _snapshot(self) -> Path:
        return snapshot(self.materials, self.machine, self._say, driver=not self._without_driver)

    def take_driver(self, driver: DriverFile) -> None:
        """Use ``driver`` from now on, in the guest that runs (it has none yet), too. UsageError if it does not fit."""
        driver.must_fit(self.materials.image.kernel_release)
        self.driver = driver
        if self._guest is not None:
            self._load(self._guest, driver)

    def _load(self, guest: Guest, driver: DriverFile) -> None:
        self._say(f"loading {driver.path}")
        try:
            load_driver(guest, driver)
        except WorldError:
            self.shut()  # a guest without a driver would let every check wait for an interface
            raise

    def bound(self, options: CardOptions | None = None) -> Bound:
        """Return the guest with its driver bound to the card, link up, addresses set.

        Without ``options`` whichever card is plugged will do (none: the default); with them, a card of other options is
        replaced, see ``unplug``.
        """
        options = self._like_default(options)
        if self._guest is not None and not self._healthy():
            self.shut()
        if self._plugged is not None and (self._bound is None or options not in (None, self._bound.options)):
            self.unplug()
        if self._bound is None:
            self._bind(options or self.default)
        assert self._bound is not None
        return self._bound

    def _like_default(self, options: CardOptions | None) -> CardOptions | None:
        """Let a card that does not say by which engine it is run, or with which faults, be as the default."""
        if options is None or options.kind == QEMU_IGB:
            return options
        default = self.default
        faults = options.faults or default.faults
        return replace(options, engine=options.engine or default.engine, faults=faults, log=options.log or default.log)

    def replug(self, options: CardOptions | None = None) -> Bound:
        """Replace the card by a new one, of ``options`` or the default; see ``unplug``."""
        self.unplug()
        return self.bound(options or self.default)

    def _bind(self, options: CardOptions) -> None:
        plugged = self.plug(options)
        guest = self.present
        began = self._inserted
        netif = guest.netif(NAME)
        self._wait_netif(guest)
        self.timings["bound"] = time.monotonic() - began
        configure(guest, netif)
        netif.wait_carrier(seconds=CARRIER_S)
        self.timings["link up"] = time.monotonic() - began
        self._bound = Bound(netif, guest, plugged.peer, guest.console, options, plugged.control)

    def plug(self, options: CardOptions | None = None) -> Plugged:
        """Start a card and plug it, without waiting for the driver (state ``emulator``).

        Raises NotComparable if the lab's cards are QEMU's own and the options ask for what those cannot be.
        """
        if (
            self.default.kind == QEMU_IGB
            and options is not None
            and replace(options, mac=self.default.mac)
            not in (
                self.default,
                CardOptions(QEMU_IGB, mac=self.default.mac),
            )
        ):
            raise NotComparable(f"the card must be as {QEMU_IGB} is, not {options}")
        options = self._like_default(options)
        self._cards += 1
        sockets = CardSockets(
            *(self._sockets / f"{name}-{self._cards}" for name in ("vfio", "control", "wire", "peer"))
        )
        self._say("plugging the card")
        plugged = Plugged(options or self.default, sockets, self.card_folder)
        try:
            guest = self.booted()  # the card starts meanwhile
            assert self._vm is not None
            self._inserted = time.monotonic()
            plugged.insert(self._vm)
        except BaseException:
            plugged.abandon()
            raise
        self._plugged = plugged
        if plugged.process is not None:
            guest.watch(plugged.process.must_run)
        return plugged

    def _wait_netif(self, guest: Guest) -> None:
        path = f"/sys/class/net/{NAME}/type"
        found = guest.agent.start("wait_text", path=path, text="1", seconds=BIND_S).result(BIND_S + 5)
        if found is None:
            raise GuestFault(
                f"the guest must make {NAME} within {BIND_S:g} s; its console says:\n{guest.console.last()}"
            )

    def unplug(self) -> None:
        """Take the card out, if there is one. With one of ours the guest goes too.

        QEMU 11.1 aborts when a vfio-user card with MSI-X leaves: vfio_user_pci_finalize removes the PBA's memory region
        from a BAR that has already let go of it. Only QEMU's own card can leave a running guest.
        """
        plugged = self._plugged
        if plugged is None:
            return
        if plugged.process is not None:
            self.shut()
            return
        self._plugged = self._bound = None
        self.present.undo.run()
        self.present.forget_watched()
        plugged.unplug()

    def fresh(self, options: CardOptions | None = None) -> Bound:
        """Throw guest and card away, and bind anew from the snapshot."""
        self.shut()
        return self.bound(options)

    def pids(self) -> dict[str, int]:
        """Return the processes: ``QEMU`` and ``card``, those that run."""
        found = {} if self._vm is None else {"QEMU": self._vm.child.pid}
        if self._plugged is not None and self._plugged.process is not None:
            found["card"] = self._plugged.process.child.pid
        return found

    def facts(self) -> dict[str, str]:
        """Return what a report says of the surroundings."""
        driver = {} if self.driver is None else {"driver": str(self.driver)}
        return driver | {
            "engine": self.default.engine or ("python" if self.default.patches else ENGINES[0]),
            "accelerator": f"{self.accelerator.name}: {self.accelerator.why}",
            "kernel": self.materials.image.kernel_release,
            "qemu": f"{self.materials.qemu.version} ({self.materials.qemu.origin})",
            "snapshot": str(inputs_of(self.materials, self.machine)["machine"]),
        }

    def shut(self) -> None:
        """End guest and card; the state is off."""
        plugged, guest, vm = self._plugged, self._guest, self._vm
        self._plugged = self._bound = self._guest = self._vm = None
        if guest is not None:
            guest.close()
        if vm is not None:
            vm.close()
        if plugged is not None:
            plugged.abandon()

    def close(self) -> None:
        """End everything."""
        self.shut()
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def configured(guest: Guest) -> bool:
    """Tell whether the interface still has what ``configure`` gave it: taking it down costs IPv6 and neighbours."""
    addresses, neighbours = guest.agent.read_many(["/proc/net/if_inet6", "/proc/net/arp"])
    return frames.ip(GUEST_IPV6).hex() in (addresses or "") and PEER_IPV4 in (neighbours or "")


def configure(guest: Guest, netif: NetIf) -> None:
    """Give the interface its addresses and its one neighbour, and bring it up."""
    lines = (
        f"address replace {GUEST_IPV4}/24 dev {netif.name}",
        f"address replace {GUEST_IPV6}/64 dev {netif.name} nodad",
        f"link set dev {netif.name} up",
        f"neigh replace {PEER_IPV4} lladdr {PEER_MAC} dev {netif.name} nud permanent",
        f"neigh replace {PEER_IPV6} lladdr {PEER_MAC} dev {netif.name} nud permanent",
    )
    answer = guest.agent.call("run", argv=["ip", "-batch", "-"], seconds=20.0, stdin="\n".join(lines) + "\n")
    if answer["rc"] != 0:
        raise GuestFault(f"ip must take {lines}, but said: {answer['err'].strip()}")
