# SPDX-License-Identifier: BSD-3-Clause
"""Frames that the harness builds, takes apart, answers and counts."""

from __future__ import annotations

import struct
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import frames
from harness.answers import answer
from harness.dissect import dissect, ip_checksum_right, transport_checksum_right
from harness.errors import UsageError
from harness.frames import Checksum, crc32c, ip, mac, ones_sum
from harness.traffic import LEAST, Flow, Ledger, Station, flows, frame, numbered, numbered_frames, read_numbered

HERE = Station.of("02:00:00:00:00:11", "10.82.57.1", "fd82:576::1")
GUEST = Station.of("52:54:00:82:57:60", "10.82.57.60", "fd82:576::60")
EVERY_KIND = [(family, name) for family in (4, 6) for name in ("udp", "tcp", "sctp", "icmp", "other")]


def slow_ones_sum(data: bytes) -> int:
    """RFC 1071, word by word with end-around carry."""
    total = 0
    for at in range(0, len(data), 2):
        total += int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big")
        total = (total & 0xFFFF) + (total >> 16)
    return total


@given(st.binary(max_size=80))
def test_sum_is_the_one_of_rfc_1071(data: bytes) -> None:
    assert ones_sum(data) == slow_ones_sum(data)


@pytest.mark.parametrize("data", [b"\xff\xff", b"\xff\xff\xff\xff", b"\x12\x34\xed\xcb", b"\0\0"])
def test_sum_knows_both_zeros(data: bytes) -> None:
    assert ones_sum(data) == slow_ones_sum(data)


def test_header_checksum_of_a_known_packet() -> None:
    packet = frames.ipv4(ip("192.168.0.1"), ip("192.168.0.199"), 17, bytes(95))
    assert packet[:20].hex() == "45000073000040004011b861c0a80001c0a800c7"


def test_crc32c_of_the_check_value() -> None:
    assert crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize(("family", "protocol"), EVERY_KIND)
@pytest.mark.parametrize("vlans", [(), (0x2064,), (0x0007, 0x6FFE)])
def test_frame_is_taken_apart_into_what_it_was_made_of(family: int, protocol: str, vlans: tuple[int, ...]) -> None:
    flow = Flow(HERE, GUEST, family, protocol, 4660, 22136, number=77, vlans=vlans)
    payload = numbered(77, 5, 333)
    packet = dissect(frame(flow, payload, sequence=9, flags=frames.PSH | frames.ACK))
    assert (packet.source, packet.destination, packet.vlans) == (HERE.mac, GUEST.mac, vlans)
    assert (packet.family, (packet.source_ip, packet.destination_ip)) == (family, flow.addresses)
    if protocol in ("udp", "tcp", "sctp"):
        assert (packet.source_port, packet.destination_port) == (4660, 22136)
    if protocol == "tcp":
        assert (packet.tcp_flags, packet.tcp_sequence) == (0x18, 9)
    inner = packet.payload[16:] if protocol == "sctp" else packet.payload  # a DATA chunk's header
    assert inner[: len(payload)] == payload
    assert ip_checksum_right(packet)
    assert transport_checksum_right(packet)


@pytest.mark.parametrize(("family", "protocol"), [kind for kind in EVERY_KIND if kind[1] != "other"])
def test_wrong_checksum_is_wrong_and_the_rest_the_same(family: int, protocol: str) -> None:
    flow = Flow(HERE, GUEST, family, protocol)
    right, wrong = (frame(flow, numbered(1, 1, 60), checksum=kind) for kind in (Checksum.RIGHT, Checksum.WRONG))
    assert transport_checksum_right(dissect(right))
    assert not transport_checksum_right(dissect(wrong))
    assert 1 <= sum(a != b for a, b in zip(right, wrong, strict=True)) <= 4
    assert ip_checksum_right(dissect(wrong))


def test_wrong_header_checksum_leaves_the_transport_right() -> None:
    packet = dissect(frame(Flow(HERE, GUEST), numbered(1, 1), ip_checksum=Checksum.WRONG))
    assert (ip_checksum_right(packet), transport_checksum_right(packet)) == (False, True)


