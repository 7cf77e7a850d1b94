# SPDX-License-Identifier: BSD-3-Clause
"""Ingress: how a burst is cut into refills and lists, and how softnet_stat counts it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.checks.arrivals import deliver, poll_on, strangers
from harness.checks.bursts import (
    arms,
    burst,
    calm,
    messages,
    quiet,
    receive_vector,
    steer_to,
    tail_steps,
    unanswered,
    without_time_limit,
)
from harness.checks.vlans import add_vlan
from harness.claims import claim
from harness.guest.probes import LIST, REFILL
from harness.oracles import napi
from harness.traffic import numbered_frames

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

QUEUE, CPU = 2, 2
VLAN = 5


@claim("ING-04")
def test_slots_go_back_sixteen_at_a_time(bound: Bound, evidence: Evidence) -> None:
    """Below, at and above one and four portions, and over two polls; each burst is announced by one message."""
    steer_to(bound, QUEUE)
    without_time_limit(bound)
    quiet(bound)
    vector = receive_vector(bound, QUEUE)
    with bound.guest.trace.session(probes=[REFILL]) as trace:
        for frames in (1, 15, 16, 17, 40, 64, 100):
            tail = bound.card.register("RDT", QUEUE)
            with bound.card.recording("InterruptSent", "RegisterWritten", "RxWriteBack") as seen:
                burst(bound, seen, QUEUE, unanswered(bound, frames))
            refills = [record["count"] for record in trace.read()]
            steps = tail_steps(seen, QUEUE, tail)
            writes = seen.all("RegisterWritten")
            order = [e.register for e in writes if e.register == f"RDT[{QUEUE}]" or arms(e, vector)]
            evidence.note(what=f"{frames} frames", guest=refills, device=steps)
            assert refills == steps == napi.tail_steps(frames)
            assert order == [f"RDT[{QUEUE}]"] * len(steps) + ["EIMS"]
            assert len(messages(seen, vector)) == 1


@claim("ING-09")
def test_softnet_stat_counts_each_frame_once_and_a_tagged_one_twice(bound: Bound, evidence: Evidence) -> None:
    """1000 plain frames and 300 whose tag the card strips, polled on one CPU; no other CPU may count any.

    What the guest's other interfaces receive meanwhile (the management network's router speaks at times) counts too.
    """
    steer_to(bound, QUEUE)
    poll_on(bound, QUEUE, CPU)
    add_vlan(bound, VLAN)
    quiet(bound)
    [flow] = strangers(bound, 1, protocol="udp")
    rounds = {
        "plain": (list(numbered_frames(flow, 1000)), 1),
        "tagged": (list(numbered_frames(replace(flow, vlans=(VLAN,)), 300)), 2),
    }
    for name, (frames, each) in rounds.items():
        before, elsewhere = bound.guest.proc.softnet(), received_elsewhere(bound)
        with bound.card.recording("RxWriteBack") as seen:
            deliver(bound, frames)
        calm(bound)
        growth = [now - then for now, then in zip(bound.guest.proc.softnet(), before, strict=True)]
        processed = {line.cpu: line.processed for line in growth if line.processed}
        foreign = received_elsewhere(bound) - elsewhere
        written = seen.all("RxWriteBack")
        evidence.note(
            what=f"{len(frames)} {name} frames",
            guest={"processed": processed, "by other interfaces": foreign},
            device=len(written),
        )
        assert len(written) == len(frames)
        assert processed[CPU] >= each * len(frames)
        assert sum(processed.values()) == each * len(frames) + foreign
        assert [line.dropped for line in growth] == [0] * len(growth)


def received_elsewhere(bound: Bound) -> int:
    """Return how many packets the guest's interfaces beside the card's (and its VLANs) have received."""
    lines = [line.split(":", 1) for line in bound.guest.agent.read("/proc/net/dev").splitlines()[2:]]
    return sum(int(counts.split()[1]) for name, counts in lines if not name.strip().startswith(bound.netif.name))


@claim("ING-10")
def test_unmerged_frames_go_up_in_lists_of_eight(bound: Bound, evidence: Evidence) -> None:
    """Bursts around multiples of 8, one over two polls (13 lists: 8 and 5); and lists of one when told so."""
    steer_to(bound, QUEUE)
    without_time_limit(bound)
    quiet(bound)
    vector = receive_vector(bound, QUEUE)
    normal_batch = int(bound.guest.proc.sysctl("net.core.gro_normal_batch"))
    assert normal_batch == napi.LIST_BATCH
    with bound.guest.trace.session(probes=[LIST], functions=["ip_list_rcv", "ip_rcv"]) as trace:
        for frames, batch in ((1, 8), (8, 8), (16, 8), (17, 8), (40, 8), (64, 8), (100, 8), (20, 1)):
            bound.guest.proc.set_sysctl("net.core.gro_normal_batch", batch)
            with bound.card.recording("InterruptSent", "RegisterWritten", "RxWriteBack") as seen:
                burst(bound, seen, QUEUE, unanswered(bound, frames))
            calm(bound)
            records = trace.read()
            lists = sum(record.name == LIST.event for record in records)
            entered = [record["function"] for record in records if record.name != LIST.event]
            told = (len(messages(seen, vector)), len(seen.all("RxWriteBack")))
            evidence.note(
                what=f"{frames} frames, gro_normal_batch {batch}",
                guest={"lists": lists, "ip_list_rcv": entered.count("ip_list_rcv"), "ip_rcv": entered.count("ip_rcv")},
                device={"messages": told[0], "write-backs": told[1]},
            )
            assert lists == napi.list_calls(frames, batch)
            assert entered == ["ip_list_rcv"] * lists
            assert told == (1, frames)
