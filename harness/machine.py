# SPDX-License-Identifier: BSD-3-Clause
"""The virtual machine as data: what is in it, and the QEMU command line that says so."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

AGENT_PORT = "hilnic.agent"
AGENT_DEVICE = f"/dev/virtio-ports/{AGENT_PORT}"
SSH_PORT = 22
MANAGEMENT_SLOT = 3
"""PCI device number of the management interface; the guest's init looks for it there."""
FIRST_PORT = 0x10
"""PCI device number of the first root port."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One guest: its kernel and root, and the hardware around it.

    ``root`` is a read-only block image, None when the initrd is all there is. ``slots`` are PCIe root ports, each
    of which takes one card later. ``memory_mb`` is shared memory, since a vfio-user card must map it.
    """

    kernel: Path
    initrd: Path | None
    root: Path | None
    cmdline: str
    accelerator: str = "tcg"
    cpus: int = 4
    memory_mb: int = 512
    slots: tuple[str, ...] = ("rp0", "rp1")
    iommu: bool = False

    def digest(self) -> str:
        """Return a digest of everything but the paths' contents (whoever makes the images knows those)."""
        data = {key: str(value) for key, value in asdict(self).items()}
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Lines:
    """Descriptors, open in QEMU, of the three lines into the guest: monitor, serial console, agent port."""

    monitor: int
    console: int
    agent: int


def accelerator_arguments(name: str) -> tuple[str, ...]:
    """Return the options for ``kvm`` or ``tcg``; each emulated CPU has a thread of its own."""
    if name == "kvm":
        return ("-accel", "kvm", "-cpu", "host")
    return ("-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max")


def machine_arguments(machine: Machine, lines: Lines, incoming: Path | None = None) -> tuple[str, ...]:
    """Return QEMU's arguments, without the program. With ``incoming`` the guest continues a snapshot."""
    arguments = [
        *("-name", "hilnic", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", "q35,memory-backend=ram,kernel-irqchip=split" if machine.iommu else "q35,memory-backend=ram"),
        *accelerator_arguments(machine.accelerator),
        *("-smp", str(machine.cpus), "-m", f"{machine.memory_mb}M"),
        *("-object", f"memory-backend-memfd,id=ram,size={machine.memory_mb}M,share=on"),
        *("-chardev", f"socket,id=monitor,fd={lines.monitor}", "-mon", "chardev=monitor,mode=control"),
        *("-chardev", f"socket,id=console,fd={lines.console}", "-device", "isa-serial,chardev=console"),
        *("-kernel", str(machine.kernel), "-append", machine.cmdline),
    ]
    if machine.initrd is not None:
        arguments += ["-initrd", str(machine.initrd)]
    if machine.iommu:
        arguments += ["-device", "intel-iommu,caching-mode=on"]
    if machine.root is not None:
        arguments += [
            *("-blockdev", f"driver=raw,node-name=root,read-only=on,file.driver=file,file.filename={machine.root}"),
            *("-device", "virtio-blk-pci,drive=root,addr=2"),
        ]
    arguments += [
        *("-netdev", f"user,id=mgmt,restrict=on,hostfwd=tcp:127.0.0.1:0-:{SSH_PORT}"),
        *("-device", f"virtio-net-pci,netdev=mgmt,id=mgmt,romfile=,addr={MANAGEMENT_SLOT}"),
        *("-chardev", f"socket,id=agent,fd={lines.agent}", "-device", "virtio-serial-pci,addr=4"),
        *("-device", f"virtserialport,chardev=agent,name={AGENT_PORT}"),
    ]
    for number, slot in enumerate(machine.slots):
        place = f"bus=pcie.0,addr={FIRST_PORT + number:#x},chassis={number + 1},slot={number + 1}"
        arguments += ["-device", f"pcie-root-port,id={slot},{place}"]
    if incoming is not None:
        arguments += ["-incoming", json.dumps({"channel-type": "main", "addr": {"transport": "file", **at(incoming)}})]
    return tuple(arguments)


def at(path: Path) -> dict[str, Any]:
    """Return the place of a snapshot as QEMU's file migration wants it."""
    return {"filename": str(path), "offset": 0}


def vfio_user_card(
    socket: Path, slot: str, ident: str = "card", *, posted: bool = True, patience_s: int = 0
) -> dict[str, Any]:
    """Return the device_add arguments of a card that an emulator serves at ``socket``.

    Unless writes are ``posted``, a CPU that writes a register waits until the card has answered. QEMU gives up a card
    that does not answer for ``patience_s`` seconds (0: its own 5).
    """
    address = {"type": "unix", "path": str(socket)}
    waits = {} if posted else {"x-no-posted-writes": True}
    patience = {"x-msg-timeout": patience_s * 1000} if patience_s else {}
    return {"driver": "vfio-user-pci", "id": ident, "bus": slot, "socket": address, **waits, **patience}


def qemu_igb(netdev: str, slot: str, mac: str, ident: str = "card") -> dict[str, Any]:
    """Return the device_add arguments of QEMU's own 82576 on backend ``netdev``."""
    return {"driver": "igb", "id": ident, "bus": slot, "netdev": netdev, "mac": mac, "romfile": ""}


def virtio_net(netdev: str, slot: str, mac: str, ident: str = "card") -> dict[str, Any]:
    """Return the device_add arguments of the paravirtual NIC, with one queue pair."""
    return {"driver": "virtio-net-pci", "id": ident, "bus": slot, "netdev": netdev, "mac": mac, "romfile": ""}


def datagram_netdev(ident: str, local: Path, remote: Path) -> dict[str, Any]:
    """Return the netdev_add arguments of a wire of Unix datagrams, one frame each."""
    places = {"local": {"type": "unix", "path": str(local)}, "remote": {"type": "unix", "path": str(remote)}}
    return {"type": "dgram", "id": ident, **places}
