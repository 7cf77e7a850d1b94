# SPDX-License-Identifier: BSD-3-Clause
"""Probes on dynamic queue limits: placed at igb's calls of dql_completed and dql_reset, for the running build.

dql_completed (lib/dynamic_queue_limits.c) is built without the hooks that probes need, but igb_poll, into which the
completion of transmit work is inlined, calls it, and igb_clean_tx_ring calls dql_reset. Offsets and registers are
worked out anew for each build, from the module itself and the kernel's BTF; a build that does not fit is refused.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.guest.btf import Btf
from harness.guest.elf import call_sites, first_argument_base
from harness.guest.probes import Probe

if TYPE_CHECKING:
    from pathlib import Path

    from harness.guest.agent import Agent

MODULE = "/lib/modules/{release}/kernel/drivers/net/ethernet/intel/igb/igb.ko"
BTF = "/sys/kernel/btf/vmlinux"
BEFORE = {
    "nq": "num_queued",
    "adj": "adj_limit",
    "last": "last_obj_cnt",
    "limit": "limit",
    "nc": "num_completed",
    "pov": "prev_ovlimit",
    "pnq": "prev_num_queued",
    "ploc": "prev_last_obj_cnt",
    "low": "lowest_slack",
    "ss": "slack_start_time",
    "max": "max_limit",
    "min": "min_limit",
    "hold": "slack_hold_time",
    "stall_thrs": "stall_thrs",
    "stall_max": "stall_max",
    "stall_cnt": "stall_cnt",
}
WIDE = ("slack_start_time", "stall_cnt")
NARROW = ("stall_thrs", "stall_max")
RESET = ("adj", "limit", "nq", "nc")


@dataclass(frozen=True, slots=True)
class DqlProbes:
    """``entry`` fires just before dql_completed, ``done`` just after it, ``reset`` before dql_reset.

    Fields: jif (jiffies), nq adj last limit nc pov pnq ploc low ss max min hold stall_thrs stall_max stall_cnt (see
    BEFORE; reset has only those of RESET). entry and reset have ``dql``, the address; entry has ``count``, in bytes.
    done has ``txq``, the address of the queue whose dql lies ``dql_in_queue`` bytes further, and the queue's ``state``.
    """

    entry: Probe
    done: Probe
    reset: Probe
    dql_in_queue: int

    @property
    def all(self) -> tuple[Probe, Probe, Probe]:
        """The three."""
        return self.entry, self.done, self.reset


def fetch(pointer: str, base: int, member: str, offset: int) -> str:
    """Return the fetch expression of one member of the structure ``base`` bytes from where ``pointer`` points."""
    width = "u64" if member in WIDE else "u16" if member in NARROW else "u32"
    return f"+{base + offset:#x}({pointer}):{width}"


def dql_probes(module: bytes, btf: Btf) -> DqlProbes:
    """Return the probes for a build of igb and its kernel. Raises UsageError if the build does not fit."""
    dql = btf.members("dql")
    queue = btf.members("netdev_queue")
    missing = [member for member in BEFORE.values() if member not in dql]
    if missing:
        raise UsageError(f"struct dql must have {', '.join(BEFORE.values())}, and lacks {', '.join(missing)}")
    completed = call_sites(module, "dql_completed", "igb_poll")
    resets = call_sites(module, "dql_reset", "igb_clean_tx_ring")
    if len(completed) != 1 or len(resets) != 1:
        raise UsageError(
            f"igb must call dql_completed and dql_reset once, not {len(completed)} and {len(resets)} times"
        )
    queue_pointer, displacement = first_argument_base(completed[0])
    start = displacement - queue["dql"]
    if start:
        raise UsageError(
            f"{queue_pointer} must hold a struct netdev_queue at the call, not something {start:+d} bytes off"
        )
    members = {name: (member, dql[member]) for name, member in BEFORE.items()}
    jiffies = "jif=@jiffies:u64"
    entry = " ".join(
        ["dql=%di:x64", "count=%si:u32", jiffies, *(f"{n}={fetch('%di', 0, *m)}" for n, m in members.items())]
    )
    done = " ".join(
        [
            f"txq={queue_pointer}:x64",
            jiffies,
            *(f"{n}={fetch(queue_pointer, displacement, *m)}" for n, m in members.items()),
            f"state=+{queue['state']:#x}({queue_pointer}):u64",
        ]
    )
    reset = " ".join(["dql=%di:x64", jiffies, *(f"{n}={fetch('%di', 0, *members[n])}" for n in RESET)])
    return DqlProbes(
        Probe("p", "bql", "in", f"igb:igb_poll+{completed[0].offset:#x}", entry),
        Probe("p", "bql", "out", f"igb:igb_poll+{completed[0].after:#x}", done),
        Probe("p", "bql", "rst", f"igb:igb_clean_tx_ring+{resets[0].offset:#x}", reset),
        displacement,
    )


def of_guest(agent: Agent, release: str) -> DqlProbes:
    """Return the probes for the running guest."""
    return dql_probes(agent.read_bytes(MODULE.format(release=release)), Btf(agent.read_bytes(BTF)))


def save(probes: DqlProbes, path: Path) -> None:
    """Write probes to a file."""
    path.write_text(json.dumps(asdict(probes), indent=1))


def load(path: Path) -> DqlProbes:
    """Read what ``save`` wrote."""
    found = json.loads(path.read_text())
    entry, done, reset = (Probe(**found[name]) for name in ("entry", "done", "reset"))
    return DqlProbes(entry, done, reset, int(found["dql_in_queue"]))
