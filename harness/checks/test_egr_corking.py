# SPDX-License-Identifier: BSD-3-Clause
"""Corking: datagrams that grow by several sends, leave as one, or never."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

import pytest

from harness.checks.chains import SEEN, alone, doorbells, entered, send, unserved
from harness.checks.fragments import reassembled
from harness.checks.sending import CPU, QUEUE, SOL_UDP, udp_socket
from harness.claims import claim
from harness.dissect import dissect
from harness.guest.agent import AgentRefusedError
from harness.traffic import FILLER

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

UDP_CORK = 1
"""Linux include/uapi/linux/udp.h."""

CALLS = (
    "udp_sendmsg", "ip_append_data", "ip_make_skb", "udp_push_pending_frames", "udp_destroy_sock",
    "ip_flush_pending_frames", "udp_send_skb",
)  # fmt: skip
"""udp_flush_pending_frames is inlined where a socket closes; ip_flush_pending_frames is what it calls if data waits."""

APPEND = ["udp_sendmsg", "ip_append_data"]
PUSH = {"option": ["udp_push_pending_frames", "udp_send_skb"], "flag": ["udp_send_skb"]}
"""What the end of corking calls: udp_sendmsg has udp_push_pending_frames inlined, the socket option has not."""

PARTS = (FILLER[:21], FILLER[100:301], FILLER[7:9])
PORT = 4712
LARGEST = 65507
"""Bytes of the largest datagram over IPv4: 65535 without both headers (Linux udp_sendmsg, __ip_append_data)."""


def cork(bound: Bound, handle: int, *, on: bool) -> None:
    """Switch UDP_CORK from the CPU that owns the queue."""
    value = int(on)
    bound.guest.agent.call("setsockopt", cpus=[CPU], handle=handle, level=SOL_UDP, option=UDP_CORK, value=value)


@claim("EGR-03")
@pytest.mark.parametrize("how", ["option", "flag"])
def test_corked_datagrams_leave_as_one(bound: Bound, evidence: Evidence, how: str) -> None:
    """Three parts of different lengths, corked by UDP_CORK or by MSG_MORE: only the end of corking pushes."""
    handle, tail = udp_socket(bound, port=PORT), alone(bound)
    if how == "option":
        cork(bound, handle, on=True)
    with bound.guest.trace.session(functions=CALLS) as trace, bound.card.recording(*SEEN) as seen:
        if how == "option":
            thread = send(bound, handle, PARTS)
            trace.read()
            corked, moved = entered(trace, thread), bound.card.register("TDT", QUEUE)
            cork(bound, handle, on=False)
        else:
            thread = send(bound, handle, PARTS[:-1], flags=socket.MSG_MORE)
            trace.read()
            corked, moved = [*entered(trace, thread), *APPEND], bound.card.register("TDT", QUEUE)
            send(bound, handle, PARTS[-1:])
        card = doorbells(bound, seen, tail, 1)
    calls = unserved(trace)
    evidence.note(guest=calls, device=[len(frame) for frame in card.frames])
    assert corked == APPEND * len(PARTS)
    assert calls == APPEND * len(PARTS) + PUSH[how]
    assert moved == tail
    assert card.moved == [card.packets[0].descriptors]
    assert [dissect(frame).payload for frame in card.frames] == [b"".join(PARTS)]


@claim("EGR-03")
def test_closing_while_corked_sends_nothing(bound: Bound, evidence: Evidence) -> None:
    """Three parts are appended and the socket is closed; another socket's datagram shows that nothing came before."""
    handle, other, tail = udp_socket(bound, port=PORT), udp_socket(bound, port=PORT + 1), alone(bound)
    cork(bound, handle, on=True)
    with bound.guest.trace.session(functions=CALLS) as trace, bound.card.recording(*SEEN) as seen:
        send(bound, handle, PARTS)
        bound.guest.agent.call("close", cpus=[CPU], handle=handle)
        trace.read()
        calls = unserved(trace)
        send(bound, other, [PARTS[0]])
        card = doorbells(bound, seen, tail, 1)
    evidence.note(guest=calls, device=[dissect(frame).destination_port for frame in card.frames])
    assert calls == [*APPEND * len(PARTS), "udp_destroy_sock", "ip_flush_pending_frames"]
    assert card.moved == [2]
    assert [(dissect(frame).destination_port, dissect(frame).payload) for frame in card.frames] == [
        (PORT + 1, PARTS[0])
    ]


@claim("EGR-04")
@pytest.mark.parametrize("more", [4000, LARGEST - 1000])
def test_corked_data_over_the_mtu_is_one_datagram_in_fragments(bound: Bound, evidence: Evidence, more: int) -> None:
    """1000 bytes and ``more``, up to the very largest datagram: fragments of one id that make up the whole."""
    handle, tail, parts = udp_socket(bound, port=PORT), alone(bound), (FILLER[:1000], FILLER[333 : 333 + more])
    pieces = -(-(8 + 1000 + more) // 1480)
    cork(bound, handle, on=True)
    with bound.card.recording(*SEEN) as seen:
        sent = [send(bound, handle, [part]) for part in parts]
        cork(bound, handle, on=False)
        card = doorbells(bound, seen, tail, pieces)
    datagram = reassembled(card.frames)
    evidence.note(guest={"sends": len(sent)}, device={"frames": len(card.frames), "datagram": len(datagram)})
    assert len(card.frames) == pieces
    assert datagram[8:] == b"".join(parts)
    assert int.from_bytes(datagram[4:6], "big") == 8 + 1000 + more


@claim("EGR-04")
def test_corked_data_beyond_the_largest_datagram_is_refused(bound: Bound, evidence: Evidence) -> None:
    """1000 bytes and 64508, one too many: EMSGSIZE, and what was appended before is dropped with it."""
    handle, tail = udp_socket(bound, port=PORT), alone(bound)
    cork(bound, handle, on=True)
    with bound.card.recording(*SEEN) as seen:
        send(bound, handle, [FILLER[:1000]])
        with pytest.raises(AgentRefusedError) as refused:
            send(bound, handle, [FILLER[: LARGEST + 1 - 1000]])
        cork(bound, handle, on=False)
        send(bound, handle, [b"after"])
        card = doorbells(bound, seen, tail, 1)
    evidence.note(guest={"errno": refused.value.errno}, device=[len(frame) for frame in card.frames])
    assert refused.value.errno == errno.EMSGSIZE
    assert [dissect(frame).payload for frame in card.frames] == [b"after"]
