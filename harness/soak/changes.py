# SPDX-License-Identifier: BSD-3-Clause
"""What a user does to an interface while it works, at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.deadline import Deadline, wait_until
from harness.errors import GuestFault

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from harness.bench.namespace import Namespace
    from harness.bench.rig import Side

DRIVER = "igb"
RELOAD_S = 60.0
COME_S = 20.0
RINGS = (64, 80, 128, 256, 512, 1024, 4096)
GAPS_US = (0, 1, 3, 10, 50, 100, 500, 1000)
"""ethtool's rx-usecs: 0 to 3 choose a mode of the driver, 10 and above are microseconds (igb_set_coalesce)."""

MTUS = (576, 1280, 1500, 3000, 9000)
FEATURES = ("tx", "rx", "sg", "tso", "gso", "gro", "rxvlan", "txvlan", "rxhash", "ntuple", "rx-all")


@dataclass(frozen=True, slots=True)
class Place:
    """The interface, and the host's end of its wire."""

    side: Side
    namespace: Namespace
    tap: str


def queues(place: Place, dice: random.Random) -> str:
    """``ethtool -L``."""
    count = dice.choice((1, 2, 4))
    place.side.netif.ethtool("-L", "combined", count, check=False)  # refused when it is that already
    return f"-L combined {count}"


def rings(place: Place, dice: random.Random) -> str:
    """``ethtool -G``."""
    rx, tx = dice.choice(RINGS), dice.choice(RINGS)
    place.side.netif.ethtool("-G", "rx", rx, "tx", tx, check=False)
    return f"-G rx {rx} tx {tx}"


def moderation(place: Place, dice: random.Random) -> str:
    """``ethtool -C``."""
    gap = dice.choice(GAPS_US)
    place.side.netif.ethtool("-C", "rx-usecs", gap, check=False)
    return f"-C rx-usecs {gap}"


def feature(place: Place, dice: random.Random) -> str:
    """``ethtool -K``."""
    name, state = dice.choice(FEATURES), dice.choice(("on", "off"))
    place.side.netif.ethtool("-K", name, state, check=False)  # some need others
    return f"-K {name} {state}"


def mtu(place: Place, dice: random.Random) -> str:
    """Another MTU, on both ends."""
    size = dice.choice(MTUS)
    place.namespace.ip("link", "set", "dev", place.tap, "mtu", str(size))
    place.side.netif.set_mtu(size)
    return f"mtu {size}"


def indirection(place: Place, dice: random.Random) -> str:
    """``ethtool -X``."""
    equal = dice.randint(1, max(1, min(place.side.netif.queue_count)))
    place.side.netif.ethtool("-X", "equal", equal)
    return f"-X equal {equal}"


def renegotiation(place: Place, _dice: random.Random) -> str:
    """``ethtool -r``."""
    place.side.netif.ethtool("-r")
    return "-r"


def down_and_up(place: Place, _dice: random.Random) -> str:
    """Down, and up again."""
    place.side.netif.down()
    place.side.netif.up()
    return "down, up"


def reload(place: Place, _dice: random.Random) -> str:
    """Take the driver out and put it in again; the interface then needs its address anew."""
    side = place.side
    side.run("modprobe", "-r", DRIVER, seconds=RELOAD_S)
    side.run("modprobe", DRIVER, seconds=RELOAD_S)
    name = side.netif.name
    wait_until(
        lambda: side.guest.agent.exists(f"/sys/class/net/{name}"), Deadline.after(COME_S), f"{name} coming", GuestFault
    )
    side.netif.ip("address", "add", f"{side.address}/24", "dev", name)
    side.netif.up()
    return f"{DRIVER} reloaded"


CHANGES: tuple[Callable[[Place, random.Random], str], ...] = (
    queues,
    rings,
    moderation,
    feature,
    feature,
    mtu,
    indirection,
    renegotiation,
    down_and_up,
    reload,
)
