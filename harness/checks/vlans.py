# SPDX-License-Identifier: BSD-3-Clause
"""VLAN devices on the interface under test."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.guest.netif import NetIf
    from harness.lab import Bound


def add_vlan(bound: Bound, vid: int) -> NetIf:
    """Add a VLAN device that sends nothing of its own, until the check is over."""
    name = f"{bound.netif.name}.{vid}"
    bound.netif.ip("link", "add", "link", bound.netif.name, "name", name, "type", "vlan", "id", vid)
    bound.guest.undo.remember(name, lambda: bound.netif.ip("link", "del", name))
    bound.netif.ip("link", "set", "dev", name, "addrgenmode", "none", "up")
    return bound.guest.netif(name)
