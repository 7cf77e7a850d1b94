# SPDX-License-Identifier: BSD-3-Clause
"""Ingress: who gets a frame first, and what becomes of one that nobody wants."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness import frames
from harness.checks.arrivals import deliver, strangers, told
from harness.checks.bursts import PATIENCE_S, calm, quiet, steer_to
from harness.checks.drops import FREED, drop_reason, freed_for
from harness.checks.ingress_filter import dropping
from harness.checks.sinks import got, sink, summaries
from harness.checks.vlans import add_vlan
from harness.claims import claim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.evidence import Evidence
    from harness.guest.agent import Pending
    from harness.guest.trace import Session
    from harness.lab import Bound

SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
"""Linux include/uapi/linux/if_packet.h."""

ETH_P_ALL = 3
EXPERIMENTAL = 0x88B5
"""EtherType for local experiments (IEEE 802): nobody handles it."""

VLAN = 5
QUEUE = 2
"""All frames go there, so that one CPU takes them one after the other."""

TAP, TC, VLAN_DEVICE, IP = "packet_rcv", "tc_run", "vlan_do_receive", "ip_rcv_core"


def tap(bound: Bound, protocol: int) -> int:
    """Open a packet socket for what comes in with ``protocol``."""
    agent = bound.guest.agent
    handle: int = agent.call("open_socket", kind="packet", protocol=protocol)
    agent.call("bind", handle=handle, address=[bound.netif.name, protocol])
    agent.call("setsockopt", handle=handle, level=SOL_PACKET, option=PACKET_IGNORE_OUTGOING, value=1)
    agent.call("buffers", handle=handle, send=None, receive=16 << 20)
    return handle


def tapping(bound: Bound, handle: int, count: int) -> Pending:
    """Begin to read ``count`` frames from a tap."""
    return bound.guest.agent.start("receive", handle=handle, count=count, seconds=2 * PATIENCE_S, body=True)


def entered(bound: Bound, trace: Session, sent: Sequence[bytes]) -> list[str]:
    """Deliver frames and return which functions that made the guest enter."""
    trace.read()
    deliver(bound, sent)
    calm(bound)
    return [str(record["function"]) for record in trace.read() if "function" in record.fields]


@claim("ING-11")
def test_taps_see_a_frame_before_anything_else(bound: Bound, evidence: Evidence) -> None:
    """20 datagrams for a socket and 10 tagged frames, all dropped by tc; then one of each, not dropped; then no tap."""
    add_vlan(bound, VLAN)
    steer_to(bound, QUEUE)
    quiet(bound)
    target = sink(bound)
    plain = target.frames([200 + n for n in range(21)])
    [flow] = strangers(bound, 1, protocol="udp")
    tagged = [told(replace(flow, number=n, vlans=(VLAN,))) for n in range(11)]
    sent = [*plain[:20], *tagged[:10]]
    receiving = target.start(1, 2 * PATIENCE_S)
    handle = tap(bound, ETH_P_ALL)
    reading = tapping(bound, handle, len(sent))
    with (
        bound.guest.trace.session(functions=[TAP, TC, VLAN_DEVICE, IP]) as trace,
        bound.card.recording("FrameDelivered") as seen,
    ):
        with dropping(bound):
            dropped = entered(bound, trace, sent)
        tapped = len(reading.result(2 * PATIENCE_S + 5)["got"])
        passed = [entered(bound, trace, [data]) for data in (plain[20], tagged[10])]
        bound.guest.agent.call("close", handle=handle)
        untapped = entered(bound, trace, [tagged[10]])
    delivered = len(seen.all("FrameDelivered"))
    received = got(receiving.result(2 * PATIENCE_S + 5))
    evidence.note(
        what="tc drops, tc does not, no tap",
        guest={"tapped": tapped, "datagrams": len(received), "passed": passed, "without": untapped},
        device={"frames": delivered},
    )
    assert dropped == [TAP, TC] * len(sent)
    assert tapped == len(sent)
    assert passed == [[TAP, TC, IP], [TAP, TC, VLAN_DEVICE, IP]]
    assert untapped == [TC, VLAN_DEVICE, IP]
    assert received == summaries(plain[20:])
    assert delivered == len(sent) + 3


@claim("ING-17")
def test_frame_that_nobody_handles_is_dropped_and_counted(bound: Bound, evidence: Evidence) -> None:
    """20 frames of an EtherType for experiments, each of another length; then the same with a socket for it."""
    quiet(bound)
    reason = drop_reason(bound, "UNHANDLED_PROTO")
    macs = frames.mac(bound.netif.mac), bound.peer.station.mac
    sent = [frames.ethernet(*macs, EXPERIMENTAL, bytes([n]) * (50 + n)) for n in range(20)]
    for handled in (False, True):
        if handled:
            reading = tapping(bound, tap(bound, EXPERIMENTAL), len(sent))
        before = dropped_by_stack(bound)
        with bound.guest.trace.session(FREED) as trace, bound.card.recording("FrameDelivered") as seen:
            deliver(bound, sent)
            calm(bound)
        counted = dropped_by_stack(bound) - before
        freed = [record["protocol"] for record in freed_for(trace.records, reason)]
        delivered = [event.length for event in seen.all("FrameDelivered")]
        evidence.note(
            what="with a socket" if handled else "without one",
            guest={"freed": len(freed), "rx_dropped": counted},
            device={"frames": len(delivered)},
        )
        assert freed == ([] if handled else [EXPERIMENTAL] * len(sent))
        assert counted == (0 if handled else len(sent))
        assert delivered == [len(data) for data in sent]
    assert [length for length, _, _, _ in reading.result(2 * PATIENCE_S + 5)["got"]] == [len(data) for data in sent]


def dropped_by_stack(bound: Bound) -> int:
    """Return RX dropped of ``ip -s link``."""
    return int(bound.netif.details()["stats64"]["rx"]["dropped"])
