# SPDX-License-Identifier: BSD-3-Clause
"""The instruments of the checks: each must fire when it should, and what it records must be whole."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from typing import TYPE_CHECKING

import pytest

import harness.checks
from harness.checks.bursts import place, receive_vector, steer_to, unanswered, without_deferral
from harness.checks.sending import CPU, QUEUE, pinned_sender, undisturbed, wait_idle
from harness.claims import claim
from harness.errors import LabBroken, NotSeen
from harness.guest.probes import Probe
from harness.guest.trace import ROOT, TraceLostError, parse_stats

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from harness.checks.sending import Sender
    from harness.evidence import Evidence
    from harness.guest.trace import Session
    from harness.lab import Bound

EVENT = re.compile(r'"([a-z_]+:[a-z_0-9]+)"')
START, FREE = "net:net_dev_start_xmit", "skb:consume_skb"
FUNCTIONS = ("ip_rcv_core", "dev_hard_start_xmit")
RECEIVER, HELPER = 1, 3
"""CPUs: of the receive queue's interrupt, and where RPS sends what came."""

SIZE = 300
ELSEWHERE = {
    "net:net_dev_xmit_timeout": "TXC-11 asks for one in a queue that stands for 5 s",
    "napi:dql_stall_detected": "BQL-19 asks for one for each stall",
    "tcp:tcp_bad_csum": "the check that records it asks for one for each damaged segment",
    "nf:hook": "ING-18 and EGR-09 ask for each hook of a rule",
    "n:busy": "NAPI-16 asks for polls by a system call",
    "off:gso": "OFF-03 asks for software segmentation",
    "ig:wdr": "TXC-14 asks for runs of the driver's watchdog",
}
"""What one frame each way does not cause, and which check cannot pass without."""

EITHER = ({"n:sched", "n:schedi"},)
"""Instruments of which a kernel has one: what igb's handlers call to schedule NAPI has changed (napi_schedule)."""

FLOOD = 400
SENT = ("FrameEmitted", "TxWriteBack")
LOST = ("overrun", "commit overrun", "dropped events")


def check_modules() -> Iterator[str]:
    """Yield the names of the modules with checks and of what they share."""
    for found in pkgutil.iter_modules(harness.checks.__path__):
        if found.name not in ("conftest", __name__.rpartition(".")[2]):
            yield f"harness.checks.{found.name}"


def relied_on(bound: Bound) -> tuple[set[str], set[Probe]]:
    """Return the tracepoints and probes that the checks name, found in their sources and in their constants."""
    probes = {bound.guest.dql_probes().entry, bound.guest.dql_probes().done}
    words: set[str] = set()
    for name in check_modules():
        module = importlib.import_module(name)
        words |= set(EVENT.findall(inspect.getsource(module)))
        for value in vars(module).values():
            many = value if isinstance(value, (tuple, list)) else (value,)
            probes |= {each for each in many if isinstance(each, Probe)}
    groups = {probe.group for probe in probes}
    candidates = sorted(word for word in words if word.partition(":")[0] not in groups)
    formats = [f"{ROOT}/events/{word.replace(':', '/')}/format" for word in candidates]
    known = zip(candidates, bound.guest.agent.read_many(formats), strict=True)
    return {word for word, content in known if content is not None}, probes


def silent(wanted: Iterable[str], trace: Session) -> list[str]:
    """Return which of the events have not been recorded."""
    heard = {record.name for record in trace.records}
    excused = set(ELSEWHERE).union(*(group for group in EITHER if group & heard))
    return sorted(set(wanted) - heard - excused)


def one_each_way(bound: Bound, trace: Session, wanted: Iterable[str]) -> list[str]:
    """Let one frame in and one out, one message of the other causes, one reading of registers; return who is silent."""
    [frame] = unanswered(bound, 1)
    sender = pinned_sender(bound)
    bound.peer.send(frame)
    sender.send(1, SIZE)
    bound.peer.expect(1, sender.is_mine)
    bound.card.fault("spurious_interrupt", vector=0)
    bound.netif.statistics()
    try:
        trace.read_until(lambda: not silent(wanted, trace) or None, "every instrument firing")
    except NotSeen:
        return silent(wanted, trace)
    return []


def for_one_frame(bound: Bound) -> None:
    """Let one frame each way pass as many places as one can: RPS by another CPU, a qdisc that is never bypassed."""
    undisturbed(bound)
    steer_to(bound, QUEUE)
    place(bound, f"{bound.netif.name}-rx-{QUEUE}", receive_vector(bound, QUEUE), RECEIVER)
    bound.netif.set_rps(QUEUE, [HELPER])
    bound.netif.use_pfifo()
    bound.netif.tc("qdisc", "replace", "dev", bound.netif.name, "parent", f"1:{QUEUE + 1:x}", "prio")


