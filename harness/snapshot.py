# SPDX-License-Identifier: BSD-3-Clause
"""Guests that continue where an earlier boot was saved, from a cache named by all that they depend on."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guest_images.build import MANIFEST
from guest_images.cache import file_sha256, finished_folder, locked
from harness.deadline import Deadline
from harness.errors import EnvironmentLacks, UsageError
from harness.guest.deploy import agent_digest, deploy
from harness.guest.dql_probes import of_guest, save
from harness.guest.driver import NAME
from harness.guest.guest import DQL_PROBES, KALLSYMS, Guest
from harness.guest.probes import STANDARD
from harness.machine import Machine
from harness.qemu import Vm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from guest_images.build import Image
    from harness.setup.qemu import Qemu

BOOT_S = 180.0
READY = "hilnic: guest ready"
STATE = "state"
KEPT = 4
FORMAT = 4
"""To be counted up when what ``boot`` does changes."""
DYNAMIC_EVENTS = "/sys/kernel/tracing/dynamic_events"
QUIET = (
    ("net.ipv6.conf.default.addr_gen_mode", "1"),
    ("net.ipv6.conf.default.accept_ra", "0"),
    ("net.ipv6.conf.default.router_solicitations", "0"),
    ("net.ipv6.conf.default.dad_transmits", "0"),
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.default.mldv1_unsolicited_report_interval", "1"),
    ("net.ipv6.conf.default.mldv2_unsolicited_report_interval", "1"),
    ("net.ipv6.mld_qrv", "1"),
    ("net.ipv4.igmp_qrv", "1"),
    ("net.ipv4.neigh.default.mcast_solicit", "1"),
    ("net.ipv6.neigh.default.mcast_solicit", "1"),
)
"""A new interface says nothing that no check asked it to say, and asks for a neighbour once, not in the next."""

KEEPER = "net/net_dev_xmit_timeout"
"""An event that never fires, recorded for good: while any is, the recording of task names stays hooked into schedule().

