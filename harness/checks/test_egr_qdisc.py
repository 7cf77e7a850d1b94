# SPDX-License-Identifier: BSD-3-Clause
"""The qdisc: bypassed while there is room, filled while there is none, and given back what the driver refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from harness.checks.bursts import calm
from harness.checks.chains import alone
from harness.checks.sending import (
    CPU,
    QUEUE,
    SOL_UDP,
    UDP_SEGMENT,
    b64,
    pinned_sender,
    udp_socket,
    undisturbed,
    wait_idle,
)
from harness.claims import claim
from harness.dissect import dissect
from harness.guest.trace import FUNCTION
from harness.oracles.transmit import accepted_until_stop

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.guest.ringbuffer import Record
    from harness.lab import Bound
    from harness.seen import Seen

ENQUEUE, DEQUEUE, XMIT = "qdisc:qdisc_enqueue", "qdisc:qdisc_dequeue", "net:net_dev_xmit"
RING, LARGER_RING = 256, 512
BUSY = 16
"""NETDEV_TX_BUSY (Linux include/linux/netdevice.h)."""

PORT = 4730


def of_queue(event: Seen) -> bool:
    """Tell whether an event is of the queue under test."""
    return bool(event.queue == QUEUE)


def requeues(bound: Bound) -> int:
    """Return how often a qdisc of the interface has put a packet back."""
    shown = json.loads(bound.netif.tc("-j", "-s", "qdisc", "show", "dev", bound.netif.name).out)
    return sum(int(item.get("requeues", 0)) for item in shown if item["kind"] != "mq")


@claim("EGR-19")
def test_empty_queue_is_bypassed_and_a_stopped_one_fills(bound: Bound, evidence: Evidence) -> None:
    """20 packets while there is room, then 235 that fill the ring and 40 more; then the card reports them all.

    The first of the 40 finds an empty qdisc and is put back by the bypass itself; the 39 after it are enqueued.
    """
    few, more, full = 20, 40, accepted_until_stop(RING)
    undisturbed(bound)
    bound.netif.use_pfifo()
    alone(bound)
    sender = pinned_sender(bound)
    with bound.guest.trace.session(ENQUEUE, DEQUEUE, functions=("sch_direct_xmit", "__qdisc_run")) as trace:
        sender.send(few)
        bound.peer.expect(few, sender.is_mine)
        wait_idle(bound, QUEUE)
        trace.read()
        bypassed, trace.records[:] = list(trace.records), []
        before = requeues(bound)
        bound.card.withhold_completions(QUEUE)
        sender.send(full + more)
        trace.read()
        filled, trace.records[:] = list(trace.records), []
        backlog, put_back = bound.netif.qdisc_backlog(), requeues(bound) - before
        assert (backlog, put_back) == (more, 1)
        with bound.card.recording("FrameEmitted") as seen:
            bound.card.release_completions(QUEUE)
            frames = [event.frame for event in seen.wait(more, kind="FrameEmitted", where=of_queue)]
        wait_idle(bound, QUEUE)
        calm(bound)
    drained = trace.records
    out = [record for record in drained if record.name == DEQUEUE and record["skbaddr"]]
    runs = [record for record in drained if record.fields.get("function") == "__qdisc_run"]
    evidence.note(
        guest={
            "bypassing": tally(bypassed), "stopped": tally(filled), "released": tally(drained), "backlog": backlog,
            "requeues": put_back,
        },
        device={"frames after release": len(frames)},
    )  # fmt: skip
    assert ENQUEUE not in tally(bypassed)
    assert tally(bypassed)["sch_direct_xmit"] == few
    assert not [record for record in bypassed if record.name == DEQUEUE and record["skbaddr"]]
    assert tally(filled)[ENQUEUE] == more - 1
    assert sum(record["packets"] for record in out) == more
    assert runs
    assert runs[0].t <= out[0].t
    assert ENQUEUE not in tally(drained)
    assert frames == sender.frames(more, first=full)


def tally(records: list[Record]) -> dict[str, int]:
    """Return how many records there are of each event and function."""
    found: dict[str, int] = {}
    for record in records:
        name = str(record["function"]) if record.name == FUNCTION else record.name
        found[name] = found.get(name, 0) + 1
    return found


@claim("EGR-20")
@pytest.mark.parametrize("ring", [RING, LARGER_RING])
def test_refused_packet_is_sent_again_first(bound: Bound, evidence: Evidence, ring: int) -> None:
    """234 frames leave 21 slots, with which the queue just does not stop; then one packet that may need 22.

    It has a header, a piece of 40 KiB, which takes two descriptors, and 16 small pieces: 19, and 3 in reserve. In a
    ring of 512 it is not refused.
    """
    large, small, segment, before, after = 40 << 10, [1000] * 15 + [77], 1400, 234, 5
    agent = bound.guest.agent
    if ring != RING:
        bound.netif.settings.set_rings(tx=ring)
        bound.netif.wait_carrier()
    bound.guest.proc.set_sysctl("vm.nr_hugepages", 4)
    undisturbed(bound)
    bound.netif.use_pfifo()
    handle = udp_socket(bound, port=PORT)
    agent.call("setsockopt", handle=handle, level=SOL_UDP, option=UDP_SEGMENT, value=segment)
    alone(bound)
    sender = pinned_sender(bound)
    segments = -(-(large + sum(small)) // segment)
    put_back = requeues(bound)
    bound.card.withhold_completions(QUEUE)

    def ours(event: Seen) -> bool:
        return sender.is_mine(event.frame) or dissect(event.frame).destination_port == PORT

    with bound.guest.trace.session(XMIT) as trace, bound.card.recording("FrameEmitted") as seen:
        sender.send(before)
        body = agent.call("send_gathered", cpus=[CPU], handle=handle, large=large, small=small)
        sender.send(after, first=before)
        seen.wait(before, kind="FrameEmitted", where=ours)
        trace.read()
        codes = [record["rc"] for record in trace.records]
        put_back = requeues(bound) - put_back
        bound.card.release_completions(QUEUE)
        events = seen.wait(before + segments + after, kind="FrameEmitted", where=ours)
    wait_idle(bound, QUEUE)
    frames = [event.frame for event in events]
    middle = [dissect(frame).payload for frame in frames[before : before + segments]]
    evidence.note(
        guest={"rc": sorted(set(codes)), "refused": codes.count(BUSY), "requeues": put_back},
        device={"order": [len(frame) for frame in frames[before - 2 :]]},
    )
    assert codes.count(BUSY) == int(ring == RING)
    assert put_back == int(ring == RING)
    assert b64(b"".join(middle)) == body
    assert [*frames[:before], *frames[before + segments :]] == sender.frames(before + after)
