# SPDX-License-Identifier: BSD-3-Clause
"""The TCP that takes everything: what it answers to each kind of segment."""

from __future__ import annotations

import struct

import pytest

from harness import frames
from harness.answers_tcp import FIRST_SEQUENCE, answer_tcp
from harness.dissect import Packet, dissect, ip_checksum_right, transport_checksum_right
from harness.traffic import Flow, Station, frame

HERE = Station.of("52:54:00:70:65:65", "198.18.0.2", "fd00:82:576::2")
GUEST = Station.of("52:54:00:82:57:60", "198.18.0.1", "fd00:82:576::1")
ELSEWHERE = Station.of("52:54:00:70:65:65", "198.18.0.9", "fd00::9")


def segment(flags: int, payload: bytes = b"", *, family: int = 4, sequence: int = 1000, to: Station = HERE) -> bytes:
    return frame(Flow(GUEST, to, family, "tcp", 40000, 5001), payload, sequence=sequence, flags=flags)


def answered(request: bytes) -> tuple[Packet, int]:
    """Return the answer, which must be well made, and its acknowledgement number."""
    reply = answer_tcp(request, HERE)
    assert reply is not None
    packet = dissect(reply)
    assert (packet.destination, packet.source) == (GUEST.mac, HERE.mac)
    assert (packet.source_port, packet.destination_port) == (5001, 40000)
    assert ip_checksum_right(packet)
    assert transport_checksum_right(packet)
    return packet, int(struct.unpack_from("!I", reply, packet.l4 + 8)[0])


@pytest.mark.parametrize("family", [4, 6])
def test_syn_is_answered_by_syn_ack_with_mss_and_window_scale(family: int) -> None:
    packet, acknowledged = answered(segment(frames.SYN, family=family, sequence=0xFFFF_FFFF))
    assert packet.tcp_flags == frames.SYN | frames.ACK
    assert (packet.tcp_sequence, acknowledged) == (FIRST_SEQUENCE, 0)
    mss = {4: 1460, 6: 1440}[family]
    assert packet.frame[packet.l4 + 20 : packet.l4 + 28] == struct.pack("!BBHBBBB", 2, 4, mss, 1, 3, 3, 10)


def test_data_is_acknowledged_to_its_end() -> None:
    packet, acknowledged = answered(segment(frames.ACK, bytes(700)))
    assert (packet.tcp_flags, acknowledged, packet.payload) == (frames.ACK, 1700, b"")


def test_fin_is_answered_by_a_fin_that_acknowledges_it() -> None:
    packet, acknowledged = answered(segment(frames.FIN | frames.ACK, bytes(5)))
    assert (packet.tcp_flags, acknowledged) == (frames.FIN | frames.ACK, 1006)


@pytest.mark.parametrize(
    "request_",
    [segment(frames.ACK), segment(frames.RST | frames.ACK), segment(frames.SYN, to=ELSEWHERE)],
    ids=["an empty acknowledgement", "a reset", "somebody else's"],
)
def test_nothing_is_answered_to(request_: bytes) -> None:
    assert answer_tcp(request_, HERE) is None


def test_udp_is_not_tcp() -> None:
    assert answer_tcp(frame(Flow(GUEST, HERE), b"x" * 40), HERE) is None
