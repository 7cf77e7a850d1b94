# SPDX-License-Identifier: BSD-3-Clause
"""Too much at once: a storm of messages, and all kinds of faults one after the other."""

from __future__ import annotations

import random
import zlib
from typing import TYPE_CHECKING

from harness.checks.bursts import pin, receive_vector, steer_to
from harness.checks.filling import without_ipv6
from harness.checks.links import replug
from harness.checks.mixing import UDP_PORT, connect_mix, cpu_owns_queue
from harness.checks.sending import QUEUE, pinned_sender, wait_idle
from harness.checks.sinks import got, sink, summaries
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.dissect import dissect
from harness.errors import NotSeen
from harness.settling import unrest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from harness.evidence import Evidence
    from harness.lab import Bound

STORM, GUST = 100_000, 2000
STRUCK = 3
"""The CPU that serves the vector of the storm."""

ANSWER_S = 10.0
SEED = 11
STEPS = 24
FLAPS = (8, 16)
REST_S = 10.0
SOAK_S = 120.0
DATAGRAMS = 10
UDP = 17
VECTORS = 9


@claim("ROB-10")
def test_storm_of_messages_is_survived(bound: Bound, evidence: Evidence) -> None:
    """100000 messages without a cause for one vector, as fast as the card can send them, 2000 for each command.

    Meanwhile the CPU that serves the vector must do a small task for each 2000; afterwards frames pass both ways on it.
    """
    steer_to(bound, QUEUE)
    vector = receive_vector(bound, QUEUE)
    handler = f"{bound.netif.name}-rx-{QUEUE}"
    pin(bound, handler, STRUCK)
    receiver, sender = sink(bound), pinned_sender(bound)
    before, sent = bound.netif.irqs()[handler].total, bound.card.counts().get("InterruptSent", 0)
    answers = []
    for _ in range(STORM // GUST):
        answer = bound.guest.agent.start("clock", cpus=[STRUCK])
        bound.card.fault("duplicate_interrupts", vector=vector, count=GUST - 1)
        bound.card.fault("spurious_interrupt", vector=vector)
        answers.append(answer.result(ANSWER_S)["monotonic"])
    messages = bound.card.counts()["InterruptSent"] - sent
    grown = bound.netif.irqs()[handler].total - before
    frames = receiver.frames([100 + n for n in range(50)])
    reading = receiver.start(len(frames), ANSWER_S)
    bound.peer.send(*frames)
    read = got(reading.result(ANSWER_S + 5))
    sender.send(50)
    came = bound.peer.expect(50, sender.is_mine)
    wait_idle(bound, QUEUE)
    evidence.note(
        guest={"answers": len(answers), "interrupts": grown, "datagrams": len(read)},
        device={"messages": messages, "frames": len(came)},
    )
    assert messages >= STORM
    assert answers == sorted(answers)
    assert len(answers) < grown <= messages
    assert read == summaries(frames)
    assert came == sender.frames(50)


def strike(bound: Bound, pick: random.Random) -> str:
    """Let the card misbehave once, as ``pick`` says; return how."""
    vector = pick.randrange(1, VECTORS)
    kind = pick.choice(("lost", "repeated", "spurious", "withheld"))
    if kind == "lost":
        bound.card.fault("drop_interrupts", vector=vector, count=1, when="before-mask")
    elif kind == "repeated":
        bound.card.fault("duplicate_interrupts", vector=vector, count=pick.randint(1, 5))
    elif kind == "spurious":
        bound.card.fault("spurious_interrupt", vector=vector)
    else:
        bound.card.withhold_completions(pick.randrange(4))
    return kind


def damaged(frames: Iterable[bytes]) -> tuple[int, int]:
    """Return of how many datagrams of the mix that came the CRC-32 at the end is wrong, and how many came."""
    bad = all_of_them = 0
    for frame in frames:
        packet = dissect(frame)
        if packet.protocol == UDP and UDP_PORT <= (packet.destination_port or 0) < UDP_PORT + 4:
            payload = packet.payload
            all_of_them += 1
            bad += zlib.crc32(payload[:-4]) != int.from_bytes(payload[-4:], "big")
    return bad, all_of_them


def comes_true(fact: Callable[[], bool], seconds: float) -> bool:
    """Say whether ``fact`` comes true in time."""
    try:
        wait_until(lambda: fact() or None, Deadline.after(seconds), "it", NotSeen)
    except NotSeen:
        return False
    return True


@claim("ROB-11")
def test_random_faults_are_recovered_from(bound: Bound, evidence: Evidence) -> None:
    """24 faults as a seed picks them, two link flaps among them, each under traffic both ways: about 20 s.

    A lost message costs up to 2 s, until the driver's watchdog raises the vector (one lost after the vector has masked
    itself would cost the vector, and is not among them). Ten seconds after the last everything
    is at rest, and no datagram either way was damaged.
    """
    pick = random.Random(SEED)  # noqa: S311 - a reproducible choice, not a secret
    without_ipv6(bound)
    receiver = sink(bound)
    number, struck, sent = 0, [], []
    with (
        cpu_owns_queue(bound),
        bound.console.expecting("Reset adapter", "Detected Tx Unit Hang", "NETDEV WATCHDOG"),
    ):
        mix = connect_mix(bound)
        bound.peer.forget()
        reading = bound.guest.agent.start(
            "receive", handle=receiver.handle, count=0, seconds=SOAK_S, keep=16, stop="soak"
        )
        for step in range(STEPS):
            if step in FLAPS:
                replug(bound)
                bound.netif.details()
                struck.append("flap")
            else:
                struck.append(strike(bound, pick))
            frames = receiver.frames([20 + pick.randrange(1400) for _ in range(DATAGRAMS)], first=number)
            number += DATAGRAMS
            sent += frames
            bound.peer.send(*frames)
            mix.round(stream=8000, datagrams=2)
            for queue in range(4):
                bound.card.release_completions(queue)
        bound.card.heal()
        mix.round(stream=0, datagrams=1)  # a message makes a lost one good, where the watchdog raises no vector

        restless: list[str] = []

        def rested() -> bool:
            restless[:] = unrest(bound)
            now = bound.card.registers("EIMS", "EIAC", "EICR")
            if now["EIMS"] & now["EIAC"] != now["EIAC"] or now["EICR"] & now["EIAC"]:
                restless.append(f"vectors are {now}")
            waiting = [bound.guest.agent.call("queued", handle=each)["out"] for each in (*mix.tcp, *mix.udp)]
            if any(waiting):
                restless.append(f"sockets hold {waiting}")
            return not restless

        at_rest = comes_true(rested, REST_S)
        bound.guest.agent.call("halt", stop="soak")
        read = got(reading.result(30))
        bad, came = damaged(arrival.frame for arrival in bound.peer.arrivals)
    whole = set(summaries(sent))
    evidence.note(
        guest={"restless": restless, "datagrams in": len(read), "damaged": sum(each not in whole for each in read)},
        device={"faults": struck, "datagrams out": came, "damaged": bad},
    )
    assert restless == []
    assert at_rest
    assert set(read) <= whole
    assert len(read) > len(sent) // 2
    assert (bad, came > STEPS) == (0, True)
    assert {"lost", "repeated", "spurious", "withheld", "flap"} == set(struck)
