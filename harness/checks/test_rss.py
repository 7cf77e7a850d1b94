# SPDX-License-Identifier: BSD-3-Clause
"""RSS: the hash, the key under it, and the queue that follows from it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from harness.checks.arrivals import (
    as_hashed,
    deliver,
    mixed_table,
    only_ports,
    oracle,
    receive,
    strangers,
    told,
)
from harness.checks.witness import watched
from harness.claims import claim
from harness.guest.probes import ENQUEUE
from harness.oracles import rss
from harness.plots import Bar, Source
from harness.traffic import frame, numbered

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

KINDS = [(4, "tcp"), (4, "udp"), (6, "tcp"), (6, "udp")]


@claim("RSS-01")
@pytest.mark.parametrize(("family", "protocol"), KINDS)
def test_hash_is_toeplitz_over_the_fields_of_256_flows(
    bound: Bound, evidence: Evidence, family: int, protocol: str
) -> None:
    """Addresses and ports of every flow differ in all their bytes, so that order, width and key order all show."""
    made = strangers(bound, 256, family, protocol)
    predict = oracle(bound)
    wanted = {len(told(flow)): predict.hash_of(as_hashed(flow)) for flow in made}
    assert len(set(wanted.values())) > 250
    found = receive(bound, [told(flow) for flow in made])
    device = found.device_hashes()
    shown = sorted(wanted)[:4]
    evidence.note(
        what=f"hashes of the first 4 of 256 flows, {protocol} over IPv{family}",
        guest=[f"{found.hashes().get(length, 0):08x}" for length in shown],
        device=device and [f"{device.get(length, 0):08x}" for length in shown],
    )
    assert device in (None, wanted)
    assert found.hashes() == wanted


@claim("RSS-02")
def test_key_in_the_card_is_the_kernels(bound: Bound, evidence: Evidence) -> None:
    """The key is random, made at boot: nobody can know it, and no two of its words are alike."""
    key = bound.guest.proc.rss_key()[: rss.KEY_BYTES]
    words = rss.key_words(key)
    assert len(set(words)) == len(words)
    with bound.card.recording("RegisterWritten") as seen:
        bound.netif.down()
        bound.netif.up()
        bound.netif.wait_carrier()
    written = [(e.register, e.value) for e in seen.all(where=lambda e: e.register.startswith("RSSRK["))]
    stored = tuple(bound.card.registers(*(f"RSSRK[{n}]" for n in range(len(words)))).values())
    evidence.note(guest={"netdev_rss_key": key.hex(":")}, device={"RSSRK": [f"{word:08x}" for word in stored]})
    assert written == [(f"RSSRK[{n}]", word) for n, word in enumerate(words)]
    assert stored == words


@claim("RSS-03")
def test_queue_is_the_tables_entry_for_the_low_seven_bits(bound: Bound, evidence: Evidence) -> None:
    """256 flows of each kind, three frames each, under a table without pattern: a wrong index misleads 3 of 4 flows."""
    bound.netif.settings.set_indirection(mixed_table())
    made = [
        flow
        for at, (family, protocol) in enumerate(KINDS)
        for flow in strangers(bound, 256, family, protocol, seed=3, first=300 * at)
    ]
    predict = oracle(bound)
    wanted = {len(told(flow)): predict.queue_of(as_hashed(flow)) for flow in made}
    assert len(wanted) == len(made)
    before = bound.netif.queue_packets()
    found = receive(bound, [told(flow) for flow in made] * 3)
    growth = bound.netif.queue_packets() - before
    evidence.note(
        guest={"rx_queue_packets": list(growth), "wrong": len(wanted.items() - found.queues().items())},
        device={"frames per queue": [Counter(e.queue for e in found.delivered or ())[q] for q in range(len(growth))]},
    )
    assert found.device_queues() in (None, wanted)
    assert found.queues() == wanted
    places = {(skb["len"], skb["queue_mapping"]) for skb in found.skbs}
    assert len(places) == len(made), "all frames of a flow land on one queue"
    assert list(growth) == [3 * Counter(wanted.values())[queue] for queue in range(len(growth))]


@claim("RSS-07")
@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (1, 3)])
def test_4096_flows_spread_as_the_table_weighs_them(bound: Bound, evidence: Evidence, weights: tuple[int, ...]) -> None:
    """150 flows more or less are over five standard deviations; each flow's own queue is predicted besides."""
    bound.netif.settings.set_indirection(rss.weighted(weights))
    made = strangers(bound, 4096, 4, "tcp", seed=7)
    predict = oracle(bound)
    exact = predict.spread(as_hashed(flow) for flow in made)
    before = bound.netif.queue_packets()
    with watched(bound, "FrameDelivered") as seen:
        deliver(bound, [frame(flow, numbered(flow.number, 0)) for flow in made])
    growth = bound.netif.queue_packets() - before
    decided = None if seen is None else Counter(event.queue for event in seen.all("FrameDelivered"))
    evidence.note(guest=list(growth), device=decided and [decided[queue] for queue in range(len(growth))])
    queues = range(len(growth))
    evidence.bars(
        f"Where 4096 flows went, weights {':'.join(map(str, weights))}",
        queues,
        (
            Bar("guest", Source.GUEST, tuple(growth)),
            *([] if decided is None else [Bar("device", Source.DEVICE, tuple(decided[queue] for queue in queues))]),
            Bar("predicted, flow by flow", Source.ORACLE, tuple(exact[queue] for queue in queues)),
        ),
        x="receive queue",
        y="frames",
    )
    shares = [*weights, *[0] * (len(growth) - len(weights))]
    for queue, share in enumerate(shares):
        assert abs(growth[queue] - 4096 * share / sum(shares)) <= (150 if share else 0)
        assert growth[queue] == exact[queue]
        assert decided is None or decided[queue] == exact[queue]


@claim("RSS-12")
def test_stack_takes_the_hash_for_one_without_ports(bound: Bound, evidence: Evidence) -> None:
    """32 UDP flows that differ in ports only share the card's hash; RPS, which asks the skb, sees 32 others."""
    [flow] = strangers(bound, 1, 4, "udp", seed=12)
    made = only_ports(flow, 32)
    tcp = strangers(bound, 32, 4, "tcp", seed=12, first=32)
    predict = oracle(bound)
    wanted = {len(told(flow)): predict.hash_of(as_hashed(flow)) for flow in [*made, *tcp]}
    for queue in range(bound.netif.queue_count[0]):
        bound.netif.set_rps(queue, [1])
    with bound.guest.trace.session(probes=[ENQUEUE]) as trace:
        found = receive(bound, [told(flow) for flow in [*made, *tcp]])
    software = [record["hash"] for record in trace.named("enq")]
    marks = {skb["l4_hash"] for skb in found.skbs}
    card = set(found.hashes().values())
    written = found.device_hashes()
    evidence.note(
        guest={"l4_hash": sorted(marks), "hashes that RPS saw": len(set(software)), "first": f"{software[0]:08x}"},
        device=written and {"hashes written back": len(set(written.values()))},
    )
    assert marks == {0}
    assert found.hashes() == wanted
    assert written in (None, wanted)
    assert len(card) == 1 + len(tcp)
    assert len(software) == len(set(software)) == len(made) + len(tcp)
    assert not card & set(software)
