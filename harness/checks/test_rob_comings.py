# SPDX-License-Identifier: BSD-3-Clause
"""What comes and goes under traffic: the driver itself, and the CPU that serves an interrupt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks.bursts import place, quiet, receive_vector, steer_to
from harness.checks.sending import QUEUE, pinned_sender, undisturbed, wait_idle
from harness.checks.sinks import got, sink, summaries
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.errors import NotSeen
from harness.guest.probes import Probe
from harness.guest.trace import ROOT
from harness.lab import CARRIER_S, PEER_IPV4, configure

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.guest.guest import Guest
    from harness.lab import Bound, Lab

CYCLES = 3
DOWNS = 8
PENDING = 200
WATCHED = ("RegisterWritten", "DeviceReset", "InterruptSent", "DmaWrite")
SKBS = "skbuff_head_cache"
VECTORS = 9
EVERY_VECTOR = (1 << VECTORS) - 1
WAY_S = 15.0
FRAMES, SENT_AT_ONCE = 240, 10
"""Fewer than the ring has slots, so that the card takes them all even if nobody serves it."""

GOING = 3
"""The CPU that goes offline; neither the agent's nor the sender's."""


def forget_probes_of_the_driver(guest: Guest) -> int:
    """Take away every probe on a function of igb, so that the module may go; return how many there were."""
    lines = [line.split() for line in guest.agent.read(f"{ROOT}/dynamic_events").splitlines()]
    probes = []
    for head, where, *_ in lines:
        kind, _, named = head.partition(":")
        group, _, name = named.partition("/")
        if where.startswith("igb"):
            probes.append(Probe(kind[0], group, name, where))
    guest.trace.forget(*probes)
    return len(probes)


def slab(guest: Guest, cache: str) -> int:
    """Return the objects of a slab cache that are in use."""
    [line] = [line for line in guest.agent.read("/proc/slabinfo").splitlines() if line.startswith(f"{cache} ")]
    return int(line.split()[1])


def unload(bound: Bound) -> None:
    """Remove the driver and wait until its interface is gone."""
    bound.netif.tool("rmmod", "igb")
    gone = f"{bound.netif.name} going away"
    wait_until(lambda: not bound.guest.agent.exists(bound.netif.path("")), Deadline.after(WAY_S), gone, NotSeen)


def load(bound: Bound) -> None:
    """Load the driver and give its interface what the lab gave the first one."""
    bound.netif.tool("modprobe", "igb")
    path = bound.netif.path("type")
    there = f"{bound.netif.name} coming back"
    wait_until(lambda: bound.guest.agent.exists(path), Deadline.after(WAY_S), there, NotSeen)
    configure(bound.guest, bound.netif)
    bound.netif.wait_carrier(seconds=CARRIER_S)
    bound.netif.details()


def leave_packets_pending(bound: Bound) -> None:
    """Let the card hold back the completions of 200 packets."""
    undisturbed(bound)
    sender = pinned_sender(bound)
    bound.netif.set_bql(QUEUE, limit_min=1_000_000)
    sender.send(1, 60)
    wait_idle(bound, QUEUE)
    bound.card.withhold_completions(QUEUE)
    sender.send(PENDING, 100)
    in_flight = f"{PENDING} packets being in flight"
    wait_until(lambda: bound.netif.bql(QUEUE).inflight == PENDING * 100, Deadline.after(WAY_S), in_flight, NotSeen)


@claim("ROB-08")
def test_driver_unloads_and_loads(lab: Lab, bound: Bound, evidence: Evidence) -> None:
    """Three cycles of rmmod and modprobe, each with 200 packets in the card whose completion is withheld.

    While there is no driver those are released, and frames arrive: the card may neither write nor interrupt. Were the
    packets' skbs lost, the slab would grow by 200 a cycle. The guest is not used again: addresses of functions moved.
    """
    guest = bound.guest
    forgotten = forget_probes_of_the_driver(guest)
    bound.guest.undo.forget()
    story, skbs = [], []
    frames = sink(bound).frames([50] * 20)
    for _ in range(CYCLES):
        leave_packets_pending(bound)
        with bound.card.recording(*WATCHED) as seen:
            unload(bound)
            guest.undo.forget()
            vectors = list(guest.proc.irqs(bound.netif.name))
            events = seen.all()
            masked = [e for e in events if e.kind == "RegisterWritten" and e.register == "EIMC" and e.value]
            resets = [e for e in events if e.kind == "DeviceReset"]
            released = bound.card.release_completions(QUEUE)
            arrived = bound.card.wire_counts()["arrived"] + len(frames)
            bound.peer.send(*frames)
            came = "the frames coming to the card"
            wait_until(lambda n=arrived: bound.card.wire_counts()["arrived"] >= n, Deadline.after(WAY_S), came, NotSeen)  # type: ignore[misc]
            last = resets[-1].number if resets else 0
            after = [str(e) for e in seen.all() if e.number > last and e.kind in ("InterruptSent", "DmaWrite")]
            enabled = bound.card.register("EIMS") & EVERY_VECTOR
        load(bound)
        with bound.peer.answering():
            answered = guest.agent.run(["ping", "-n", "-c", "2", "-W", "10", PEER_IPV4], 30.0).out
        skbs.append(slab(guest, SKBS))
        story.append({
            "vectors left": vectors, "ping": "2 received" in answered,
            "masks": bool(masked), "resets": bool(resets), "released": released, "enabled": enabled, "after": after,
        })  # fmt: skip
    tainted = guest.proc.tainted()
    guest.check()
    evidence.note(guest={SKBS: skbs, "probes forgotten": forgotten, "taint": tainted}, device=story)
    lab.shut()
    assert story == [
        {"vectors left": [], "ping": True,
         "masks": True, "resets": True, "released": 0, "enabled": 0, "after": []}
    ] * CYCLES  # fmt: skip
    assert skbs[-1] - skbs[0] < (CYCLES - 1) * PENDING // 2


@claim("ROB-08")
def test_going_down_gives_every_page_back(bound: Bound, evidence: Evidence) -> None:
    """Eight times down and up: a driver that kept the pages of its rings would miss a thousand each time.

    The first two cycles are for what the kernel allocates once; caches are dropped before each count.
    """
    posted = sum(bound.card.ring("rx", queue)["count"] - 1 for queue in range(bound.netif.queue_count[0]))
    free = []
    for _ in range(DOWNS):
        for way in ("down", "up"):
            bound.netif.tool("ip", "link", "set", "dev", bound.netif.name, way)
        bound.netif.wait_carrier(seconds=CARRIER_S)
        free.append(free_pages(bound.guest))
    lost = free[1] - free[-1]
    evidence.note(guest={"free pages after each cycle": free, "lost since the second": lost}, device={"slots": posted})
    assert posted > 1000
    assert lost < (DOWNS - 2) * posted // 4


def free_pages(guest: Guest) -> int:
    """Return the guest's free pages once what can be given up has been."""
    guest.agent.write("/proc/sys/vm/drop_caches", "3")
    lines = guest.agent.read("/proc/vmstat").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("nr_free_pages "))


