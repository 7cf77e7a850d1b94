# SPDX-License-Identifier: BSD-3-Clause
"""A card that is pulled out of its slot while the driver uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.igb.spec.general import FCAL
from harness.claims import claim
from harness.deadline import Deadline, wait_until

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound, Lab

LOST = "PCIe link lost"
ALL_ONES = 0xFFFF_FFFF


@claim("LNK-04")
def test_a_card_that_vanished_is_not_touched_again(lab: Lab, evidence: Evidence) -> None:
    """First one register alone holds ones, and the driver's dump of all registers reads it: nothing happens.

    Then everything reads as ones. The driver notices at its next look, and the guest's other interface goes on. The
    guest is thrown away: this card does not come back.
    """
    bound = lab.bound(lab.default)
    before = bound.guest.proc.log()[-1].sequence
    bound.card.write_register(FCAL.at, ALL_ONES)
    with bound.card.recording("RegisterRead") as seen:
        bound.netif.settings.registers()
    ones = {event.register for event in seen.all("RegisterRead") if event.value == ALL_ONES}
    alone = lost_lines(bound, before)
    still_there = bound.netif.statistics()["rx_packets"] >= 0 and bound.netif.carrier
    with bound.card.recording("RegisterRead", "RegisterWritten") as seen:
        bound.card.fault("read_all_ones", on=True)
        wait_until(lambda: lost_lines(bound, before), Deadline.after(20), "the driver noticing")
        noticed = bound.card.now_ns()
        for _ in range(3):
            bound.netif.statistics()
        bound.netif.tool("ping", "-c", "1", "-W", "2", "127.0.0.1")
        bound.netif.down()
        accesses = seen.all()
    late = [event for event in accesses if event.t_ns > noticed]
    lines = lost_lines(bound, before)
    evidence.note(
        guest={"log": lines, "after one register of ones": alone, "taint": bound.guest.proc.tainted()},
        device={"registers of ones": sorted(ones), "accesses until then": len(accesses), "after": len(late)},
    )
    lab.shut()
    assert (ones, alone, still_there) == ({"FCAL"}, [], True)
    assert len(lines) == 1
    assert accesses, "the card saw how the driver found out"
    assert late == []


def lost_lines(bound: Bound, since: int) -> list[str]:
    """Return what the kernel said of a lost link after record ``since``."""
    return [record.text for record in bound.guest.proc.log(since) if LOST in record.text]
