# SPDX-License-Identifier: BSD-3-Clause
"""A connection whose sender moves between CPUs that have queues of their own."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.answers_tcp import answer_tcp
from harness.checks.chains import HASHED, PATIENCE_S
from harness.checks.connections import answer_handshake, connect, patient
from harness.checks.mixing import sent_packets, wait_all_idle
from harness.checks.sending import b64, undisturbed, wait_idle, without_bql
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.dissect import dissect
from harness.errors import NotSeen
from harness.traffic import FILLER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.checks.connections import Connection
    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Recording

OF_CPU = {1: 2, 3: 0}
"""The queues of the two CPUs between which the sender moves."""

SEEN = ("TxDescriptor", "TxWriteBack", "FrameEmitted", "FrameArrived")


def early(log: Sequence[tuple[str, int, int]]) -> list[tuple[int, int]]:
    """Return (queue, end) of each segment in ``log`` that changed queue while an older one was still under way.

    Entries are ("sent", queue, end of the segment), ("completed", queue, end) and ("acknowledged", 0, up to).
    """
    found, under_way, last = [], list[tuple[int, int]](), -1
    for what, queue, end in log:
        if what == "sent":
            if queue != last and any(other != queue for other, _ in under_way):
                found.append((queue, end))
            under_way.append((queue, end))
            last = queue
        elif what == "completed":
            under_way = [(other, at) for other, at in under_way if other != queue or at > end]
        else:
            under_way = [(other, at) for other, at in under_way if at > end]
    return found


def log_of(seen: Recording, connection: Connection) -> list[tuple[str, int, int]]:
    """Return the card's log as ``early`` reads it: what was sent when fetched, completed when DD was written."""
    fetched = sent_packets(seen.all("TxDescriptor"))
    payloads = {queue: [dissect(e.frame) for e in seen.all("FrameEmitted") if e.queue == queue] for queue in range(4)}
    entries: list[tuple[int, tuple[str, int, int]]] = []
    ends: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for packet in fetched:
        frames = [payloads[packet.queue].pop(0) for _ in range(packet.frames)]
        mine = [one for one in frames if connection.is_mine(one.frame) and one.payload]
        if mine:
            end = connection.offset(mine[-1]) + len(mine[-1].payload)
            entries.append((packet.end, ("sent", packet.queue, end)))
            ends.setdefault((packet.queue, packet.last), []).append((packet.end, end))
    for event in seen.all():
        if event.kind == "TxWriteBack" and (at := ends.get((event.queue, event.index))):
            written = [end for number, end in at if number < event.number]
            entries += [(event.number, ("completed", event.queue, max(written)))] if written else []
        elif event.kind == "FrameArrived" and dissect(event.frame).destination_port == connection.port:
            number = int.from_bytes(event.frame[42:46], "big")
            entries.append((event.number, ("acknowledged", 0, (number - connection.start) & 0xFFFF_FFFF)))
    return [entry for _, entry in sorted(entries)]


def prepare(bound: Bound) -> None:
    """Give both CPUs their queues, without byte limits, and keep TCP from sending anything twice."""
    undisturbed(bound)
    patient(bound)
    for cpu, queue in OF_CPU.items():
        without_bql(bound, queue, cpu)


@claim("EGR-18")
def test_connection_stays_while_anything_is_in_flight(bound: Bound, evidence: Evidence) -> None:
    """Segments of 100 bytes and more from CPU 1, then from CPU 3, whose queue is another, and back.

    They stay on the first queue while its completions are withheld, move once these have come, stay again while the
    other's are withheld, and move once the partner has acknowledged all: what has arrived cannot be overtaken. Two at
    a time are withheld, since TCP may stop at two (tcp_small_queue_check).
    """
    prepare(bound)
    agent, sizes = bound.guest.agent, iter(range(100, 200))
    with bound.peer.answering(answer_handshake):
        connection = connect(bound, 1)
        with bound.guest.trace.session(probes=(HASHED,)) as trace, bound.card.recording(*SEEN) as seen:

            def write(cpu: int) -> None:
                payload = b64(FILLER[: next(sizes)])
                agent.call("send_each", cpus=[cpu], handle=connection.handle, payloads=[payload])

            wait_idle(bound, OF_CPU[1])
            bound.card.withhold_completions(OF_CPU[1])
            for cpu in (1, 3):
                write(cpu)
            seen.wait(2, kind="FrameEmitted", where=lambda e: connection.is_data(e.frame))
            bound.card.release_completions(OF_CPU[1])
            wait_idle(bound, OF_CPU[1])
            bound.card.withhold_completions(OF_CPU[3])
            for cpu in (3, 1):
                write(cpu)
            seen.wait(4, kind="FrameEmitted", where=lambda e: connection.is_data(e.frame))
            connection.acknowledge(sum(range(100, 104)))
            write(1)
            emitted = seen.wait(5, kind="FrameEmitted", where=lambda e: connection.is_data(e.frame))
            log = log_of(seen, connection)
            bound.card.release_completions(OF_CPU[3])
            wait_idle(bound, OF_CPU[3])
        agent.call("close", handle=connection.handle)
    lengths = {len(event.frame) for event in emitted}
    said = [record["qm"] for record in trace.records if record["len"] in lengths]
    saw = [event.queue for event in emitted]
    evidence.note(guest={"queue_mapping": said}, device={"queue": saw, "log": log})
    assert said == saw == [OF_CPU[1]] * 2 + [OF_CPU[3]] * 2 + [OF_CPU[1]]
    assert not early(log)


@claim("EGR-18")
def test_wandering_sender_overtakes_nothing(bound: Bound, evidence: Evidence) -> None:
    """Four rounds of 30 writes of 2000 bytes by a thread that changes its CPU in between without waiting.

    The partner acknowledges everything. Each round begins at rest and on the other CPU, so that three moves are
    certain. The reader of the log is shown one with an early segment first.
    """
    completed, overtaken = ("completed", 2, 100), [("sent", 2, 100), ("sent", 0, 200)]
    assert early(overtaken) == [(0, 200)]
    assert not early([overtaken[0], completed, overtaken[1]])
    prepare(bound)
    rounds, count, size, pick = 4, 30, 2000, random.Random(18)  # noqa: S311 - a reproducible choice
    whole = FILLER[: rounds * count * size // 2] * 2
    places = [[(1, 3)[at % 2], *(pick.choice((1, 3)) for _ in range(count - 1))] for at in range(rounds)]
    with bound.peer.answering(answer_tcp):
        connection = connect(bound, 1)
        with bound.card.recording(*SEEN) as seen:
            for at, cpus in enumerate(places):
                first = at * count * size
                told = [b64(whole[first + size * n : first + size * (n + 1)]) for n in range(count)]
                bound.guest.agent.call("send_wandering", cpus=[1], handle=connection.handle, payloads=told, on=cpus)
                heard = f"round {at} being acknowledged"
                wait_until(lambda: connection.unacknowledged() == 0, Deadline.after(PATIENCE_S), heard, NotSeen)
                wait_all_idle(bound)
            emitted = [e for e in seen.all("FrameEmitted") if connection.is_data(e.frame)]
            log = log_of(seen, connection)
        bound.guest.agent.call("close", handle=connection.handle)
    queues = [event.queue for event in emitted]
    moves = sum(one != other for one, other in pairwise(queues))
    evidence.note(guest={"CPUs": places}, device={"queues": queues, "moves": moves})
    assert moves >= rounds - 1
    assert b"".join(dissect(event.frame).payload for event in emitted) == whole
    assert sum(what == "sent" for what, *_ in log) >= moves
    assert not early(log)
