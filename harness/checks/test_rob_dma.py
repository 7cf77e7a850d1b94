# SPDX-License-Identifier: BSD-3-Clause
"""The card touches only memory that it was given, and none after a reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks.bursts import calm
from harness.checks.filling import own_queue, without_ipv6
from harness.checks.mixing import connect_mix, cpu_owns_queue, wait_all_idle
from harness.checks.ownership import Owner
from harness.checks.sending import QUEUE, pinned_sender, undisturbed
from harness.checks.sinks import got, sink, summaries
from harness.claims import claim
from harness.deadline import Deadline

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

WATCHED = ("DmaRead", "DmaWrite", "TxDescriptor", "RxDescriptor", "RegisterWritten", "DeviceReset", "FrameEmitted")
PURPOSES = {"rx-descriptor", "rx-payload", "rx-write-back", "tx-descriptor", "tx-payload", "tx-write-back"}
DATAGRAMS = 150
PORT = 5303


@claim("ROB-06")
def test_card_touches_only_what_it_was_given(bound: Bound, evidence: Evidence) -> None:
    """Traffic both ways around a reset that comes while frames arrive and packets lie unreported in the ring.

    The account begins at a first reset, when the card owns nothing; each DMA is judged by address, size and purpose.
    """
    undisturbed(bound)
    without_ipv6(bound)
    receiver = sink(bound, PORT)
    frames = receiver.frames([16 + 9 * n for n in range(DATAGRAMS)])
    with cpu_owns_queue(bound), bound.card.recording(*WATCHED) as seen:
        reset(bound)
        mix = connect_mix(bound)
        mix.round(stream=60_000, datagrams=10)
        wait_all_idle(bound)
        own_queue(bound)
        sender = pinned_sender(bound)
        bound.netif.set_bql(QUEUE, limit_min=1_000_000)
        sender.send(1, 60)
        wait_all_idle(bound)
        bound.card.withhold_completions(QUEUE)
        emitted = len(seen.all("FrameEmitted"))
        sender.send(20, 500)
        seen.wait(emitted + 20, Deadline.after(10), kind="FrameEmitted")
        bound.peer.send(*frames[:50])
        reset(bound)
        bound.card.release_completions(QUEUE)
        reading = receiver.start(DATAGRAMS, 20)
        bound.peer.send(*frames)
        mix.round(stream=60_000, datagrams=10)
        read = got(reading.result(25))
        wait_all_idle(bound)
        calm(bound)
        rings = bound.netif.settings.rings()
        lengths = bound.card.registers("RDLEN[0]", "TDLEN[0]")
        size = (bound.card.register("SRRCTL", 0) & 0x7F) * 1024
    owner = Owner(size)
    events = seen.all()
    begin = next(at for at, event in enumerate(events) if event.kind == "DeviceReset")
    owner.follow(events[begin:])
    whole = set(summaries(frames))
    evidence.note(
        guest={"rings": [rings.rx, rings.tx], "datagrams whole": sum(each in whole for each in read)},
        device={"DMA by purpose": dict(owner.allowed), "resets": owner.resets, "buffer size": size, **lengths},
    )
    assert owner.violations[:5] == []
    assert set(owner.allowed) == PURPOSES
    assert owner.resets >= 2
    assert lengths == {"RDLEN[0]": rings.rx * 16, "TDLEN[0]": rings.tx * 16}
    assert len(read) == DATAGRAMS
    assert set(read) <= whole


def reset(bound: Bound) -> None:
    """Let the driver reset the card, and wait until it is in use again."""
    bound.netif.ethtool("-r")
    bound.netif.wait_carrier()
    bound.netif.details()