@claim("ROB-09")
def test_offline_cpu_gives_its_vector_away(lab: Lab, bound: Bound, evidence: Evidence) -> None:
    """CPU 3 goes offline while 240 datagrams arrive, ten at a time, at the queue whose interrupts it has.

    No tick of the driver's watchdog helps: every datagram must be delivered by a message, and every message be
    answered by arming the vector again. The guest is not used again.
    """
    quiet(bound)
    steer_to(bound, QUEUE)
    receiver = sink(bound)
    vector = receive_vector(bound, QUEUE)
    handler = f"{bound.netif.name}-rx-{QUEUE}"
    number = place(bound, handler, vector, GOING)
    frames = receiver.frames([16 + n for n in range(FRAMES)])
    with bound.card.recording("InterruptSent", "RegisterWritten", "RxWriteBack") as seen:
        reading = receiver.start(FRAMES, 12)
        before = bound.guest.proc.affinity(number)
        going = None
        for start in range(0, FRAMES, SENT_AT_ONCE):
            if start == FRAMES // 3:
                path = f"/sys/devices/system/cpu/cpu{GOING}/online"
                going = bound.guest.agent.start("write", path=path, text="0")
            if start == 2 * FRAMES // 3 and going is not None:
                going.result(WAY_S)
            bound.peer.send(*frames[start : start + SENT_AT_ONCE])
            seen.wait(start + SENT_AT_ONCE, kind="RxWriteBack", where=lambda event: event.queue == QUEUE)
        read = got(reading.result(25))
        after = bound.guest.proc.affinity(number)
        online = bound.guest.agent.read("/sys/devices/system/cpu/online").strip()
        messages = seen.all("InterruptSent", lambda event: event.vector == vector)
        late = [event for event in messages if event.t_ns > seen.all("RxWriteBack")[2 * FRAMES // 3].t_ns]
    evidence.note(
        guest={"effective affinity": [before, after], "online": online, "datagrams": len(read)},
        device={"messages": len(messages), "of the last third": len(late)},
    )
    complaint = bound.guest.console.faults
    lab.shut()
    assert (before, online) == ((GOING,), "0-2")
    assert len(after) == 1
    assert after[0] in range(GOING)
    assert sorted(read) == sorted(summaries(frames))
    assert late
    assert not complaint