def test_udp_without_checksum_is_right_over_ipv4_only() -> None:
    made = [dissect(frame(Flow(HERE, GUEST, family), b"x" * 20, checksum=Checksum.ZERO)) for family in (4, 6)]
    assert [transport_checksum_right(packet) for packet in made] == [True, False]


@given(st.integers(0, 0xFFFFFFFF))
def test_udp_never_sends_a_zero_checksum_by_chance(number: int) -> None:
    pair = ip("0.0.0.0"), ip("0.0.0.0")  # noqa: S104 - an address in a sum
    filler = (0xFFFF - ones_sum(struct.pack("!HHHHHI", 17, 12, 0, 0, 12, number))) & 0xFFFF
    data = frames.udp(pair, filler, 0, struct.pack("!I", number))
    assert data[6:8] == b"\xff\xff"


def test_single_flipped_bit_is_found_by_each_checksum() -> None:
    random = Random(3)  # noqa: S311 - a reproducible choice
    for family, protocol in EVERY_KIND:
        if protocol == "other":
            continue
        good = frame(Flow(HERE, GUEST, family, protocol), numbered(1, 1, 80))
        at = random.randrange(dissect(good).l4 + 12, dissect(good).end)
        bad = good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :]
        assert not transport_checksum_right(dissect(bad)), (family, protocol, at)


def test_short_frames_are_padded_and_padding_belongs_to_nothing() -> None:
    made = frame(Flow(HERE, GUEST), b"abc")
    assert len(made) == 60
    assert dissect(made).payload == b"abc"
    assert len(next(numbered_frames(Flow(HERE, GUEST), 1))) == 60


def test_flows_are_the_same_for_the_same_seed_and_differ_in_address_and_port() -> None:
    made = flows(300, HERE, GUEST, seed=5)
    assert made == flows(300, HERE, GUEST, seed=5)
    assert made != flows(300, HERE, GUEST, seed=6)
    assert len({flow.addresses[0] for flow in made}) == 300
    assert len({flow.source_port for flow in made}) == 300
    assert {flow.addresses[0][:2] for flow in made} == {HERE.ipv4[:2]}
    assert GUEST.ipv4 not in {flow.addresses[0] for flow in made}
    six = flows(300, HERE, GUEST, family=6, protocol="tcp", seed=5)
    assert len({flow.addresses[0] for flow in six}) == 300
    assert {flow.addresses[0][:8] for flow in six} == {HERE.ipv6[:8]}


@pytest.mark.parametrize(("family", "protocol", "count"), [(5, "udp", 1), (4, "quic", 1), (4, "udp", 30001)])
def test_impossible_flows_are_refused(family: int, protocol: str, count: int) -> None:
    with pytest.raises(UsageError):
        flows(count, HERE, GUEST, family=family, protocol=protocol)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(LEAST, 3000), st.data())
