# SPDX-License-Identifier: BSD-3-Clause
"""Neighbours: the first packet waits for an answer, and gets none from nobody."""

from __future__ import annotations

import errno
import socket
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from harness import frames
from harness.answers import answer
from harness.checks.chains import SEEN, alone, entered, send
from harness.checks.sending import text
from harness.claims import claim
from harness.deadline import Deadline
from harness.dissect import dissect
from harness.guest.agent import AgentRefusedError
from harness.guest.trace import FUNCTION
from harness.traffic import FILLER

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Seen

PORT = 4750
IP_RECVERR = 11
"""Linux include/uapi/linux/in.h: tell a datagram socket of errors that may pass."""

PROBES = 3
"""mcast_solicit of a neighbour table, by default (Documentation/networking/ip-sysctl.rst); the lab asks once only."""

LEAST_APART_NS = 700_000_000
"""The timer is one second of the guest's jiffies, of which a loaded guest may have counted some late."""

PATIENCE_S = 20.0


def is_request(event: Seen) -> bool:
    """Tell whether an emitted frame is a broadcast ARP request (RFC 826)."""
    frame = event.frame
    return bool(
        frame[:6] == b"\xff" * 6 and dissect(frame).ethertype == frames.ETHERTYPE_ARP and frame[20:22] == b"\0\1"
    )


def connected_to(bound: Bound, address: str) -> int:
    """Return a UDP socket connected to ``address``, which no check before has used."""
    bound.guest.undo.remember(
        ("neigh", address),
        lambda: bound.netif.tool("ip", "neigh", "del", address, "dev", bound.netif.name, check=False),
    )
    handle: int = bound.guest.agent.call("open_socket", kind="udp")
    bound.guest.agent.call("connect", handle=handle, address=[address, PORT])
    return handle


def state(bound: Bound, address: str) -> str:
    """Return what ``ip neigh`` says of an address: INCOMPLETE, REACHABLE, FAILED, …."""
    return bound.netif.ip("neigh", "show", address, "dev", bound.netif.name).out.split()[-1]


@claim("EGR-13")
def test_first_packets_wait_for_the_neighbours_answer(bound: Bound, evidence: Evidence) -> None:
    """Two datagrams to an unknown address, its answer after both, and a third: one request, then all in order.

    The third goes by the cached header: it does not pass neigh_resolve_output any more.
    """
    station = replace(bound.peer.station, ipv4=frames.ip("198.18.0.77"))
    address, bodies = text(station.ipv4), [FILLER[at : at + 70 + at] for at in range(3)]
    functions = ("ip_finish_output2", "neigh_resolve_output", "arp_solicit", "igb_xmit_frame")
    alone(bound)
    handle = connected_to(bound, address)
    with bound.guest.trace.session(functions=functions) as trace, bound.card.recording(*SEEN) as seen:
        threads = [send(bound, handle, [body]) for body in bodies[:2]]
        request, *_ = seen.wait(1, kind="FrameEmitted", where=is_request)
        waiting, before = state(bound, address), [e for e in seen.all("FrameEmitted") if dissect(e.frame).family]
        reply = answer(request.frame, station)
        assert reply is not None
        bound.peer.send(reply)
        seen.wait(2, kind="FrameEmitted", where=lambda e: dissect(e.frame).destination_port == PORT)
        trace.read_until(lambda: trace.functions().count("igb_xmit_frame") == 3, "the guest saying so")
        threads.append(send(bound, handle, [bodies[2]]))
        sent = seen.wait(3, kind="FrameEmitted", where=lambda e: dissect(e.frame).destination_port == PORT)
    chains = [entered(trace, thread) for thread in threads]
    requests = seen.all("FrameEmitted", is_request)
    evidence.note(
        guest={"calls": chains, "while unanswered": waiting},
        device={"requests": len(requests), "order": [len(e.frame) for e in (request, *sent)]},
    )
    assert chains[0] == ["ip_finish_output2", "neigh_resolve_output", "arp_solicit", "igb_xmit_frame"]
    assert chains[1] == ["ip_finish_output2", "neigh_resolve_output"]
    assert chains[2] == ["ip_finish_output2", "igb_xmit_frame"]
    assert waiting == "INCOMPLETE"
    assert not before
    assert len(requests) == 1
    assert [dissect(event.frame).payload for event in sent] == bodies
    assert {event.frame[:6] for event in sent} == {station.mac}


@claim("EGR-13")
def test_without_an_answer_three_requests_end_in_an_error(bound: Bound, evidence: Evidence) -> None:
    """One datagram to nobody: three requests, a second apart by the guest's clock, and EHOSTUNREACH for the next send.

    The check lasts three seconds because the kernel's own timers do.
    """
    address = "198.18.0.78"
    alone(bound)
    bound.guest.proc.set_sysctl(f"net.ipv4.neigh.{bound.netif.name}.mcast_solicit", PROBES)
    handle = connected_to(bound, address)
    bound.guest.agent.call("setsockopt", handle=handle, level=socket.IPPROTO_IP, option=IP_RECVERR, value=1)
    with (
        bound.guest.trace.session(functions=("arp_solicit", "arp_error_report")) as trace,
        bound.card.recording("FrameEmitted") as seen,
    ):
        send(bound, handle, [FILLER[:90]])
        reported = "the guest giving up"
        trace.read_until(lambda: "arp_error_report" in trace.functions(), reported, PATIENCE_S)
        after = state(bound, address)
        with pytest.raises(AgentRefusedError) as refused:
            send(bound, handle, [FILLER[:91]])
        requests = seen.wait(PROBES, Deadline.after(PATIENCE_S), where=is_request)
        data = [e for e in seen.all("FrameEmitted") if dissect(e.frame).destination_port == PORT]
    probes = [record.t for record in trace.records if record.name == FUNCTION and record["function"] == "arp_solicit"]
    apart = [later - sooner for sooner, later in pairwise(probes)]
    evidence.note(
        guest={"apart (ms)": [ns // 1_000_000 for ns in apart], "state": after, "errno": refused.value.errno},
        device={"requests": len(requests), "data": len(data)},
    )
    assert len(probes) == len(requests) == PROBES
    assert all(ns > LEAST_APART_NS for ns in apart)
    assert after == "FAILED"
    assert refused.value.errno == errno.EHOSTUNREACH
    assert not data
