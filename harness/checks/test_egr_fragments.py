# SPDX-License-Identifier: BSD-3-Clause
"""Fragments: datagrams over the MTU, and large sends that fit the card but not the path."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

import pytest

from harness.checks.chains import SEEN, alone, doorbells, entered, send
from harness.checks.connections import answer_handshake, connect, patient
from harness.checks.fragments import Fragment, reassembled, udp_sum_right
from harness.checks.sending import QUEUE, udp_socket
from harness.claims import claim
from harness.dissect import dissect
from harness.guest.agent import AgentRefusedError
from harness.traffic import FILLER

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

PORT = 4715
IP_MTU_DISCOVER, PMTUDISC_DONT, PMTUDISC_DO = 10, 0, 2
"""Linux include/uapi/linux/in.h: never or always set DF."""

NARROW_MTU = 1000


@claim("EGR-11")
def test_datagram_over_the_mtu_is_fragmented(bound: Bound, evidence: Evidence) -> None:
    """3000 bytes: three fragments of 1480, 1480 and 48 bytes of one id on the queue that the sender's CPU has."""
    functions = ("ip_output", "ip_do_fragment", "ip_finish_output2", "igb_xmit_frame")
    handle, tail, payload = udp_socket(bound, port=PORT), alone(bound), FILLER[:3000]
    with bound.guest.trace.session(functions=functions) as trace, bound.card.recording(*SEEN) as seen:
        thread = send(bound, handle, [payload])
        card = doorbells(bound, seen, tail, 3)
        queues = [event.queue for event in seen.all("FrameEmitted") if dissect(event.frame).fragment]
    pieces, chain = [Fragment.of(frame) for frame in card.frames], entered(trace, thread)
    evidence.note(guest=chain, device=[(piece.ident, piece.offset, piece.more, len(piece.payload)) for piece in pieces])
    assert chain == ["ip_output", "ip_do_fragment", *["ip_finish_output2", "igb_xmit_frame"] * 3]
    assert [(piece.offset, piece.more) for piece in pieces] == [(0, True), (185, True), (370, False)]
    assert len({piece.ident for piece in pieces}) == 1
    assert queues == [QUEUE] * 3
    assert reassembled(card.frames)[8:] == payload
    assert udp_sum_right(card.frames)


@claim("EGR-11")
def test_datagram_over_the_mtu_with_df_is_refused(bound: Bound, evidence: Evidence) -> None:
    """1473 bytes are one too many for 1500 with DF set; 1472, sent after the refusal, are the only frame."""
    handle, tail = udp_socket(bound, port=PORT), alone(bound)
    bound.guest.agent.call(
        "setsockopt", handle=handle, level=socket.IPPROTO_IP, option=IP_MTU_DISCOVER, value=PMTUDISC_DO
    )
    with bound.card.recording(*SEEN) as seen:
        with pytest.raises(AgentRefusedError) as refused:
            send(bound, handle, [FILLER[:1473]])
        send(bound, handle, [FILLER[:1472]])
        card = doorbells(bound, seen, tail, 1)
    pieces = [Fragment.of(frame) for frame in card.frames]
    evidence.note(guest={"errno": refused.value.errno}, device=[(p.whole, len(p.payload)) for p in pieces])
    assert refused.value.errno == errno.EMSGSIZE
    assert [(piece.whole, piece.more, piece.payload[8:]) for piece in pieces] == [(True, False, FILLER[:1472])]


@claim("EGR-12")
def test_large_send_over_the_paths_mtu_is_cut_in_software(bound: Bound, evidence: Evidence) -> None:
    """Two segments as one skb thrice: on a path of 1500; on one that has become 1000 unnoticed; on one known to be.

    A socket sees a new route only when it sends (ip_queue_xmit), after it has built the skb: the second write is cut
    for the old path. Without DF its two segments leave as two fragments each. The third is built for the new path.
    Two segments are what a skb may hold at any pacing rate (tcp_min_tso_segs).
    """
    functions = ("ip_finish_output", "__skb_gso_segment", "ip_do_fragment", "ip_finish_output2")
    sizes, known = ((2920, 2), (2920, 4), (1897, 2)), NARROW_MTU - 40
    alone(bound)
    patient(bound)
    chains, wires = [], []
    with bound.peer.answering(answer_handshake), bound.guest.trace.session(functions=functions) as trace:
        connection = connect(bound)
        bound.guest.agent.call(
            "setsockopt", handle=connection.handle, level=socket.IPPROTO_IP, option=IP_MTU_DISCOVER, value=PMTUDISC_DONT
        )
        written = 0
        for size, frames in sizes:
            if written == sizes[0][0]:
                patient(bound, "mtu", NARROW_MTU, metric=50)
            tail = bound.card.register("TDT", QUEUE)
            with bound.card.recording(*SEEN) as seen:
                thread = send(bound, connection.handle, [FILLER[written : written + size]])
                wires.append(doorbells(bound, seen, tail, frames))
            trace.read()
            chains.append(entered(trace, thread))
            trace.records.clear()
            written += size
            connection.acknowledge(written)
        bound.guest.agent.call("close", handle=connection.handle)
    lengths = [[len(frame) - 14 for frame in card.frames] for card in wires]
    evidence.note(guest=chains, device={"bytes of the IP packets": lengths})
    assert chains[0] == chains[2] == ["ip_finish_output", "ip_finish_output2"]
    cut = ["ip_do_fragment", "ip_finish_output2", "ip_finish_output2"]
    assert chains[1] == ["ip_finish_output", "__skb_gso_segment", *cut * 2]
    assert lengths[0] == [1500] * 2
    assert lengths[2] == [NARROW_MTU, 40 + 1897 - known]
    assert lengths[1] == [996, 524] * 2
    pieces = [reassembled(wires[1].frames[at : at + 2]) for at in (0, 2)]
    assert b"".join(piece[20:] for piece in pieces) == FILLER[2920:5840]