def test_numbered_payload_is_read_back_and_any_flip_is_found(
    flow: int, sequence: int, size: int, data: st.DataObject
) -> None:
    payload = numbered(flow, sequence, size)
    assert len(payload) == size
    assert read_numbered(payload + b"padding") == (flow, sequence)
    at = data.draw(st.integers(0, size - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    assert read_numbered(payload[:at] + bytes([payload[at] ^ bit]) + payload[at + 1 :]) is None
    assert read_numbered(payload[:-1]) is None


def test_neighbouring_payloads_differ_in_their_filler() -> None:
    fillers = [numbered(2, sequence, 200)[LEAST:] for sequence in range(50)]
    assert all(a != b for a, b in pairwise(fillers))


def test_ledger_tells_loss_duplicate_reorder_corruption_and_stranger_apart() -> None:
    ledger = Ledger()
    ledger.expect(1, range(8))
    ledger.expect(2, range(3))
    for sequence in (0, 1, 3, 2, 3, 6, 7):
        ledger.note(numbered(1, sequence))
    for sequence in (0, 1, 2):
        ledger.note(numbered(2, sequence))
    damaged = bytearray(numbered(1, 4))
    damaged[9] ^= 1
    ledger.note(bytes(damaged))
    ledger.note(numbered(9, 0))
    tally = ledger.tally()
    assert tally.missing == ((1, 4), (1, 5))
    assert (tally.received, tally.lost, tally.duplicated, tally.reordered) == (12, 2, 1, 1)
    assert (tally.corrupted, tally.unexpected, tally.flawless) == (1, 1, False)


def test_ledger_is_flawless_only_when_all_came_in_order() -> None:
    ledger = Ledger()
    ledger.expect(4, range(3))
    assert not ledger.tally().flawless
    for sequence in range(3):
        ledger.note(numbered(4, sequence))
    assert ledger.tally().flawless


# -- answers ------------------------------------------------------------------------------------------------


def arp_request(wanted: bytes, vlans: tuple[int, ...] = ()) -> bytes:
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + GUEST.mac + GUEST.ipv4 + bytes(6) + wanted
    return frames.pad(frames.ethernet(b"\xff" * 6, GUEST.mac, frames.ETHERTYPE_ARP, body, vlans))


def test_arp_for_us_is_answered_in_its_vlan_and_for_others_not() -> None:
    got = answer(arp_request(HERE.ipv4, (0x0064,)), HERE)
    assert got is not None
    packet = dissect(got)
    assert (packet.destination, packet.source, packet.vlans) == (GUEST.mac, HERE.mac, (0x0064,))
    assert packet.payload[:28] == b"\0\1\x08\0\6\4\0\2" + HERE.mac + HERE.ipv4 + GUEST.mac + GUEST.ipv4
    assert answer(arp_request(ip("10.82.57.2")), HERE) is None


@pytest.mark.parametrize("family", [4, 6])
def test_echo_is_answered_with_its_data_and_a_reply_is_not(family: int) -> None:
    request = frame(Flow(GUEST, HERE, family, "icmp", number=513), b"some data to echo", sequence=7)
    got = answer(request, HERE)
    assert got is not None
    packet = dissect(got)
    assert (packet.source_ip, packet.destination_ip, packet.payload) == (
        *Flow(HERE, GUEST, family).addresses,
        b"some data to echo",
    )
    assert got[packet.l4] == {4: 0, 6: 129}[family]
    assert got[packet.l4 + 4 : packet.l4 + 8] == struct.pack("!HH", 513, 7)
    assert ip_checksum_right(packet)
    assert transport_checksum_right(packet)
    assert answer(got, GUEST) is None
    assert answer(frame(Flow(GUEST, GUEST, family, "icmp"), b"not for us"), HERE) is None


def test_neighbour_solicitation_is_answered_with_our_address() -> None:
    group = ip("ff02::1:ff00:1")
    body = bytes(4) + HERE.ipv6 + b"\1\1" + GUEST.mac
    message = frames.icmpv6((GUEST.ipv6, group), 135, body)
    datagram = frames.ipv6(GUEST.ipv6, group, frames.ICMPV6, message, hop_limit=255)
    request = frames.ethernet(b"\x33\x33\xff\0\0\1", GUEST.mac, frames.ETHERTYPE_IPV6, datagram)
    got = answer(request, HERE)
    assert got is not None
    packet = dissect(got)
    assert (packet.destination, packet.destination_ip, got[packet.l3 + 7]) == (GUEST.mac, GUEST.ipv6, 255)
    assert got[packet.l4] == 136
    assert got[packet.l4 + 4] == 0x60
    assert got[packet.l4 + 8 : packet.end] == HERE.ipv6 + b"\2\1" + HERE.mac
    assert transport_checksum_right(packet)
    assert mac("02:00:00:00:00:11") == HERE.mac


@given(st.binary(min_size=14, max_size=120))
def test_nonsense_is_neither_answered_nor_an_accident(data: bytes) -> None:
    packet = dissect(data)
    assert answer(data, HERE) is None
    transport_checksum_right(packet)
    ip_checksum_right(packet)


@given(st.binary(max_size=100), st.sampled_from([b"\x08\0", b"\x86\xdd", b"\x81\0", b"\x08\6", b"\x88\xa8"]))
def test_truncated_headers_are_no_accident(data: bytes, ethertype: bytes) -> None:
    whole = frames.ethernet(HERE.mac, GUEST.mac, int.from_bytes(ethertype, "big"), data)
    transport_checksum_right(dissect(whole))
    answer(whole, HERE)
