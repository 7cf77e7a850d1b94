# SPDX-License-Identifier: BSD-3-Clause
"""Interrupt moderation: the interval that ethtool sets, and the one that the driver finds from the traffic."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from harness.checks.arrivals import strangers
from harness.checks.bursts import messages, one_by_one, quiet, receive_vector, steer_to, unanswered
from harness.claims import claim
from harness.oracles import moderation
from harness.oracles.moderation import Traffic
from harness.traffic import frame, numbered

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Recording, Seen

QUEUE = 2
NS_PER_US = 1000
ENOUGH, MOST = 5, 60
REFUSED = (2, 4, 9, 10_001)
UDP_HEADERS = 42
SHORTEST = 60


def intervals(seen: Recording, vector: int) -> list[Seen]:
    """Return the writes to the moderation register of ``vector``."""
    return seen.all("RegisterWritten", lambda event: event.register == f"EITR[{vector}]")


def throttled(seen: Recording, vector: int) -> int:
    """Return how often the card kept a message of ``vector`` back for its interval."""
    return len(seen.all("InterruptWithheld", lambda event: (event.vector, event.why) == (vector, "throttled")))


@claim("IRQ-14")
def test_a_fixed_moderation_interval_is_kept(bound: Bound, evidence: Evidence) -> None:
    """Intervals of 50, 2500, 8000 and 10000 us; of 8000, longer than a guest's round trip, 5 must have bitten.

    10000 is above what the field holds and becomes 1808: igb_write_itr masks its value without looking.

    What is written must wait for the vector's next interrupt, and four settings outside the range must be refused.
    """
    steer_to(bound, QUEUE)
    vector = receive_vector(bound, QUEUE)
    quiet(bound)
    shown, written, gaps, kept_back = {}, {}, {}, {}
    line = bound.netif.irqs()[f"eth0-rx-{QUEUE}"].total
    with bound.card.recording("InterruptSent", "InterruptWithheld", "RegisterWritten") as seen:
        for usecs in (50, 2_500, 8_000, 10_000):
            at = len(intervals(seen, vector)), len(messages(seen, vector)), throttled(seen, vector)
            bound.netif.settings.set_coalescing(rx_usecs=usecs)
            shown[usecs] = bound.netif.settings.coalescing()["rx-usecs"]
            early = len(intervals(seen, vector)) - at[0]
            for data in unanswered(bound, MOST):
                one_by_one(bound, seen, [data])
                if throttled(seen, vector) - at[2] >= ENOUGH:
                    break
            sent = messages(seen, vector)[at[1] :]
            written[usecs] = early, [hex(event.value) for event in intervals(seen, vector)[at[0] :]]
            gaps[usecs] = min(late.t_ns - soon.t_ns for soon, late in pairwise(sent[1:]))
            kept_back[usecs] = throttled(seen, vector) - at[2]
    grown = bound.netif.irqs()[f"eth0-rx-{QUEUE}"].total - line
    refused = [bound.netif.ethtool("-C", "rx-usecs", usecs, check=False).err.strip() for usecs in REFUSED]
    evidence.note(
        guest={"rx-usecs": shown, "interrupts": grown, "refusals": refused},
        device={
            "writes before the next interrupt, and all": written,
            "shortest gap, us": {usecs: gap // NS_PER_US for usecs, gap in gaps.items()},
            "kept back": kept_back,
        },
    )
    assert shown == {usecs: usecs for usecs in shown}
    assert written == {usecs: (0, [hex(moderation.fixed_eitr(usecs))]) for usecs in shown}
    asked = {usecs: moderation.interval_us(moderation.fixed_eitr(usecs)) for usecs in shown}
    assert list(asked.values()) == [50, 2_500, 8_000, 1_808]
    assert [usecs for usecs, gap in gaps.items() if gap < asked[usecs] * NS_PER_US] == []
    assert kept_back[8_000] >= ENOUGH
    assert grown == len(messages(seen, vector))
    assert all("Invalid argument" in said for said in refused), refused


@claim("IRQ-15")
@pytest.mark.parametrize("setting", [moderation.DYNAMIC, moderation.CONSERVATIVE])
def test_adaptive_moderation_is_a_function_of_the_traffic(bound: Bound, evidence: Evidence, setting: int) -> None:
    """One frame an interrupt, of sizes on both sides of each edge: 300 and 1200 bytes with overhead, and the floor.

    Each interrupt writes what the poll before it computed, if that differs; the first one writes the start, 648.
    """
    sizes = (SHORTEST, SHORTEST, 1514, 1514, 276, 277, SHORTEST, 1175, 1176, 600, 1000, SHORTEST)
    steer_to(bound, QUEUE)
    vector = receive_vector(bound, QUEUE)
    quiet(bound)
    bound.netif.settings.set_coalescing(rx_usecs=moderation.DYNAMIC + moderation.CONSERVATIVE - setting)
    bound.netif.settings.set_coalescing(rx_usecs=setting)
    [flow] = strangers(bound, 1, protocol="udp")
    before = bound.netif.per_queue("rx", "packets"), bound.netif.per_queue("rx", "bytes")
    with bound.card.recording("InterruptSent", "RegisterWritten", "FrameDelivered") as seen:
        for number, size in enumerate(sizes):
            payload = b"" if size == SHORTEST else numbered(flow.number, number, size - UDP_HEADERS)
            one_by_one(bound, seen, [frame(flow, payload)])
    packets = (bound.netif.per_queue("rx", "packets") - before[0])[QUEUE]
    octets = (bound.netif.per_queue("rx", "bytes") - before[1])[QUEUE]
    delivered = [event.length for event in seen.all("FrameDelivered")]
    written = [event.value for event in intervals(seen, vector)]
    expected = predicted(sizes, setting)
    shown = bound.netif.settings.coalescing()["rx-usecs"]
    evidence.note(
        guest={"rx-usecs": shown, "packets": packets, "bytes": octets},
        device={"EITR": [hex(value) for value in written], "messages": len(messages(seen, vector))},
    )
    assert shown == setting
    assert written == expected
    assert delivered == list(sizes)
    assert (packets, octets) == (len(sizes), sum(sizes))
    assert len(messages(seen, vector)) == len(sizes)


def predicted(sizes: tuple[int, ...], setting: int) -> list[int]:
    """Return what the interrupts of single frames of ``sizes`` write to EITR."""
    written = []
    now, fresh = moderation.START_ITR, True
    for size in sizes:
        if fresh:
            written.append(moderation.eitr(now))
        following = moderation.adaptive_itr(now, Traffic(rx_packets=1, rx_bytes=size), setting)
        fresh = following != now
        now = following
    return written
