# SPDX-License-Identifier: BSD-3-Clause
"""NAPI instances as the netlink family ``netdev`` shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.claims import claim
from harness.guest import netdev_family
from harness.oracles import vectors

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

RX, TX = 0, 1


@claim("IRQ-23")
@pytest.mark.parametrize("channels", [None, 3, 6])
def test_netlink_lists_the_napi_instances_of_the_interface(
    bound: Bound, evidence: Evidence, channels: int | None
) -> None:
    """As found at boot, then 3 and 6 channels: 8, 6 and 6 queue vectors, apart and paired, and other ids each time."""
    index = int(bound.netif.read("ifindex"))
    agent = bound.guest.agent
    former = {entry["id"] for entry in netdev_family.napis(agent, index)}
    if channels is not None:
        bound.netif.settings.set_channels(channels)
    count = vectors.queues(bound.guest.cpus) if channels is None else channels
    listed = netdev_family.napis(agent, index)
    queues = netdev_family.queues(agent, index)
    in_use = bound.card.register("EIAC") & ~1
    ids = {entry["id"] for entry in listed}
    evidence.note(guest={"napi-get": listed, "queue-get": queues}, device={"queue vectors in EIAC": hex(in_use)})
    assert len(listed) == len(ids) == in_use.bit_count() == len(vectors.handlers(count)) - 1
    assert ids == former if channels is None else not ids & former
    assert {tuple(sorted(entry)) for entry in listed} == {("id", "ifindex")}
    assert {entry["ifindex"] for entry in listed} == {index}
    assert sorted((entry["type"], entry["id"]) for entry in queues) == [
        (kind, queue) for kind in (RX, TX) for queue in range(count)
    ]
    assert {tuple(sorted(entry)) for entry in queues} == {("id", "ifindex", "type")}
