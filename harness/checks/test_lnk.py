# SPDX-License-Identifier: BSD-3-Clause
"""The link: what the card offers is what the driver reports."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from harness.claims import claim
from harness.deadline import Deadline, wait_until

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

UP = re.compile(r"Link is Up (\d+) Mbps (\w+) Duplex, Flow Control: (\S+)")
SPEEDS = {0: 10, 1: 100, 2: 1000, 3: 1000}


@claim("LNK-01")
@pytest.mark.parametrize(
    ("speed", "full", "pause"),
    [(10, False, False), (10, True, False), (100, False, False), (100, True, True), (1000, True, False)],
)
def test_link_comes_up_as_the_partner_offers_it(
    bound: Bound,
    evidence: Evidence,
    speed: int,
    full: bool,
    pause: bool,
) -> None:
    """The partner offers one speed and duplex only, never the pair that was in force before; pause differs too.

    A partner with pause gives RX/TX; with one that offers none igb, asked for full, settles for RX; half duplex never
    has any (Linux igb_config_fc_after_link_up).
    """
    before = bound.guest.proc.log()[-1].sequence
    with bound.card.recording("RegisterRead") as seen:
        bound.card.link_down()
        bound.netif.wait_carrier(present=False, seconds=10)
        bound.card.link_up(speed, full_duplex=full, pause=pause)
        bound.netif.wait_carrier(seconds=10)

        def announced() -> re.Match[str] | None:
            found = [UP.search(record.text) for record in bound.guest.proc.log(before)]
            return next((match for match in reversed(found) if match), None)

        line = wait_until(announced, Deadline.after(10), "the driver's report of the link")
    link = bound.netif.settings.link()
    status = bound.card.register("STATUS")
    told = (int(line[1]), line[2], line[3])
    device = {"speed": SPEEDS[status >> 6 & 3], "full duplex": bool(status & 1), "up": bool(status >> 1 & 1)}
    evidence.note(
        guest={"log": told, "ethtool": (link["speed"], link["duplex"]), "carrier": bound.netif.carrier},
        device={**device, "STATUS reads": len(seen.all(where=lambda event: event.register == "STATUS"))},
    )
    flow_control = "None" if not full else "RX/TX" if pause else "RX"
    assert told == (speed, "Full" if full else "Half", flow_control)
    assert (link["speed"], link["duplex"]) == (speed, "Full" if full else "Half")
    assert device == {"speed": speed, "full duplex": full, "up": True}
