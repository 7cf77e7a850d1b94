# SPDX-License-Identifier: BSD-3-Clause
"""Messages that are lost or superfluous, and the watchdog's tick that makes good a loss (Linux 6.12)."""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from harness.checks import polls
from harness.checks.bursts import (
    armings,
    arms,
    arms_any,
    calm,
    messages,
    one_by_one,
    place,
    quiet,
    receive_vector,
    steer_to,
    unanswered,
)
from harness.claims import claim
from harness.deadline import Deadline

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Seen

QUEUE, CPU = 1, 2
ETH_P_IP = 0x0800
TICK_NS = 2_000_000_000
LATE_NS = 1_200_000_000
"""How late a tick may be: the timer is rounded to whole seconds (round_jiffies), and an emulated guest is slow."""


def is_tick(event: Seen) -> bool:
    """Tell whether a RegisterWritten event is a write of EICS."""
    return bool(event.register == "EICS")


class Tap:
    """A packet socket of the guest that keeps whole IPv4 frames."""

    def __init__(self, bound: Bound) -> None:
        self._agent = bound.guest.agent
        self._handle = self._agent.call("open_socket", kind="packet", protocol=ETH_P_IP)
        self._agent.call("bind", handle=self._handle, address=[bound.netif.name, ETH_P_IP])

    def take(self, count: int, quiet_s: float = 0.2) -> list[bytes]:
        """Return the frames so far, up to one more than ``count``; the end is ``quiet_s`` without any."""
        answer = self._agent.call(
            "receive", handle=self._handle, count=count + 1, seconds=5.0, quiet_s=quiet_s, body=True
        )
        return [base64.b64decode(body) for _, _, _, body in answer["got"]]


