# SPDX-License-Identifier: BSD-3-Clause
"""A link that both sides know to be there, for checks of what igb reads from the card's counters.

igb reads them only while adapter->link_speed is not 0 (igb_update_stats). A watchdog that is under way while igb_down
runs may find the link between netif_carrier_off and link_speed = 0: then the carrier is on, no later watchdog asks for
the speed, and the counters stand still until the link changes (seen on 6.12 after ``ethtool -G``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks.filling import without_ipv6

if TYPE_CHECKING:
    from harness.lab import Bound


def fresh_link(bound: Bound) -> None:
    """Let the link go and come, so that the driver asks for its speed; IPv6 does not greet it."""
    without_ipv6(bound)
    replug(bound)


def replug(bound: Bound, *speeds: int) -> None:
    """Pull the cable and plug it in again, with a partner that offers ``speeds`` in Mb/s (without any: all)."""
    bound.card.link_down()
    bound.netif.wait_carrier(present=False)
    bound.card.link_up(*speeds)
    bound.netif.wait_carrier()