Were it hooked in and out with each session, an emulated CPU could meet the breakpoint of that patching after its end
("Oops: int3" in __schedule, Linux text_poke_bp), since it runs translated code a little longer than a real one may.
"""

WARM = (("ethtool", "--version"), ("ip", "-j", "link", "show"), ("tc", "-j", "qdisc", "show"), ("ip", "neigh", "show"))


@dataclass(frozen=True, slots=True)
class Materials:
    """What a guest is made of: the QEMU that runs it, its image, and the cache that snapshots go to."""

    qemu: Qemu
    image: Image
    cache: Path


def machine_for(image: Image, *, accelerator: str, cpus: int, iommu: bool = False, more: str = "") -> Machine:
    """Return the machine that boots ``image``. Emulated CPUs may be slow without being stuck.

    Programs of the guest may map a card's registers beside its driver (iomem=relaxed). ``more`` ends its command line.
    """
    patience = " rcupdate.rcu_cpu_stall_timeout=300 watchdog_thresh=60 tsc=reliable" if accelerator == "tcg" else ""
    passthrough = " intel_iommu=on iommu.strict=1" if iommu else ""
    cmdline = f"{image.command_line} iomem=relaxed{patience}{passthrough} {more}".rstrip()
    return Machine(image.kernel, image.initrd, image.root, cmdline, accelerator, cpus, iommu=iommu)


def boot(materials: Materials, machine: Machine, folder: Path, *, driver: bool = True) -> tuple[Vm, Guest]:
    """Boot a guest from nothing, up to an agent that answers. The caller closes both.

    Without ``driver`` igb is unloaded again, to make room for somebody's own.
    """
    with ExitStack() as undo:
        vm = undo.enter_context(Vm(materials.qemu, machine, folder))
        guest = undo.enter_context(Guest(vm, materials.image.ssh_key, folder, folder))
        deadline = Deadline.after(BOOT_S)
        guest.console.wait_line(READY, deadline)
        deploy(guest.shell, deadline)
        guest.wait_agent(deadline)
        for name, value in QUIET:
            guest.agent.write(f"/proc/sys/{name.replace('.', '/')}", value)
        for argv in WARM:
            guest.agent.run(argv)
        if not driver:
            guest.agent.run(("rmmod", NAME))
        instrument(guest, folder, driver=driver)
        undo.pop_all()
    return vm, guest


def instrument(guest: Guest, folder: Path, *, driver: bool) -> None:
    """Define the standard probes in the guest, and save in ``folder`` what is slow to learn.

    Without ``driver`` what is learnt of it, and probes on it, wait until it is there.
    """
    if not guest.agent.exists(DYNAMIC_EVENTS):
        raise EnvironmentLacks(
            f"the guest's kernel must have dynamic trace events (CONFIG_FPROBE_EVENTS), and has no {DYNAMIC_EVENTS}"
        )
    guest.agent.write("/sys/kernel/tracing/saved_cmdlines_size", "1024")
    (folder / KALLSYMS).write_bytes(guest.agent.read_bytes("/proc/kallsyms"))
    guest.trace.define([probe for probe in STANDARD if driver or not probe.place.startswith(f"{NAME}_")])
    guest.agent.write(f"/sys/kernel/tracing/events/{KEEPER}/enable", "1")
    if not driver:
        return
    try:
        found = of_guest(guest.agent, guest.kernel)
    except UsageError:
        return  # another build than the probes are made for: whoever asks for them is told so
    guest.trace.define(found.all)
    save(found, folder / DQL_PROBES)


def inputs_of(materials: Materials, machine: Machine, *, driver: bool = True) -> dict[str, object]:
    """Return all that a snapshot depends on, as plain data."""
    return ({} if driver else {"driver": "none"}) | {
        "image": file_sha256(materials.image.folder / MANIFEST),
        "qemu": [materials.qemu.version, *materials.qemu.argv_prefix],
        "machine": machine.digest(),
        "agent": agent_digest(),
        "quiet": [list(pair) for pair in QUIET],
        "warm": [list(argv) for argv in WARM],
        "probes": [probe.definition for probe in STANDARD],
        "format": FORMAT,
    }


def snapshot(materials: Materials, machine: Machine, say: Callable[[str], None], *, driver: bool = True) -> Path:
    """Return the folder of a snapshot of ``machine`` with its agent running, made at the first call.

    Without ``driver`` the guest has no igb loaded.
    """
    root = materials.cache
    inputs = inputs_of(materials, machine, driver=driver)

    def build(folder: Path) -> None:
        say("booting the guest once, for the snapshot")
        vm, guest = boot(materials, machine, folder, driver=driver)
        try:
            guest.close()
            vm.save(folder / STATE)
        finally:
            vm.close()

    (root / "snapshots").mkdir(parents=True, exist_ok=True)
    with locked(root / "snapshots", say):
        folder = finished_folder(root, "snapshots", inputs, build)
        prune(root / "snapshots", folder)
    return folder


def prune(parent: Path, used: Path) -> None:
    """Keep the few snapshots that were used last; each is as large as the memory that the guest has touched."""
    used.touch()
    others = [path for path in parent.iterdir() if path.is_dir() and path != used]
    for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT - 1 :]:
        shutil.rmtree(path, ignore_errors=True)


def restore(materials: Materials, machine: Machine, saved: Path, folder: Path) -> tuple[Vm, Guest]:
    """Continue a snapshot: a running guest whose agent answers. The caller closes both."""
    with ExitStack() as undo:
        vm = undo.enter_context(Vm(materials.qemu, machine, folder, incoming=saved / STATE))
        guest = undo.enter_context(Guest(vm, materials.image.ssh_key, folder, saved))
        vm.resume()
        guest.wait_agent(Deadline.after(BOOT_S))
        undo.pop_all()
    return vm, guest
