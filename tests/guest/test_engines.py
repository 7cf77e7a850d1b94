# SPDX-License-Identifier: BSD-3-Clause
"""Every way to run the card carries a guest's traffic: both engines, and doorbells that do not trap."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from harness.deadline import Deadline, wait_until
from harness.emulator import CardOptions
from harness.guest.program.sockets import numbered
from harness.lab import configure
from harness.traffic import numbered_frames

if TYPE_CHECKING:
    from harness.lab import Lab

SENT, RECEIVED = 700, 900
QUEUES, EACH, SIZE, SLOW_MBPS = 4, 100, 100, 1
HEADERS = 14 + 20 + 8
PORT, UDP = 9, 17
WAYS = {
    "python": CardOptions(engine="python"),
    "mmap": CardOptions(engine="native", arguments=("--doorbells", "mmap", "--least-gap", "250")),
    "obeyed": CardOptions(engine="native", arguments=("--pause", "obeyed"), capture=False),
    "threads": CardOptions(engine="native", arguments=("--threads", "2"), capture=False),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_guests_traffic_passes_whole_and_in_order(lab: Lab, way: str) -> None:
    """More packets than a ring has slots, both ways; a ring that is reset in between starts anew."""
    bound = lab.bound(WAYS[way])
    agent = bound.guest.agent
    handle = agent.call("open_socket", kind="udp")
    for _ in range(2):
        with bound.card.recording("FrameEmitted", "FrameDelivered") as seen:
            agent.call("send_numbered", handle=handle, count=SENT, size=100, address=["198.18.0.2", 9], cpus=[1])
            seen.wait(SENT, kind="FrameEmitted")
            [flow] = bound.peer.flows(1)
            before = sum(bound.netif.queue_packets())
            frames = list(numbered_frames(flow, RECEIVED))
            for start in range(0, RECEIVED, 100):
                bound.peer.send(*frames[start : start + 100])
                seen.wait(start + 100, kind="FrameDelivered")
        assert sum(bound.netif.queue_packets()) - before >= RECEIVED
        bound.netif.down()
        configure(bound.guest, bound.netif)
        bound.netif.wait_carrier()
    agent.call("close", handle=handle)
    with bound.peer.answering():
        done = bound.netif.tool("ping", "-c", "5", "-i", "0.05", "-W", "5", "198.18.0.2")
    assert re.search(r"5 packets transmitted, 5 received", done.out)


def test_several_threads_carry_what_several_queues_hold(lab: Lab) -> None:
    """Packets gather in four rings behind a slow link, which is then without a limit; each queue's leave in order."""
    bound = lab.bound(WAYS["threads"])
    agent = bound.guest.agent
    for queue in range(QUEUES):
        bound.netif.set_bql(queue, limit_min=1_000_000)
    bound.card.rate(SLOW_MBPS)
    bound.card.call("record", kinds=[])
    for cpu in range(QUEUES):
        handle = agent.call("open_socket", kind="udp")
        address = ["198.18.0.2", PORT + cpu]
        agent.call("send_numbered", handle=handle, count=EACH, size=SIZE, address=address, cpus=[cpu])
        agent.call("close", handle=handle)
    bound.card.rate("unlimited")
    frames = bound.peer.expect(QUEUES * EACH, lambda frame: frame[12:14] == b"\x08\x00" and frame[23] == UDP)
    for cpu in range(QUEUES):
        told = [frame[HEADERS:] for frame in frames if int.from_bytes(frame[36:38], "big") == PORT + cpu]
        assert told == [numbered(b"", number, SIZE) for number in range(EACH)]
    assert bound.card.totals()["together"] > 0
    wait_until(
        lambda: all(bound.netif.bql(queue).inflight == 0 for queue in range(QUEUES)),
        Deadline.after(10),
        "every packet being completed",
    )
