# SPDX-License-Identifier: BSD-3-Clause
"""What a sender asks for in the IP header, and where a datagram to a group goes."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

import pytest

from harness import frames
from harness.checks.chains import SEEN, alone, doorbells, entered, send
from harness.checks.sending import CPU, b64, udp_socket
from harness.claims import claim
from harness.dissect import dissect, ip_checksum_right, transport_checksum_right
from harness.lab import GUEST_IPV4
from harness.traffic import FILLER

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

TTL, TOS, DEFAULT_TTL = 7, 0x68, 64
PORT = 4714
RECORD_ROUTE = b"\x01\x07\x07\x04\0\0\0\0"
"""NOP, then room for one address (RFC 791 3.1: type 7, length 7, pointer 4)."""

GROUP = "239.129.130.131"
GROUP_MAC = bytes.fromhex("01005e018283")
"""The low 23 bits of the group behind 01:00:5e (RFC 1112 6.4): the top bit of 129 must be gone."""


@claim("EGR-07")
def test_control_messages_and_options_are_in_the_frame(bound: Bound, evidence: Evidence) -> None:
    """A plain datagram, one with TTL 7 and TOS 0x68 by control messages, one more plain, one with a recorded route.

    Control messages count for one datagram, so that the third must look as the first did.
    """
    agent, handle, tail = bound.guest.agent, udp_socket(bound, port=PORT), alone(bound)
    bodies = [FILLER[at : at + 60 + at] for at in range(4)]
    control = [
        (socket.IPPROTO_IP, option, b64(struct.pack("i", value)))
        for option, value in ((socket.IP_TTL, TTL), (socket.IP_TOS, TOS))
    ]
    with bound.card.recording(*SEEN) as seen:
        send(bound, handle, bodies[:1])
        sent = agent.call("send_controlled", cpus=[CPU], handle=handle, payload=b64(bodies[1]), control=control)
        send(bound, handle, bodies[2:3])
        agent.call(
            "setsockopt", handle=handle, level=socket.IPPROTO_IP, option=socket.IP_OPTIONS, value=b64(RECORD_ROUTE)
        )
        send(bound, handle, bodies[3:])
        card = doorbells(bound, seen, tail, len(bodies))
    told = [(frame[22], frame[15], frame[34 : dissect(frame).l4]) for frame in card.frames]
    evidence.note(guest={"sent": sent["sent"]}, device={"TTL, TOS, options": [(*a, b.hex()) for *a, b in told]})
    recorded = RECORD_ROUTE[:3] + b"\x08" + frames.ip(GUEST_IPV4)
    assert sent["sent"] == len(bodies[1])
    assert told == [
        (DEFAULT_TTL, 0, b""), (TTL, TOS, b""), (DEFAULT_TTL, 0, b""), (DEFAULT_TTL, 0, recorded),
    ]  # fmt: skip
    assert [dissect(frame).payload for frame in card.frames] == bodies
    assert all(ip_checksum_right(dissect(frame)) for frame in card.frames)
    assert all(transport_checksum_right(dissect(frame)) for frame in card.frames)


@claim("EGR-08")
@pytest.mark.parametrize("member", ["nowhere", "elsewhere", "here"])
def test_group_takes_ip_mc_output_only_for_members(bound: Bound, evidence: Evidence, member: str) -> None:
    """One datagram to a group whose address has a bit that its MAC address has not; joined on lo is not joined here."""
    functions = ("ip_output", "ip_mc_output", "igb_xmit_frame")
    agent, body = bound.guest.agent, FILLER[:201]
    listener = agent.call("open_socket", kind="udp")
    agent.call("bind", handle=listener, address=[GROUP, PORT])
    if member != "nowhere":
        index = int(
            bound.guest.agent.read(f"/sys/class/net/{'lo' if member == 'elsewhere' else bound.netif.name}/ifindex")
        )
        joined = b64(struct.pack("4s4si", frames.ip(GROUP), bytes(4), index))
        agent.call(
            "setsockopt", handle=listener, level=socket.IPPROTO_IP, option=socket.IP_ADD_MEMBERSHIP, value=joined
        )
    handle, tail = agent.call("open_socket", kind="udp"), alone(bound)
    here = b64(frames.ip(GUEST_IPV4))
    agent.call("setsockopt", handle=handle, level=socket.IPPROTO_IP, option=socket.IP_MULTICAST_IF, value=here)
    with bound.guest.trace.session(functions=functions) as trace, bound.card.recording(*SEEN) as seen:
        thread = send(bound, handle, [body], address=[GROUP, PORT])
        card = doorbells(bound, seen, tail, 1)
        copies = looped(bound, listener)
    chain = entered(trace, thread)
    evidence.note(guest={"calls": chain, "copies": copies}, device=[frame[:6].hex(":") for frame in card.frames])
    assert chain == ["ip_mc_output" if member == "here" else "ip_output", "igb_xmit_frame"]
    assert copies == [len(body)] * (member == "here")
    assert [(frame[:6], dissect(frame).payload) for frame in card.frames] == [(GROUP_MAC, body)]


def looped(bound: Bound, listener: int) -> list[int]:
    """Return the lengths of the datagrams that wait in a socket: the copy is there when the sender's call returns."""
    agent = bound.guest.agent
    agent.call("halt", stop="looped")
    return [length for length, *_ in agent.call("receive", handle=listener, count=0, seconds=5, stop="looped")["got"]]
