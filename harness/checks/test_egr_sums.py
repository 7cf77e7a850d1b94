# SPDX-License-Identifier: BSD-3-Clause
"""Who sums a datagram, and what a tap sees of one that the card is to sum or to cut."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from harness.checks.chains import SEEN, alone, doorbells, send
from harness.checks.fragments import reassembled, udp_sum_right
from harness.checks.sending import QUEUE, SOL_UDP, UDP_SEGMENT, udp_socket
from harness.checks.taps import tap
from harness.claims import claim
from harness.dissect import dissect, transport_checksum_right
from harness.frames import UDP, ones_sum, pseudo_header
from harness.traffic import FILLER, Flow, frame

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

SO_NO_CHECK = 11
NONE, PARTIAL = 0, 3
"""skb->ip_summed (Linux include/linux/skbuff.h)."""

START = "net:net_dev_start_xmit"
PORT, SOURCE_PORT = 4713, 40_123
UNSUMMED, MANGLED = b"\0\0", b"\xff\xff"
HEADERS = 42


def sum_field(frame: bytes) -> bytes:
    """Return the checksum field of the UDP header in a frame."""
    at = dissect(frame).l4 + 6
    return frame[at : at + 2]


def pseudo_sum(frame: bytes) -> bytes:
    """Return the sum of the pseudo header, which the kernel leaves in the field for the card to go on from."""
    packet = dissect(frame)
    covered = pseudo_header(packet.source_ip, packet.destination_ip, UDP, packet.end - packet.l4)
    return ones_sum(covered).to_bytes(2, "big")


def summing_to_zero(bound: Bound) -> bytes:
    """Return a payload with which a datagram from SOURCE_PORT to PORT sums to 0."""
    guest = bound.peer.guest
    assert guest is not None
    flow = Flow(guest, bound.peer.station, 4, "udp", SOURCE_PORT, PORT)
    return FILLER[:38] + sum_field(frame(flow, FILLER[:38] + b"\0\0"))


@claim("EGR-05")
@pytest.mark.parametrize("case", ["offloaded", "zero", "switched off", "zero, switched off", "unwanted", "fragmented"])
def test_checksum_is_left_to_the_card_when_it_can_be(bound: Bound, evidence: Evidence, case: str) -> None:
    """One datagram each: an ordinary one and one that sums to 0, with the offload on and off; 3000 bytes; SO_NO_CHECK.

    The tap shows what lies in memory: where the card is to go on, the sum of the pseudo header and nothing else.
    """
    payload = summing_to_zero(bound) if "zero" in case else FILLER[:3000] if case == "fragmented" else FILLER[:333]
    if "switched off" in case:
        bound.netif.settings.set_features(tx=False)
    handle, tail = udp_socket(bound, port=PORT, source_port=SOURCE_PORT), alone(bound)
    if case == "unwanted":
        bound.guest.agent.call("setsockopt", handle=handle, level=socket.SOL_SOCKET, option=SO_NO_CHECK, value=1)
    offloaded = case in ("offloaded", "zero")
    watcher, count = tap(bound), 3 if case == "fragmented" else 1
    with bound.guest.trace.session(START) as trace, bound.card.recording(*SEEN) as seen:
        send(bound, handle, [payload])
        card = doorbells(bound, seen, tail, count)
    skbs = [record["ip_summed"] for record in trace.records if record["queue_mapping"] == QUEUE]
    memory = watcher.datagrams()
    asked = [packet.data[0]["txsm"] for packet in card.packets]
    evidence.note(
        guest={"ip_summed": skbs, "field in memory": [sum_field(one).hex() for one in memory[:1]]},
        device={"TXSM": asked, "field on the wire": [sum_field(one).hex() for one in card.frames[:1]]},
    )
    assert skbs == [PARTIAL if offloaded else NONE] * count
    assert asked == [int(offloaded)] * count
    assert reassembled(card.frames)[8:] == payload
    assert [sum_field(one) for one in memory[:1]] == [pseudo_sum(memory[0]) if offloaded else sum_field(card.frames[0])]
    if case == "unwanted":
        assert sum_field(card.frames[0]) == UNSUMMED
    elif case == "fragmented":
        assert udp_sum_right(card.frames)
    else:
        assert transport_checksum_right(dissect(card.frames[0]))
        assert sum_field(card.frames[0]) != UNSUMMED
        assert (sum_field(card.frames[0]) == MANGLED) == ("zero" in case)


@claim("EGR-21")
@pytest.mark.parametrize("cut_by", ["card", "kernel"])
def test_tap_sees_what_the_driver_gets(bound: Bound, evidence: Evidence, cut_by: str) -> None:
    """4700 bytes in datagrams of 1300: one frame at the tap where the card cuts, four where the kernel does.

    The last one has 800 bytes, so that no two ways of cutting give the same lengths.
    """
    size, parts = 1300, (1300, 1300, 1300, 800)
    if cut_by == "kernel":
        bound.netif.settings.set_features(**{"tx-udp-segmentation": False})
    handle, tail, payload = udp_socket(bound, port=PORT), alone(bound), FILLER[: sum(parts)]
    bound.guest.agent.call("setsockopt", handle=handle, level=SOL_UDP, option=UDP_SEGMENT, value=size)
    watcher = tap(bound)
    with bound.card.recording(*SEEN) as seen:
        send(bound, handle, [payload])
        card = doorbells(bound, seen, tail, len(parts))
    tapped = [len(frame) for frame in watcher.datagrams()]
    wire = [len(frame) for frame in card.frames]
    evidence.note(guest={"at the tap": tapped}, device={"on the wire": wire})
    assert wire == [HEADERS + part for part in parts]
    assert tapped == (wire if cut_by == "kernel" else [HEADERS + len(payload)])
    assert b"".join(dissect(frame).payload for frame in card.frames) == payload
