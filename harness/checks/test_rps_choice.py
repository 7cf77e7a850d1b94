# SPDX-License-Identifier: BSD-3-Clause
"""RPS: whether a frame is steered, and which CPU its hash names."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest

from harness.checks.arrivals import LEAST_SIZE, deliver, strangers, told
from harness.checks.bursts import calm, receive_vector
from harness.checks.polls import IRQ
from harness.checks.sinks import UDP_HEADERS
from harness.checks.steering import CORE, CPU, ENTRY, PUT, QUEUE, lengths, mask_others, one_poller, processed
from harness.claims import claim
from harness.emulator import CardOptions
from harness.oracles.steering import chosen_cpu
from harness.traffic import frame, numbered

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound, Lab

KINDS = ("FrameDelivered", "InterruptSent")
SHORTEST = UDP_HEADERS + LEAST_SIZE
"""Length of the shortest frame that is told by its length."""


@claim("RPS-01")
def test_without_a_mask_frames_stay_on_the_polling_cpu(bound: Bound, evidence: Evidence) -> None:
    """60 flows with every mask as it was at boot; then the same with a CPU in the queue's mask, which must take all."""
    one_poller(bound)
    queues = range(bound.netif.queue_count[0])
    masks = [int(bound.netif.read(f"queues/rx-{queue}/rps_cpus").replace(",", ""), 16) for queue in queues]
    assert masks == [0] * len(masks)
    made = [told(flow) for flow in strangers(bound, 60, protocol="udp", seed=21)]
    for target in (None, 3):
        if target is not None:
            bound.netif.set_rps(QUEUE, [target])
        with bound.guest.trace.session(ENTRY, CORE, probes=[PUT]) as trace, bound.card.recording(*KINDS) as seen:
            deliver(bound, made)
            calm(bound)
        polled = Counter(record.cpu for record in trace.named(ENTRY))
        put = Counter(record["to"] for record in trace.named(PUT.event))
        worked = Counter(record.cpu for record in processed(bound, trace))
        delivered = Counter(event.queue for event in seen.all("FrameDelivered"))
        vectors = {event.vector for event in seen.all("InterruptSent")}
        evidence.note(
            what="no mask" if target is None else f"mask of CPU {target}",
            guest={"polled on": dict(polled), "put on backlogs": dict(put), "processed on": dict(worked)},
            device={"queues": dict(delivered), "vectors": sorted(vectors)},
        )
        assert polled == Counter({CPU: len(made)})
        assert put == Counter({} if target is None else {target: len(made)})
        assert worked == Counter({CPU if target is None else target: len(made)})
        assert (delivered, vectors) == (Counter({QUEUE: len(made)}), {receive_vector(bound, QUEUE)})


@claim("RPS-03")
@pytest.mark.parametrize("cpus", [(1, 3), (0, 2, 3)])
def test_cpu_is_the_hash_scaled_to_the_mask(bound: Bound, evidence: Evidence, cpus: tuple[int, ...]) -> None:
    """80 flows of four kinds, each frame twice; other queues' masks name another CPU, where no frame may go.

    The stack's hash has a random key (RSS-12), so the trace shows hash and choice; the formula must join them.
    """
    one_poller(bound)
    absent = 2 if len(cpus) == 2 else 1
    mask_others(bound, absent)
    bound.netif.set_rps(QUEUE, cpus)
    kinds = ((4, "udp"), (6, "udp"), (4, "tcp"), (6, "tcp"))
    made = [
        flow
        for at, (family, protocol) in enumerate(kinds)
        for flow in strangers(bound, 20, family, protocol, seed=3, first=80 * at)
    ]
    frames = [told(flow) for flow in made]
    with bound.guest.trace.session(CORE, probes=[PUT]) as trace, bound.card.recording("FrameDelivered") as seen:
        deliver(bound, frames)
        deliver(bound, frames)
        calm(bound)
    put = trace.named(PUT.event)
    hashes = defaultdict(set)
    for record, length in zip(put, lengths(put), strict=True):
        hashes[length].add(record["hash"])
    wrong = [record for record in put if record["to"] != chosen_cpu(record["hash"], cpus)]
    backwards = [record for record in put if record["to"] != cpus[::-1][record["hash"] * len(cpus) >> 32]]
    used = Counter(record["to"] for record in put)
    evidence.note(
        what=f"CPUs {cpus}",
        guest={"put on backlogs": dict(used), "against the formula": len(wrong), "hashes": len(hashes)},
        device={"queues": dict(Counter(event.queue for event in seen.all()))},
    )
    assert wrong == []
    assert len(backwards) > len(put) // 4
    assert set(used) == set(cpus)
    assert sorted(lengths(put)) == sorted(event.length for event in seen.all()) == sorted(2 * [len(f) for f in frames])
    assert [len(values) for values in hashes.values()] == [1] * len(made)
    assert len(set.union(*hashes.values())) == len(made)
    assert {event.queue for event in seen.all()} == {QUEUE}