@claim("IRQ-16")
@pytest.mark.four_queues
def test_the_watchdog_raises_every_queue_vector_about_every_two_seconds(bound: Bound, evidence: Evidence) -> None:
    """Two ticks of an idle interface, counted from one to the next but one: each line of the guest must grow by two."""
    queues = range(bound.netif.queue_count[0])
    names = [f"eth0-rx-{queue}" for queue in queues] + [f"eth0-tx-{queue}" for queue in queues]
    bits = sum(1 << 1 + number for number in range(len(names)))
    counts = []
    with bound.card.recording("InterruptSent", "RegisterWritten") as seen:
        for ticks in (1, 3):
            seen.wait(ticks, Deadline.after(10), kind="RegisterWritten", where=is_tick)
            calm(bound)
            counts.append({name: irq.total for name, irq in bound.netif.irqs().items()})
    written = seen.all("RegisterWritten", is_tick)
    grown = {name: counts[1][name] - counts[0][name] for name in names}
    gaps = [late.t_ns - early.t_ns for early, late in pairwise(written)]
    sent = {vector: len(messages(seen, vector)) for vector in range(1, 1 + len(names))}
    evidence.note(
        guest=grown,
        device={"EICS": [hex(event.value) for event in written], "gaps, ms": [gap // 1_000_000 for gap in gaps]},
    )
    assert [event.value for event in written] == [bits] * 3
    assert grown == dict.fromkeys(names, 2)
    assert set(sent.values()) == {3}
    assert all(TICK_NS - LATE_NS < gap < TICK_NS + LATE_NS for gap in gaps), gaps


@claim("IRQ-17")
@pytest.mark.four_queues
def test_spurious_and_repeated_messages_do_no_harm(bound: Bound, evidence: Evidence) -> None:
    """Ten messages without a cause, one at a time: ten polls of 0. Then 40 numbered frames, each announced twice.

    The frames are compared byte for byte and in order with what was sent.
    """
    steer_to(bound, QUEUE)
    vector = receive_vector(bound, QUEUE)
    place(bound, f"eth0-rx-{QUEUE}", vector, CPU)
    quiet(bound)
    log = bound.guest.proc.log()[-1].sequence
    tap = Tap(bound)
    before = bound.netif.queue_packets()
    with (
        bound.guest.trace.session(polls.POLL) as trace,
        bound.card.recording("InterruptSent", "RegisterWritten", "RxWriteBack") as seen,
    ):
        for number in range(10):
            bound.card.fault("spurious_interrupt", vector=vector)
            seen.wait(number + 1, kind="RegisterWritten", where=lambda event: arms(event, vector))
        calm(bound)
        idle_works = [record["work"] for record in polls.polls(bound, trace.read())]
        idle = [event for event in seen.all("RegisterWritten") if not event.register.startswith("EITR")]
        idle_growth = list(bound.netif.queue_packets() - before)
        frames = unanswered(bound, 40)
        for frame in frames:
            bound.card.fault("duplicate_interrupts", vector=vector)
            one_by_one(bound, seen, [frame])
        calm(bound)
        works = [record["work"] for record in polls.polls(bound, trace.read())]
    received = tap.take(len(frames))
    sent = messages(seen, vector)
    complaints = [record.text for record in bound.guest.proc.log(log) if record.level <= 4]
    evidence.note(
        guest={"work, idle": idle_works, "work, with frames": works, "frames": len(received), "log": complaints},
        device={"messages": len(sent), "without a cause": sum(event.why == "fault" for event in sent)},
    )
    assert idle_works == [0] * 10
    assert [event.value for event in idle] == [1 << vector] * 10, "an empty poll writes EIMS and nothing else"
    assert idle_growth == [0] * len(before)
    assert len(sent) == 10 + 2 * len(frames)
    assert sum(works) == len(frames)
    assert len(frames) <= len(works) <= 2 * len(frames)
    assert received == frames
    assert complaints == []


@claim("IRQ-18")
def test_a_lost_message_is_made_good_by_the_next_tick(bound: Bound, evidence: Evidence) -> None:
    """The message is lost right after a tick, so that the frame must wait for nearly a whole period."""
    steer_to(bound, QUEUE)
    vector = receive_vector(bound, QUEUE)
    place(bound, f"eth0-rx-{QUEUE}", vector, CPU)
    [frame] = unanswered(bound, 1)
    tap = Tap(bound)
    with (
        bound.guest.trace.session(polls.POLL) as trace,
        bound.card.recording(
            "FrameDelivered", "InterruptSent", "InterruptWithheld", "AutoMasked", "RegisterWritten"
        ) as seen,
    ):
        seen.wait(1, Deadline.after(5), kind="RegisterWritten", where=is_tick)
        calm(bound)
        trace.read()
        bound.card.fault("drop_interrupts", vector=vector, count=1, when="before-mask")
        bound.peer.send(frame)
        [lost] = seen.wait(1, kind="InterruptWithheld", where=lambda event: event.why == "dropped")
        start = bound.guest.agent.call("clock")["monotonic"]
        seen.wait(2, Deadline.after(5), kind="RegisterWritten", where=is_tick)
        calm(bound)
        works = [(r["work"], r.t) for r in polls.polls(bound, trace.read())]
    after = [event for event in seen.all() if event.number > lost.number]
    kinds = [
        "tick" if event.kind == "RegisterWritten" and is_tick(event) else event.kind
        for event in after
        if event.fields.get("vector", vector) == vector
        and (event.kind != "RegisterWritten" or is_tick(event) or (arms_any(event) and arms(event, vector)))
    ]
    received = tap.take(1)
    delays = [t - start for work, t in works if work]
    evidence.note(
        guest={"work of each poll": [work for work, _ in works], "delay, ms": [d // 1_000_000 for d in delays]},
        device={"after the loss": kinds, "arming writes": len(armings(seen, vector))},
    )
    assert kinds[:4] == ["tick", "AutoMasked", "InterruptSent", "RegisterWritten"], "not masked before the tick"
    assert sorted(work for work, _ in works)[-2:] == [0, 1]
    [delay] = delays
    assert 0 < delay <= TICK_NS + LATE_NS
    assert received == [frame]
