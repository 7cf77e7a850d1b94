# SPDX-License-Identifier: BSD-3-Clause
"""Chains: which functions a sender passes on its way to the driver, and the doorbell at the end of it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from harness import frames
from harness.checks.chains import BELOW_IP, OUT, SEEN, alone, doorbells, entered, send
from harness.checks.connections import answer_handshake, connect, patient
from harness.checks.mixing import wait_all_idle
from harness.checks.sending import ETHERTYPE, QUEUE, SOL_PACKET, ethernet_head, text, udp_socket
from harness.claims import claim
from harness.dissect import dissect, transport_checksum_right
from harness.traffic import FILLER

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

UDP = ("security_socket_sendmsg", "inet_sendmsg", "udp_sendmsg", "ip_make_skb", "udp_send_skb", "ip_send_skb", *OUT)
DOORS = ("tcp_push_one", "__tcp_push_pending_frames")
TRANSMIT = ("__tcp_transmit_skb", "__ip_queue_xmit", "ip_local_out", *OUT)
PORT = 4711
WINDOW = 10
"""TCP_INIT_CWND (Linux include/net/tcp.h), in segments."""

EXPERIMENT = 253
"""Protocol number for experiments (RFC 3692)."""

PACKET_QDISC_BYPASS = 20
"""Linux include/uapi/linux/if_packet.h."""


@claim("EGR-01")
def test_datagram_passes_the_whole_chain(bound: Bound, evidence: Evidence) -> None:
    """Three datagrams of odd lengths by three sendto: the chain three times, and a doorbell each of two descriptors.

    Lengths and payloads differ, so that a frame cannot stand for another.
    """
    payloads = [FILLER[at : at + 101 + 2 * at] for at in range(3)]
    handle, tail = udp_socket(bound, port=PORT), alone(bound)
    with bound.guest.trace.session(functions=UDP) as trace, bound.card.recording(*SEEN) as seen:
        thread = send(bound, handle, payloads)
        card = doorbells(bound, seen, tail, len(payloads))
    chain = entered(trace, thread)
    evidence.note(guest=chain, device={"tail moved by": card.moved, "context, data": card.shapes})
    assert chain == list(UDP) * len(payloads)
    assert card.moved == [2] * len(payloads)
    assert card.shapes == [(True, 1)] * len(payloads)
    assert [dissect(frame).payload for frame in card.frames] == payloads
    assert all(transport_checksum_right(dissect(frame)) for frame in card.frames)


@claim("EGR-02")
def test_sendto_and_write_enter_by_different_doors(bound: Bound, evidence: Evidence) -> None:
    """Two datagrams, too long for padding, by each call; sock_sendmsg, which neither passes, is traced too."""
    doors = ("__sys_sendto", "sock_sendmsg", "sock_write_iter", "security_socket_sendmsg", "inet_sendmsg")
    handle, tail = udp_socket(bound, port=PORT), alone(bound)
    payloads = {"send_each": [FILLER[:80], FILLER[1:90]], "write_each": [FILLER[2:110], FILLER[3:99]]}
    with bound.guest.trace.session(functions=doors) as trace, bound.card.recording(*SEEN) as seen:
        threads = {call: send(bound, handle, data, call) for call, data in payloads.items()}
        card = doorbells(bound, seen, tail, 4)
    passed = {call: entered(trace, thread) for call, thread in threads.items()}
    evidence.note(guest=passed, device=[len(dissect(frame).payload) for frame in card.frames])
    assert passed["send_each"] == ["__sys_sendto", "security_socket_sendmsg", "inet_sendmsg"] * 2
    assert passed["write_each"] == ["sock_write_iter", "security_socket_sendmsg", "inet_sendmsg"] * 2
    assert card.moved == [2] * 4
    assert [dissect(frame).payload for frame in card.frames] == [*payloads["send_each"], *payloads["write_each"]]


@claim("EGR-22")
@pytest.mark.parametrize("size", [700, 40_000])
def test_written_stream_passes_the_tcp_chain(bound: Bound, evidence: Evidence, size: int) -> None:
    """A partner that acknowledges nothing: whatever leaves does so in the writing thread.

    700 bytes are one segment. Of 40000 the first skb is full (half the partner's window) before the write ends, and
    goes by tcp_push_one; the congestion window of ten segments holds the rest back. They are one skb at any pacing
    rate, so that no limit below TCP is reached (tcp_small_queue_check).
    """
    functions = ("tcp_sendmsg", *DOORS, "tcp_write_xmit", *TRANSMIT)
    alone(bound)
    patient(bound)
    bound.guest.proc.set_sysctl("net.ipv4.tcp_min_tso_segs", WINDOW)
    with bound.peer.answering(answer_handshake):
        connection = connect(bound)
        tail = bound.card.register("TDT", QUEUE)
        with bound.guest.trace.session(functions=functions) as trace, bound.card.recording(*SEEN) as seen:
            thread = send(bound, connection.handle, [FILLER[:size]])
            segments = [700] if size == 700 else [1460] * WINDOW
            card = doorbells(bound, seen, tail, len(segments))
        bound.guest.agent.call("close", handle=connection.handle)
    chain = entered(trace, thread)
    sent = [dissect(frame) for frame in card.frames[: len(segments)]]
    evidence.note(guest=chain, device=[(connection.offset(packet), len(packet.payload)) for packet in sent])
    assert chain[0] == "tcp_sendmsg"
    doors = [name for name in chain if name in DOORS]
    whole = [name for name in chain if name not in DOORS and name not in ("tcp_sendmsg", "tcp_write_xmit")]
    assert whole == list(TRANSMIT) * len(card.moved)
    assert all(chain[at + 1] == "tcp_write_xmit" for at, name in enumerate(chain) if name in DOORS)
    assert (doors[0] == "tcp_push_one") == (size == 40_000)
    assert doors[-1] == "__tcp_push_pending_frames"
    assert [len(packet.payload) for packet in sent] == segments
    assert b"".join(packet.payload for packet in sent) == FILLER[: min(size, 1460 * WINDOW)]


@claim("EGR-22")
def test_pure_ack_enters_at_the_end_of_the_tcp_chain(bound: Bound, evidence: Evidence) -> None:
    """1333 bytes from the partner, at rest: their acknowledgement passes neither write nor push."""
    functions = ("tcp_sendmsg", *DOORS, "tcp_write_xmit", *TRANSMIT)
    alone(bound)
    patient(bound)
    with bound.peer.answering(answer_handshake):
        connection = connect(bound)
        wait_all_idle(bound)
        with bound.guest.trace.session(functions=functions) as trace, bound.card.recording(*SEEN) as seen:
            bound.peer.send(connection.segment(FILLER[:1333]))
            bound.peer.expect(1, lambda frame: connection.acknowledged(frame) == connection.said)
            acks = [event.frame for event in seen.all("FrameEmitted") if connection.is_mine(event.frame)]
            trace.read_until(lambda: "igb_xmit_frame" in trace.functions(), "the guest saying so")
        bound.guest.agent.call("close", handle=connection.handle)
    chain = trace.functions()
    evidence.note(guest=chain, device=[connection.acknowledged(frame) for frame in acks])
    assert chain == list(TRANSMIT)
    assert [(connection.acknowledged(frame), dissect(frame).payload) for frame in acks] == [(1333, b"")]


@claim("EGR-26")
@pytest.mark.parametrize("kind", ["raw", "packet", "bypass"])
def test_raw_and_packet_sockets_have_their_own_ways(bound: Bound, evidence: Evidence, kind: str) -> None:
    """Two packets of different lengths: through IP and LOCAL_OUT, through the qdisc only, and past the qdisc."""
    ways = {
        "raw": ("raw_sendmsg", *OUT),
        "packet": ("packet_sendmsg", *BELOW_IP),
        "bypass": ("packet_sendmsg", "__dev_direct_xmit", "validate_xmit_skb", "igb_xmit_frame"),
    }
    functions = sorted({name for way in ways.values() for name in way})
    agent, station = bound.guest.agent, bound.peer.station
    tail = alone(bound)
    if kind == "raw":
        handle = agent.call("open_socket", kind="raw", family=socket.AF_INET, protocol=EXPERIMENT)
        address, head = [text(station.ipv4), 0], b""
    else:
        handle = agent.call("open_socket", kind="packet")
        agent.call("bind", handle=handle, address=[bound.netif.name, 0])
        address, head = None, ethernet_head(bound)
    if kind == "bypass":
        agent.call("setsockopt", handle=handle, level=SOL_PACKET, option=PACKET_QDISC_BYPASS, value=1)
    bodies = [FILLER[:90], FILLER[5:126]]
    with bound.guest.trace.session(functions=functions) as trace, bound.card.recording(*SEEN) as seen:
        thread = send(bound, handle, [head + body for body in bodies], address=address)
        card = doorbells(bound, seen, tail, len(bodies))
    chain = entered(trace, thread)
    evidence.note(guest=chain, device={"tail moved by": card.moved, "frames": [len(f) for f in card.frames]})
    assert [name for name in chain if name != "netdev_pick_tx" or kind != "bypass"] == list(ways[kind]) * len(bodies)
    assert card.moved == [1, 1]
    assert card.shapes == [(False, 1)] * len(bodies)
    packets = [dissect(frame) for frame in card.frames]
    assert [packet.payload for packet in packets] == bodies
    expected = (frames.ETHERTYPE_IPV4, EXPERIMENT) if kind == "raw" else (ETHERTYPE, -1)
    assert {(packet.ethertype, packet.protocol) for packet in packets} == {expected}
