# SPDX-License-Identifier: BSD-3-Clause
"""Completions that come early, before the driver has returned from sending, and late, when they are moderated."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from harness.checks.bursts import pin, place, steer_to, without_deferral
from harness.checks.dql_watch import completions, watching
from harness.checks.filling import FULL, own_queue
from harness.checks.sending import QUEUE, b64, pinned_sender, undisturbed, wait_idle
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.errors import NotSeen
from harness.guest.probes import Probe
from harness.traffic import Flow, frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.checks.sending import Sender
    from harness.evidence import Evidence
    from harness.guest.ringbuffer import Record
    from harness.lab import Bound, Lab

FREE = "skb:consume_skb"
ROUND, APART_US = 25, 8000
"""Frames sent at a time, and their distance: the CPU that polls has its other work done when the next one comes."""

ENOUGH = 3
ROUNDS_S = 30.0
AT_ONCE_MS = 100
"""Of a report within the write of the tail, with patience for a card that has to wait for its own CPU."""

ANSWER_US = 10_000
"""How long the write goes on after the report: long enough for another CPU of a loaded machine to find it."""

POLLER = 3
PORT = 5306
BUSY = f"""
import socket
waiting = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
waiting.setsockopt(socket.SOL_SOCKET, 46, 60_000_000)
waiting.bind(("0.0.0.0", {PORT}))
waiting.recv(100)
waiting.recv(100)
"""
"""46 is SO_BUSY_POLL (Linux include/uapi/asm-generic/socket.h), in microseconds."""

BULK = 120
SLOW_MBPS = 10
SHORTEST_US, LONGEST_US = 10, 8000
"""igb takes up to 10000, but of more than 8191 it writes the low bits only (IGB_QVECTOR_MASK)."""

BEGIN = Probe("f", "ig", "xmitb", "igb_xmit_frame_ring", "skb=skb:x64 qm=skb->queue_mapping:u16")
END = Probe("f", "ig", "xmite", "igb_xmit_frame_ring%return", "ret=$retval:s32")


def early_and_all(records: Sequence[Record]) -> tuple[int, int, int]:
    """Return how many skbs were consumed before the driver had returned, how many at all, and how many were sent."""
    sending: dict[int, int] = {}
    out: dict[int, bool] = {}
    early = freed = sent = 0
    for record in records:
        if record.name == BEGIN.event and record["qm"] == QUEUE:
            sending[record.cpu] = record["skb"]
            out[record["skb"]] = False
            sent += 1
        elif record.name == END.event and record.cpu in sending:
            skb = sending.pop(record.cpu)
            if skb in out:
                out[skb] = True
        elif record.name == FREE and record["skbaddr"] in out:
            freed += 1
            early += not out.pop(record["skbaddr"])
    return early, freed, sent


def one_queue_polled_without_end(bound: Bound) -> int:
    """Let a program on CPU 3 poll the NAPI of QUEUE until ``stop_polling``; return its process.

    A socket that waits busily polls the NAPI of its last datagram (napi_busy_loop), which cleans transmit work too.
    """
    agent = bound.guest.agent
    bound.netif.settings.set_channels(8)
    bound.netif.wait_carrier()
    bound.netif.details()
    steer_to(bound, QUEUE)
    pin(bound, f"{bound.netif.name}-TxRx-{QUEUE}", POLLER)
    program = int(agent.call("spawn", argv=["python3", "-c", BUSY], on=[POLLER]))
    started = f"/proc/net/udp listing port {PORT}"
    wait_until(lambda: f":{PORT:04X} " in agent.read("/proc/net/udp"), Deadline.after(10), started, NotSeen)
    bound.peer.send(datagram(bound))
    wait_until(lambda: running(bound, program), Deadline.after(10), "the program polling", NotSeen)
    return program


def running(bound: Bound, program: int) -> bool:
    """Say whether a process of the guest runs; one that waits and does not poll sleeps."""
    return bound.guest.agent.read(f"/proc/{program}/stat").rpartition(")")[2].split()[0] == "R"


def datagram(bound: Bound) -> bytes:
    """Return a datagram for the program that polls."""
    guest = bound.peer.guest
    assert guest is not None
    return frame(Flow(bound.peer.station, guest, 4, "udp", 40000, PORT, 0), bytes(40))


def send_apart(sender: Sender, first: int) -> None:
    """Send a round of frames, one at a time."""
    sender.bound.guest.agent.call(
        "send_numbered", cpus=[sender.cpu], handle=sender.handle, count=ROUND, size=60, first=first,
        interval_us=APART_US, prefix=b64(sender.head),
    )  # fmt: skip


@claim("TXC-15")
def test_completion_may_come_before_the_driver_has_returned(lab: Lab, evidence: Evidence) -> None:
    """A card that fetches, sends and reports within the write of the tail, to which QEMU waits for the answer.

    CPU 3 polls the queue all the while. CPU 2 sends one by one, until three frames were freed before the driver had
    returned from sending them (QEMU lets one CPU at a time into a device, so that not each can be); each is freed once.
    """
    bound = lab.bound(replace(lab.default, rate="unlimited", posted=False))
    bound.card.prompt_doorbells()
    undisturbed(bound)
    without_deferral(bound)
    bound.netif.use_pfifo()
    program = one_queue_polled_without_end(bound)
    sender = pinned_sender(bound)
    bound.netif.set_bql(QUEUE, limit_min=1_000_000)
    sender.send(1, 60)
    wait_idle(bound, QUEUE)
    since = bound.guest.proc.log()[-1].sequence
    late = bound.card.stop_when(f"TxWriteBack queue={QUEUE}", for_us=ANSWER_US)
    with (
        bound.guest.trace.session(FREE, probes=(BEGIN, END), buffer_kb=8192) as trace,
        bound.card.recording("RegisterWritten", "TxWriteBack", "FrameEmitted") as seen,
    ):
        deadline = Deadline.after(ROUNDS_S)
        early = freed = sent = 0
        while early < ENOUGH and not deadline.passed:
            send_apart(sender, sent)
            seen.wait(sent + ROUND, kind="TxWriteBack", where=lambda event: event.queue == QUEUE)
            wait_idle(bound, QUEUE)
            trace.read()
            early, freed, sent = early_and_all(trace.records)
        polled = running(bound, program)
        bound.peer.send(datagram(bound))
        bound.guest.agent.call("reap", pid=program, seconds=10.0)
    bound.card.unrule(late)
    early, freed, sent = early_and_all(trace.records)
    said = [record.text for record in bound.guest.proc.log(since)]
    inflight = bound.netif.bql(QUEUE).inflight
    reported = seen.all("TxWriteBack", lambda event: event.queue == QUEUE)
    rung = seen.all("RegisterWritten", lambda event: event.register == f"TDT[{QUEUE}]")
    assert len(rung) == len(reported), "nothing may stop the queue, so that each frame has a tail write of its own"
    took_ms = median((done.t_ns - told.t_ns) / 1e6 for told, done in zip(rung, reported, strict=True))
    evidence.note(
        guest={
            "sent": sent,
            "freed": freed,
            "before xmit returned": early,
            "log": said,
            "in flight": inflight,
            "polled to the end": polled,
        },
        device={"reports": len(reported), "ms from tail write to report": took_ms},
    )
    assert took_ms < AT_ONCE_MS
    assert sent == freed == len(reported) > 0
    assert polled
    assert early >= ENOUGH
    assert (said, inflight) == ([], 0)


@claim("TXC-16")
def test_larger_intervals_give_fewer_messages_and_a_larger_limit(bound: Bound, evidence: Evidence) -> None:
    """120 full frames at 10 Mb/s, 1.2 ms each, under tx-usecs of 10 and of 8000.

    With 8 ms between messages six frames wait for each; with 10 us the guest is told of every one, however many it
    then takes at a time. BQL must let the queue hold what the link carries in 8 ms, lest it runs dry; in the
    shorter intervals of a guest with time to spare it holds less (the median over the completions).
    """
    undisturbed(bound)
    bound.netif.use_pfifo()
    vector = own_queue(bound)
    sender = pinned_sender(bound)
    place(bound, f"{bound.netif.name}-tx-{QUEUE}", vector, sender.cpu)
    bound.card.rate(SLOW_MBPS)
    messages, limits, apart = [], [], []
    for usecs in (SHORTEST_US, LONGEST_US):
        bound.netif.settings.set_coalescing(tx_usecs=usecs)
        bound.netif.set_bql(QUEUE, limit=0)
        sender.send(1, 60)
        wait_idle(bound, QUEUE)
        with watching(bound) as trace, bound.card.recording("InterruptSent", "TxWriteBack") as seen:
            sender.send(BULK, FULL)
            seen.wait(BULK, kind="TxWriteBack", where=lambda event: event.queue == QUEUE)
            wait_idle(bound, QUEUE)
        own = [each for each in completions(bound, trace) if each.cpu == sender.cpu]
        times = [event.t_ns for event in seen.all("InterruptSent", lambda event: event.vector == vector)]
        assert sum(each.count for each in own) == BULK * FULL
        messages.append(len(times))
        limits.append(median(each.after["limit"] for each in own))
        apart.append(min(b - a for a, b in pairwise(times)) // 1000)
    evidence.note(guest={"median limit": limits}, device={"messages": messages, "least us apart": apart})
    assert messages[0] > messages[1]
    assert apart[0] < LONGEST_US <= apart[1]
    assert limits[1] >= LONGEST_US * SLOW_MBPS // 8
