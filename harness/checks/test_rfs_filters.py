# SPDX-License-Identifier: BSD-3-Clause
"""RFS without the card's help: igb programs no filter of the 82576 for a flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.igb.spec.filters import ETQF, FTQF, SYNQF
from harness.checks.steering import one_poller
from harness.checks.test_rfs import follow, reader, tables, warm
from harness.claims import claim
from harness.guest.ethtool import Feature

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

FILTERS = tuple(register.title(n) for register in (FTQF, SYNQF, ETQF) for n in range(register.count))


@claim("RFS-06")
def test_there_is_no_accelerated_rfs(bound: Bound, evidence: Evidence) -> None:
    """40 datagrams follow a reader to CPU 3, so that RFS is at work; then ntuple filters and a rule are asked for."""
    home, count = 3, 40
    one_poller(bound)
    before = bound.card.registers(*FILTERS)
    with bound.card.recording("RegisterWritten", "FrameDelivered") as seen:
        tables(bound)
        made = reader(bound, 5340)
        warm(made, home)
        put = [record["to"] for record in follow(made, home, count)]
        said = {
            "-K ntuple on": bound.netif.ethtool("-K", "ntuple", "on", check=False),
            "-N flow-type": bound.netif.ethtool("-N", "flow-type", "udp4", "dst-port", 5340, "action", 2, check=False),
        }
    written = [e.register for e in seen.all("RegisterWritten") if e.register in FILTERS]
    after = bound.card.registers(*FILTERS)
    changed = [name for name in FILTERS if before[name] != after[name]]
    feature = bound.netif.settings.features()["ntuple-filters"]
    evidence.note(
        guest={name: done.err.strip() or done.out.strip() for name, done in said.items()},
        device={"filters written": written, "filters changed": changed, "delivered": len(seen.all("FrameDelivered"))},
    )
    assert put == [home] * count
    assert all(done.rc != 0 for done in said.values())
    assert "not supported" in said["-N flow-type"].err
    assert feature == Feature(on=False, fixed=True)
    assert (written, changed) == ([], [])
    assert len(seen.all("FrameDelivered")) == count + 1