@claim("ROB-12")
def test_every_instrument_fires_for_one_frame_each_way(bound: Bound, evidence: Evidence) -> None:
    """All tracepoints and probes that any check names are switched on at once.

    With one of them switched off again, the same judgement must name that one; and a function that is traced is named.
    """
    events, probes = relied_on(bound)
    wanted = {*events, *(probe.event for probe in probes)}
    assert len(wanted) == len(events) + len(probes), "a name must stand for one instrument"
    for_one_frame(bound)
    kinds = ("FrameDelivered", "FrameEmitted", "TxDescriptor")
    with (
        bound.guest.trace.session(*sorted(events), probes=sorted(probes, key=str), buffer_kb=8192) as trace,
        bound.card.recording(*kinds) as seen,
    ):
        missing = one_each_way(bound, trace, wanted)
        sizes = [r["len"] for r in trace.named(START) if r["queue_mapping"] == QUEUE and r.cpu == CPU]
        off = bound.guest.dql_probes().done
        bound.guest.agent.write(trace.path(f"events/{off.event.replace(':', '/')}/enable"), "0")
        trace.read()
        trace.records.clear()
        told = one_each_way(bound, trace, wanted - {off.event}) + silent([off.event], trace)
        moved = {kind: len(seen.all(kind, lambda event: event.queue == QUEUE)) for kind in kinds}
    evidence.note(
        guest={"instruments": sorted(wanted), "silent": missing, "elsewhere": sorted(ELSEWHERE), "switched off": told},
        device=moved,
    )
    assert missing == [], "each must fire for one frame each way, or ELSEWHERE must name the check that asks for it"
    assert told == [off.event]
    assert sizes == [SIZE]
    assert moved == dict.fromkeys(kinds, 2)
    with bound.guest.trace.session(functions=FUNCTIONS) as trace:
        [frame] = unanswered(bound, 1)
        bound.peer.send(frame)
        pinned_sender(bound).send(1, SIZE)
        trace.read_until(lambda: set(FUNCTIONS) <= set(trace.functions()), "the functions being entered")


def lost(bound: Bound, trace: Session) -> dict[str, int]:
    """Return what the buffers of all CPUs say that they have lost."""
    paths = [trace.path(f"per_cpu/cpu{cpu}/stats") for cpu in range(bound.guest.cpus)]
    stats = [parse_stats(content or "") for content in bound.guest.agent.read_many(paths)]
    return {name: sum(int(each[name]) for each in stats) for name in LOST}


def overflow(bound: Bound, sender: Sender, told: dict[str, int]) -> None:
    """Record more than the smallest buffer holds, and tell what the kernel says of it before it is read."""
    with bound.guest.trace.session(START, FREE, buffer_kb=1) as trace:
        sender.send(FLOOD, SIZE)
        wait_idle(bound, QUEUE)
        told.update(lost(bound, trace))


@claim("ROB-13")
def test_lost_trace_events_end_the_check(bound: Bound, evidence: Evidence) -> None:
    """400 frames and their 800 events fit a buffer of 4 MiB, and do not fit one of a page or two.

    In the first nothing is lost by the kernel's count and by the card's; reading the second must break the check, as
    a fault of the lab, which leaves its claims unjudged.
    """
    undisturbed(bound)
    without_deferral(bound)
    sender = pinned_sender(bound)
    with bound.guest.trace.session(START, FREE) as trace, bound.card.recording(*SENT) as seen:
        sender.send(FLOOD, SIZE)
        seen.wait(FLOOD, kind="TxWriteBack", where=lambda event: event.queue == QUEUE)
        wait_idle(bound, QUEUE)
        trace.stop()
        trace.read()
        whole = lost(bound, trace)
        started = [record for record in trace.named(START) if record["queue_mapping"] == QUEUE]
        freed = {record["skbaddr"] for record in trace.named(FREE)}
        emitted = seen.all("FrameEmitted", lambda event: event.queue == QUEUE)
    small: dict[str, int] = {}
    with pytest.raises(TraceLostError) as error:
        overflow(bound, sender, small)
    evidence.note(
        guest={"lost of 4 MiB": whole, "lost of the least": small, "said": str(error.value), "starts": len(started)},
        device={"frames": len(emitted)},
    )
    assert whole == dict.fromkeys(LOST, 0)
    assert len(started) == len(emitted) == FLOOD
    assert {record["skbaddr"] for record in started} <= freed
    assert small["overrun"] > 0
    assert isinstance(error.value, LabBroken)
