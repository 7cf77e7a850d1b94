# SPDX-License-Identifier: BSD-3-Clause
"""Everything that reconfigures the interface, in random order, while frames come and packets go."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from harness.checks.bursts import unanswered
from harness.checks.ownership import Owner
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.guest.agent import AgentRefusedError
from harness.lab import PEER_IPV4, configure

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.evidence import Evidence
    from harness.lab import Bound

WATCHED = ("DmaRead", "DmaWrite", "TxDescriptor", "RxDescriptor", "RegisterWritten", "DeviceReset")
CHANGES = 60
SEED = 82576
PACKETS = 25
APART_US = 2000
KIB = 1024
VLAN = 82
DRIVER = "/sys/bus/pci/drivers/igb"


@claim("ETH-21")
def test_reconfigurations_under_traffic_do_no_harm(bound: Bound, evidence: Evidence) -> None:
    """60 changes of eight kinds; with each, 25 frames come and 25 packets go, 2 ms apart, so that it meets some.

    The account of memory begins at a reset; settling looks at the kernel's log and taint afterwards.
    """
    pick = random.Random(SEED)  # noqa: S311 - a reproducible choice, not a secret
    settings = bound.netif.settings
    settings.set_features()
    kinds = changes(bound, pick)
    frames = unanswered(bound, CHANGES * PACKETS, seed=SEED)
    done: dict[str, int] = {}
    with bound.card.recording(*WATCHED) as seen:
        bound.netif.ethtool("-r")
        bound.netif.wait_carrier()
        owner = Owner((bound.card.register("SRRCTL", 0) & 0x7F) * KIB)
        looked = next(at for at, event in enumerate(seen.all()) if event.kind == "DeviceReset")
        for number in range(CHANGES):
            name = pick.choice(sorted(kinds))
            handle = bound.guest.agent.call("open_socket", kind="udp")
            sending = bound.guest.agent.start(
                "send_numbered", handle=handle, count=PACKETS, size=300, address=[PEER_IPV4, 9], interval_us=APART_US
            )
            bound.peer.send(*frames[number * PACKETS : (number + 1) * PACKETS])
            kinds[name]()
            with suppress(AgentRefusedError):  # an interface that is down has no route
                sending.result(20)
            done[name] = done.get(name, 0) + 1
            events = seen.all()
            owner.follow(events[looked:])
            looked = len(events)
        configure(bound.guest, bound.netif)
        bound.netif.wait_carrier()
        wait_until(lambda: not inflight(bound), Deadline.after(15), "every byte being reported")
        events = seen.all()
        owner.follow(events[looked:])
    evidence.note(
        guest={"changes": done, "in flight": inflight(bound)},
        device={"DMA by purpose": dict(owner.allowed), "resets": owner.resets, "outside": owner.violations[:5]},
    )
    assert owner.violations[:5] == []
    assert sum(done.values()) == CHANGES
    assert set(done) == set(kinds)
    assert owner.resets > CHANGES // 4
    assert min(owner.allowed[purpose] for purpose in ("rx-payload", "tx-payload")) > CHANGES * PACKETS // 4


def inflight(bound: Bound) -> int:
    """Return the bytes that byte queue limits hold in flight, in all queues."""
    return sum(bound.netif.bql(queue).inflight for queue in range(bound.netif.queue_count[1]))


def changes(bound: Bound, pick: random.Random) -> dict[str, Callable[[], Any]]:
    """Return what changes the interface, by name; each comes back before the next begins."""
    netif, settings = bound.netif, bound.netif.settings

    def channels() -> None:
        settings.set_channels(pick.randrange(1, 9))

    def rings() -> None:
        settings.set_rings(rx=pick.randrange(64, 1024), tx=pick.randrange(64, 1024))

    def features() -> None:
        name = pick.choice(("rx_vlan_offload", "rx_all", "tso", "gro", "rxhash", "rx"))
        settings.set_features(**{name: bool(pick.randrange(2))})

    def mtu() -> None:
        netif.set_mtu(pick.choice((1400, 1500, 4000, 9000)))

    def vlan() -> None:
        name = f"{netif.name}.{VLAN}"
        netif.ip("link", "add", "link", netif.name, "name", name, "type", "vlan", "id", VLAN)
        netif.ip("link", "set", "dev", name, "up")
        netif.ip("link", "del", "dev", name)

    def state() -> None:
        netif.down()
        configure(bound.guest, netif)

    def module() -> None:
        address = settings.driver()["bus-info"]
        bound.guest.agent.write(f"{DRIVER}/unbind", address)
        bound.guest.agent.write(f"{DRIVER}/bind", address)
        wait_until(lambda: bound.guest.agent.exists(netif.path("type")), Deadline.after(10), "the interface")
        configure(bound.guest, netif)

    def renegotiate() -> None:
        netif.ethtool("-r")

    return {
        "channels": channels,
        "rings": rings,
        "features": features,
        "mtu": mtu,
        "vlan": vlan,
        "state": state,
        "module": module,
        "renegotiate": renegotiate,
    }
