# SPDX-License-Identifier: BSD-3-Clause
"""Offload switches of the receiver: what the card goes on doing, and what the guest makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.igb.spec.descriptors import RxWriteback
from harness.checks.arrivals import (
    ENTRY,
    ETHERNET_HEADER,
    as_hashed,
    mixed_table,
    oracle,
    receive,
    strangers,
    told,
    wait_taken,
)
from harness.checks.bursts import PATIENCE_S, calm
from harness.checks.sinks import UDP_HEADERS, got, sink, summaries
from harness.claims import claim
from harness.frames import Checksum
from harness.traffic import frame, numbered

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

NONE, UNNECESSARY = 0, 1
"""ip_summed of an skb (include/linux/skbuff.h)."""

SIZES = range(100, 140)


@claim("OFF-01")
def test_without_receive_checksums_the_stack_sums_for_itself(bound: Bound, evidence: Evidence) -> None:
    """40 datagrams of as many lengths to a socket, every other one with a wrong sum; first rx on, then off.

    The driver ignores the card's verdict then: it leaves RXCSUM alone (igb_rx_checksum).
    """
    made = sink(bound, 5401)
    right, wrong = SIZES[1::2], SIZES[::2]
    sent = [
        frame(made.flow, numbered(1, size, size), checksum=Checksum.WRONG if size in wrong else Checksum.RIGHT)
        for size in SIZES
    ]
    good = summaries(sent[1::2])
    before = bound.card.register("RXCSUM")
    for on in (True, False):
        if not on:
            bound.netif.settings.set_features(rx=False)
        errors = bound.guest.proc.snmp()["UdpInCsumErrors"]
        with bound.guest.trace.session(ENTRY) as trace, bound.card.recording("RxWriteBack") as seen:
            bound.peer.send(*sent)
            reading = bound.guest.agent.call(
                "receive", handle=made.handle, count=len(good), seconds=PATIENCE_S, within_s=PATIENCE_S + 5
            )
            wait_taken(bound, 0)
            calm(bound)
        summed = {skb["len"] + ETHERNET_HEADER - UDP_HEADERS: skb["ip_summed"] for skb in trace.named(ENTRY)}
        written = [RxWriteback.decode(event.raw) for event in seen.all()]
        refused = {slot["length"] - UDP_HEADERS for slot in written if slot["l4e"]}
        counted = bound.guest.proc.snmp()["UdpInCsumErrors"] - errors
        evidence.note(
            what=f"rx {'on' if on else 'off'}",
            guest={"ip_summed": sorted(set(summed.values())), "received": len(reading["got"]), "wrong": counted},
            device={"RXCSUM": f"{bound.card.register('RXCSUM'):04x}", "L4E": len(refused)},
        )
        assert got(reading) == good
        assert summed == {size: UNNECESSARY if on and size in right else NONE for size in SIZES}
        assert counted == len(wrong)
        assert len(written) == len(sent)
        assert refused == set(wrong)
        assert bound.card.register("RXCSUM") == before


@claim("OFF-07")
def test_without_receive_hashes_queues_are_chosen_as_before(bound: Bound, evidence: Evidence) -> None:
    """64 flows of two kinds under a table without pattern; the card goes on hashing, the skbs say nothing of it."""
    bound.netif.settings.set_indirection(mixed_table(seed=7))
    made = [*strangers(bound, 32, 4, "tcp", seed=7), *strangers(bound, 32, 6, "udp", seed=7, first=100)]
    predict = oracle(bound)
    hashes = {len(told(flow)): predict.hash_of(as_hashed(flow)) for flow in made}
    queues = {length: predict.table[value & 0x7F] for length, value in hashes.items()}
    assert set(queues.values()) == set(range(bound.netif.queue_count[0]))
    for on in (True, False):
        if not on:
            bound.netif.settings.set_features(rxhash=False)
        found = receive(bound, [told(flow) for flow in made])
        evidence.note(
            what=f"rxhash {'on' if on else 'off'}",
            guest={"hashes": len(set(found.hashes().values()) - {0}), "queues": sorted(set(found.queues().values()))},
            device={"hashes": len({event.rss_hash for event in found.events})},
        )
        assert found.hashes() == (hashes if on else dict.fromkeys(hashes, 0))
        assert found.queues() == found.device_queues() == queues
        assert found.device_hashes() == hashes
