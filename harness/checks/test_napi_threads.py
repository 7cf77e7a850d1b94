# SPDX-License-Identifier: BSD-3-Clause
"""Who polls: the softirq at the end of an interrupt, a kernel thread of the NAPI's own, or ksoftirqd."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from harness.checks import polls
from harness.checks.bursts import calm, fill, one_by_one, quiet, receive_vector, steer_to, stream, unanswered
from harness.checks.test_irq import queues_in_use
from harness.checks.test_napi import CPU, QUEUE, prepare
from harness.checks.test_napi_load import slow_reception
from harness.claims import claim
from harness.guest import netdev_family
from harness.oracles import napi

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.guest.ringbuffer import Record
    from harness.guest.trace import Session
    from harness.lab import Bound

EARLY_PROCESSES = range(2, 100)
SINGLE, MORE = 30, 400


def works_by(records: list[Record], key: str) -> list[int]:
    """Return the frames that each NAPI (key ``napi``) polled, sorted."""
    sums: dict[int, int] = {}
    for record in records:
        sums[record[key]] = sums.get(record[key], 0) + record["work"]
    return sorted(sums.values())


def polled(bound: Bound, trace: Session, first: int, count: int) -> bool:
    """Tell whether the records from ``first`` on hold ``count`` polls of the interface."""
    return len(polls.polls(bound, trace.records[first:])) >= count


@claim("NAPI-14")
def test_threaded_napi_polls_in_kernel_threads_of_its_own(bound: Bound, evidence: Evidence) -> None:
    """Threads off, on, off again; each time 2, 3, 4 and 5 frames for the queues, and a message on every queue's vector.

    The message without a cause makes the transmit NAPIs poll too. A thread is known by the id that netlink lists.
    """
    count = queues_in_use(bound)
    index = int(bound.netif.read("ifindex"))
    quiet(bound)
    vectors = range(1, 1 + 2 * count)
    frames = {queue: 2 + queue for queue in range(count)}
    expected = sum(frames.values()) + len(vectors)
    names: list[dict[str, int]] = []
    found: list[list[Record]] = []
    with (
        bound.guest.trace.session(polls.POLL) as trace,
        bound.card.recording("RegisterWritten", "InterruptSent", "FrameDelivered") as seen,
    ):
        for threaded in (0, 1, 0):
            bound.netif.set_file("threaded", threaded)
            listed = netdev_family.napis(bound.guest.agent, index)
            pids = [entry["pid"] for entry in listed if "pid" in entry]
            names.append({bound.guest.agent.read(f"/proc/{pid}/comm").strip(): pid for pid in pids})
            begun = len(trace.records)
            for queue, number in frames.items():
                steer_to(bound, queue)
                one_by_one(bound, seen, unanswered(bound, number))
            for vector in vectors:
                bound.card.fault("spurious_interrupt", vector=vector)
            trace.read_until(partial(polled, bound, trace, begun, expected), f"{expected} polls")
            calm(bound)
            trace.read()
            found.append(polls.polls(bound, trace.records[begun:]))
    ids = [entry["id"] for entry in netdev_family.napis(bound.guest.agent, index)]
    in_softirq = [{record.in_softirq for record in records} for records in found]
    pairs = {(record["napi"], record.pid) for record in found[1]}
    works = [works_by(records, "napi") for records in found]
    sent = sorted(event.vector for event in seen.all("InterruptSent"))
    evidence.note(
        guest={"threads": sorted(names[1]), "polls": [len(records) for records in found], "frames of NAPIs": works},
        device={"messages": len(sent), "written back": len(seen.all("FrameDelivered"))},
    )
    expected_names = sorted(f"napi/{bound.netif.name}-{number}" for number in ids)
    assert [sorted(threads) for threads in names[:2]] == [[], expected_names], "afterwards 6.12 lets them sleep on"
    assert in_softirq == [{True}, {False}, {True}]
    assert {pid for _, pid in pairs} == set(names[1].values())
    assert len(pairs) == len(ids) == len(vectors)
    assert works == [[0] * count + list(frames.values())] * 3
    caused = [receive_vector(bound, queue) for queue, number in frames.items() for _ in range(number)]
    assert sent == sorted([*vectors, *caused] * 3)


def ksoftirqd(bound: Bound) -> int:
    """Return the process id of the softirq thread of the CPU under test."""
    names = bound.guest.agent.read_many([f"/proc/{pid}/comm" for pid in EARLY_PROCESSES])
    wanted = f"ksoftirqd/{CPU}"
    [pid] = [pid for pid, name in zip(EARLY_PROCESSES, names, strict=True) if (name or "").strip() == wanted]
    return pid


@claim("NAPI-09")
def test_sustained_load_moves_polling_to_ksoftirqd(bound: Bound, evidence: Evidence) -> None:
    """30 single frames, then a held burst of 250 with 400 more behind it, whose polls last for milliseconds.

    A single frame whose interrupt finds its CPU inside a softirq, or its ksoftirqd running, says nothing of its own.
    """
    _, irq = prepare(bound)
    thread = ksoftirqd(bound)
    with (
        polls.traced(bound, irq) as trace,
        bound.card.recording("RegisterWritten", "RxWriteBack", "FrameDelivered") as seen,
    ):
        one_by_one(bound, seen, unanswered(bound, SINGLE))
        calm(bound)
        single = trace.read()
        slow_reception(bound)
        fill(bound, seen, QUEUE, unanswered(bound, 250))
        bound.card.release_interrupts(receive_vector(bound, QUEUE))
        stream(bound, seen, unanswered(bound, MORE, first=250), window=128)
        calm(bound)
        flood = polls.polls(bound, trace.read())
    idle = [not (record.in_softirq or record.pid == thread) for record in single if record.name == polls.IRQ]
    alone = [record.pid == thread for record in polls.polls(bound, single)]
    works = [record["work"] for record in flood]
    in_thread = [record["work"] for record in flood if record.pid == thread]
    written = len(seen.all("RxWriteBack"))
    evidence.note(
        guest={"single frames in ksoftirqd": sum(alone), "work in flood": works, "of that in ksoftirqd": in_thread},
        device={"written back": written},
    )
    assert len(alone) == len(idle) == SINGLE
    assert sum(idle) > SINGLE // 2
    assert not any(late for late, clean in zip(alone, idle, strict=True) if clean)
    assert works[:3] == [napi.BUDGET] * 3
    assert sum(works) == written - SINGLE == 250 + MORE
    assert in_thread