@claim("RPS-04")
def test_a_flow_stays_on_its_cpu_in_order_and_flows_spread(bound: Bound, evidence: Evidence) -> None:
    """Four flows by turns of three frames, 42 each, with lengths that count; then 200 flows of two, over three CPUs.

    A single flow must use one CPU: so do the four, one by one.
    """
    cpus = (0, 2, 3)
    one_poller(bound)
    bound.netif.set_rps(QUEUE, cpus)
    few, many = strangers(bound, 4, protocol="udp", seed=4), strangers(bound, 200, protocol="udp", seed=44)
    each, turn = 42, 3
    trains = [[frame(f, numbered(f.number, n, LEAST_SIZE + each * f.number + n)) for n in range(each)] for f in few]
    rounds = (
        ("4 flows", [one for at in range(0, each, turn) for train in trains for one in train[at : at + turn]], each),
        ("200 flows", [told(flow) for flow in many] * 2, 1),
    )
    for name, frames, apart in rounds:
        with bound.guest.trace.session(CORE, probes=[PUT]) as trace, bound.card.recording("FrameDelivered") as seen:
            deliver(bound, frames)
            calm(bound)
        put, worked = trace.named(PUT.event), processed(bound, trace)
        chosen, order = defaultdict(set), defaultdict(list)
        for record, length in zip(worked, lengths(worked), strict=True):
            chosen[(length - SHORTEST) // apart].add(record.cpu)
            order[(length - SHORTEST) // apart].append(length)
        used = Counter(record.cpu for record in worked)
        sent = [event.length for event in seen.all()]
        evidence.note(
            what=name,
            guest={"CPUs": dict(used), "flows on more than one": sum(len(found) > 1 for found in chosen.values())},
            device={"delivered": len(sent), "queues": sorted({event.queue for event in seen.all()})},
        )
        assert {len(found) for found in chosen.values()} == {1}
        assert all(lengths_of == sorted(lengths_of) for lengths_of in order.values())
        assert lengths(put) == sent == [len(one) for one in frames]
        assert sorted(lengths(worked)) == sorted(sent)
        assert name == "4 flows" or set(used) == set(cpus)


@claim("RPS-10")
def test_rps_spreads_the_flows_of_a_card_with_one_queue(lab: Lab, evidence: Evidence) -> None:
    """200 flows, a driver with one MSI vector: without a mask one CPU does everything, with four CPUs four process."""
    bound = lab.bound(CardOptions(interrupts="msi", patches=lab.default.patches))
    assert bound.netif.queue_count[0] == 1
    [irq] = bound.netif.irqs().values()
    frames = [told(flow) for flow in strangers(bound, 200, protocol="udp", seed=10)]
    cpus = tuple(range(bound.guest.cpus))
    for mask in ((), cpus):
        bound.netif.set_rps(0, mask)
        filters = {IRQ: f"irq == {irq.number}"}
        with (
            bound.guest.trace.session(IRQ, CORE, probes=[PUT], filters=filters) as trace,
            bound.card.recording(*KINDS) as seen,
        ):
            bound.peer.send(*frames)
            trace.read_until(lambda: len(processed(bound, trace)) >= len(frames), "every frame being processed")
        interrupted = {record.cpu for record in trace.named(IRQ)}
        worked = Counter(record.cpu for record in processed(bound, trace))
        put = trace.named(PUT.event)
        queues = Counter(event.queue for event in seen.all("FrameDelivered"))
        evidence.note(
            what=f"{len(mask)} CPUs in the mask",
            guest={"interrupts on": sorted(interrupted), "processed on": dict(worked)},
            device={"queues": dict(queues), "messages": len(seen.all("InterruptSent"))},
        )
        assert len(interrupted) == 1
        assert set(worked) == (set(mask) or interrupted)
        assert worked.total() == len(frames)
        assert queues == Counter({0: len(frames)})
        assert [record["to"] for record in put] == [chosen_cpu(record["hash"], mask) for record in put]
        assert len(put) == (len(frames) if mask else 0)
        assert {(event.mode, event.vector) for event in seen.all("InterruptSent")} == {("msi", 0)}
