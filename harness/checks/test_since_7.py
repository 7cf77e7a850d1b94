# SPDX-License-Identifier: BSD-3-Clause
"""What kernels from 7 on do otherwise than 6.12: no ticks, typed hashes, skbs that go home to be freed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks import polls
from harness.checks.arrivals import as_hashed, oracle, receive, strangers, told
from harness.checks.bursts import (
    calm,
    free_deferred,
    pin,
    place,
    receive_vector,
    steer_to,
    transmit_vector,
    unanswered,
    without_deferral,
)
from harness.checks.links import fresh_link
from harness.checks.sending import CPU, QUEUE, pinned_sender, wait_idle
from harness.claims import claim
from harness.deadline import Deadline
from harness.guest.probes import ENQUEUE

if TYPE_CHECKING:
    from harness.checks.arrivals import Reception
    from harness.evidence import Evidence
    from harness.guest.ringbuffer import Record
    from harness.lab import Bound
    from harness.seen import Recording, Seen

STATISTIC = "CRCERRS"
"""The first counter that igb_update_stats reads, as the watchdog does about every 2 s and nobody else here."""

WATCHDOG_RUNS = 3
START, FREE = "net:net_dev_start_xmit", "skb:consume_skb"
PACKETS = 60


def watchdog_ran(seen: Recording, times: int) -> None:
    """Wait until the watchdog has read the statistics ``times`` times more. ``seen`` must record RegisterRead."""

    def reads(event: Seen) -> bool:
        return bool(event.register == STATISTIC)

    before = len(seen.all("RegisterRead", reads))
    seen.wait(before + times, Deadline.after(5 * times), kind="RegisterRead", where=reads)


@claim("IRQ-24")
def test_idle_vectors_stay_idle_and_a_lost_message_is_not_made_good(bound: Bound, evidence: Evidence) -> None:
    """Three runs of the watchdog, in which a frame waits whose message was lost; the frame after it brings both in."""
    fresh_link(bound)
    vector = receive_vector(bound, QUEUE)
    place(bound, f"eth0-rx-{QUEUE}", vector, CPU)
    steer_to(bound, QUEUE)
    calm(bound)
    names = {name for name in bound.netif.irqs() if "x-" in name}
    lost, after = unanswered(bound, 2)
    with (
        bound.guest.trace.session(polls.POLL) as trace,
        bound.card.recording("RegisterRead", "RegisterWritten", "InterruptSent", "InterruptWithheld") as seen,
    ):
        before = {name: bound.netif.irqs()[name].total for name in names}
        bound.card.fault("drop_interrupts", vector=vector, count=1, when="before-mask")
        bound.peer.send(lost)
        seen.wait(1, kind="InterruptWithheld", where=lambda event: event.why == "dropped")
        watchdog_ran(seen, WATCHDOG_RUNS)
        idle = polls.polls(bound, trace.read())
        grown = sum(bound.netif.irqs()[name].total - before[name] for name in names)
        quiet = len(seen.all("InterruptSent"))
        bound.peer.send(after)
        trace.read_until(lambda: sum(r["work"] for r in polls.polls(bound, trace.records)) >= 2, "both frames polled")
    works = [record["work"] for record in polls.polls(bound, trace.records)]
    written = seen.all("RegisterWritten", lambda event: event.register == "EICS")
    evidence.note(
        guest={"interrupts meanwhile": grown, "polls meanwhile": len(idle), "work of the next poll": works},
        device={"runs of the watchdog": WATCHDOG_RUNS, "EICS writes": len(written), "messages meanwhile": quiet},
    )
    assert (grown, idle, quiet) == (0, [], 0)
    assert written == []
    assert works == [2]


@claim("RSS-19")
def test_hash_has_the_type_that_the_card_reports(bound: Bound, evidence: Evidence) -> None:
    """32 TCP flows, hashed with ports, and 32 UDP flows, hashed without: what RPS sees is the card's for TCP alone."""
    tcp, udp = strangers(bound, 32, 4, "tcp", seed=19), strangers(bound, 32, 4, "udp", seed=19, first=64)
    predict = oracle(bound)
    wanted = {len(told(flow)): predict.hash_of(as_hashed(flow)) for flow in [*tcp, *udp]}
    for queue in range(bound.netif.queue_count[0]):
        bound.netif.set_rps(queue, [CPU])
    with bound.guest.trace.session(probes=[ENQUEUE]) as trace:
        found = receive(bound, [told(flow) for flow in [*tcp, *udp]])
    seen_by_rps = [record["hash"] for record in trace.named("enq")]
    marks = {kind: {skb["l4_hash"] for skb in skbs} for kind, skbs in by_protocol(found.skbs).items()}
    card = {kind: {skb["hash"] for skb in skbs} for kind, skbs in by_protocol(found.skbs).items()}
    evidence.note(
        guest={"l4_hash": {kind: sorted(values) for kind, values in marks.items()}, "seen by RPS": len(seen_by_rps)},
        device={"hashes written back": len(found_by_card(found))},
    )
    assert found.hashes() == found.device_hashes() == wanted
    assert marks == {"tcp": {1}, "udp": {0}}
    assert len(seen_by_rps) == len(tcp) + len(udp)
    assert set(seen_by_rps) & found_by_card(found) == card["tcp"]


def found_by_card(found: Reception) -> set[int]:
    """Return the hashes that the card wrote back."""
    return {event.rss_hash for event in found.events}


def by_protocol(skbs: list[Record]) -> dict[str, list[Record]]:
    """Return the skbs of the first half, which are TCP, and of the second."""
    half = len(skbs) // 2
    ordered = sorted(skbs, key=lambda record: int(record["len"]))
    return {"tcp": ordered[:half], "udp": ordered[half:]}


def ended(records: list[Record]) -> list[Record]:
    """Return where each skb that was sent on the queue was freed; addresses come again."""
    live: set[int] = set()
    found = []
    for record in records:
        if record.name == START and record["queue_mapping"] == QUEUE:
            live.add(record["skbaddr"])
        elif record.name == FREE and record["skbaddr"] in live:
            live.discard(record["skbaddr"])
            found.append(record)
    return found


@claim("TXC-18")
def test_completed_skb_is_freed_where_it_was_allocated(bound: Bound, evidence: Evidence) -> None:
    """60 packets from CPU 2 whose completions CPU 0 polls, with deferral and without."""
    poller = 0
    sender = pinned_sender(bound)
    pin(bound, f"eth0-tx-{QUEUE}", poller)
    transmit = transmit_vector(bound, QUEUE)
    bound.card.fault("spurious_interrupt", vector=transmit)
    sender.send(1, 60)
    wait_idle(bound, QUEUE)
    calm(bound)
    freed, charged = [], []
    for defers in (True, False):
        if not defers:
            without_deferral(bound)
        with (
            bound.guest.trace.session(START, FREE) as trace,
            bound.card.recording("TxWriteBack") as seen,
        ):
            sender.send(PACKETS)
            wait_idle(bound, QUEUE)
            charged.append(bound.guest.agent.call("queued", handle=sender.handle)["out"])
            free_deferred(bound)
            calm(bound)
        ends = [record.cpu for record in ended(trace.records) if record.in_softirq]
        freed.append((len(ends), sorted(set(ends)), len(seen.all())))
    evidence.note(
        guest={"freed (skbs, CPUs, reported) with deferral, without": freed, "charged": charged},
        device={"write-backs": [reported for _, _, reported in freed]},
    )
    assert freed == [(PACKETS, [CPU], PACKETS), (PACKETS, [poller], PACKETS)]
    assert charged == [0, 0]
