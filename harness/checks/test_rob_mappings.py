# SPDX-License-Identifier: BSD-3-Clause
"""What the driver hands to the card: mapped for as long as the card has it, nothing twice, nothing unwritten."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from harness.checks.bursts import calm
from harness.checks.clocks import Comparison
from harness.checks.filling import own_queue, without_ipv6
from harness.checks.mixing import wait_all_idle
from harness.checks.sending import QUEUE, pinned_sender, undisturbed
from harness.checks.sinks import got, sink, summaries
from harness.checks.test_rob_dma import reset
from harness.claims import claim
from harness.deadline import Deadline
from harness.guest.probes import READ_REGISTER
from harness.sanitizer import judge
from harness.sanitizer.mappings import EVENTS, Mappings, pci_address
from harness.sanitizer.postings import KINDS, Postings, Sizes
from harness.sanitizer.rings import receive_buffers

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

DATAGRAMS = 400
"""More than the slots of a ring: buffers that come back are handed over again, and the card fetches those."""

PACKETS = 24
HELD = 20
PORT = 5304


@claim("ROB-14")
def test_buffers_stay_mapped_until_the_card_gives_them_back(bound: Bound, evidence: Evidence) -> None:
    """The account begins at a reset. Then a ring's worth of frames comes in, and packets lie sent and unreported.

    The card reports them a while after it has sent them: who unmaps at the hand-over, or when the frame has left, is
    early by all that time. The clocks are compared before and after, and only what is early beyond their error counts.
    """
    undisturbed(bound)
    without_ipv6(bound)
    own_queue(bound)
    sender = pinned_sender(bound)
    bound.netif.set_bql(QUEUE, limit_min=1_000_000)
    receiver = sink(bound, PORT)
    with (
        bound.guest.trace.session(*EVENTS, probes=(READ_REGISTER,), stacks=EVENTS, buffer_kb=8192) as trace,
        bound.card.recording(*KINDS, "FrameEmitted") as seen,
    ):
        reset(bound)
        clocks = Comparison(bound, trace)
        clocks.compare()
        sender.send(PACKETS - HELD, 60)
        wait_all_idle(bound)
        reading = receiver.start(DATAGRAMS, 20)
        bound.peer.send(*receiver.frames([16 + n for n in range(DATAGRAMS)]))
        read = got(reading.result(25))
        emitted = len(seen.all("FrameEmitted", lambda event: event.queue == QUEUE))
        bound.card.withhold_completions(QUEUE)
        sender.send(HELD, 500)
        seen.wait(emitted + HELD, Deadline.after(10), kind="FrameEmitted", where=lambda event: event.queue == QUEUE)
        bound.card.release_completions(QUEUE)
        wait_all_idle(bound)
        calm(bound)
        clocks.compare()
    relation = clocks.clocks()
    assert relation is not None
    postings, mappings = Postings(Sizes.of_card(bound.card)), Mappings()
    events = seen.all()
    postings.follow(events[next(at for at, event in enumerate(events) if event.kind == "DeviceReset") :])
    device = pci_address(bound)
    mappings.follow(trace.records, device, relation.on_card, bound.guest.symbols.name_of)
    recorded = relation.on_card(trace.records[0].t), relation.on_card(trace.records[-1].t)
    found = [
        *judge.judge(postings.all, mappings, relation.error_ns, recorded),
        *judge.strays(postings.strays, mappings),
    ]
    handed = Counter(posting.direction for posting in postings.all)
    stacks = {each.begun.stack[0] for each in mappings.all if each.begun.stack}
    evidence.note(
        guest={"mapped": len(mappings.all), "by": sorted(stacks), "datagrams": len(read)},
        device={"handed over": dict(handed), "resets": postings.resets, "clocks": relation.told},
    )
    evidence.attach("findings", "\n".join(map(str, found)) or "none")
    assert [str(each) for each in found[:3]] == []
    assert handed["tx"] >= PACKETS
    assert handed["rx"] >= DATAGRAMS
    assert len(read) == DATAGRAMS
    assert all(name.startswith("igb_") for name in stacks)


@claim("ROB-15")
def test_no_memory_is_handed_over_twice_or_unwritten(bound: Bound, evidence: Evidence) -> None:
    """All receive rings are read at rest, before and after a ring's worth of frames, and each hand-over is followed.

    What leaves meanwhile is compared with what was sent, byte for byte.
    """
    undisturbed(bound)
    without_ipv6(bound)
    own_queue(bound)
    sender = pinned_sender(bound)
    bound.netif.set_bql(QUEUE, limit_min=1_000_000)
    receiver = sink(bound, PORT)
    frames = receiver.frames([16 + n for n in range(DATAGRAMS)])
    queues = bound.netif.queue_count[0]
    found: list[judge.Finding] = []
    with bound.card.recording(*KINDS, "FrameEmitted") as seen:
        reset(bound)
        calm(bound)
        sizes = Sizes.of_card(bound.card)
        before = receive_buffers(bound.card, queues, sizes)
        found += judge.in_rings(before)
        reading = receiver.start(DATAGRAMS, 20)
        bound.peer.send(*frames)
        sender.send(PACKETS, 700)
        read = got(reading.result(25))
        wait_all_idle(bound)
        calm(bound)
        after = receive_buffers(bound.card, queues, sizes)
        found += judge.in_rings(after)
    postings = Postings(sizes)
    events = seen.all()
    postings.follow(events[next(at for at, event in enumerate(events) if event.kind == "DeviceReset") :])
    found += judge.clashes(postings.clashes)
    left = [event.frame for event in events if event.kind == "FrameEmitted" and sender.is_mine(event.frame)]
    evidence.note(
        guest={"datagrams": len(read), "packets": PACKETS},
        device={"receive buffers at once": [len(before), len(after)], "handed over": len(postings.all)},
    )
    evidence.attach("findings", "\n".join(map(str, found)) or "none")
    assert [str(each) for each in found[:3]] == []
    assert left == sender.frames(PACKETS, 700)
    assert min(len(before), len(after)) >= queues * (bound.netif.settings.rings().rx - 32)
    assert sorted(read) == sorted(summaries(frames))
