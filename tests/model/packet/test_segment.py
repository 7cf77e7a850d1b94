# SPDX-License-Identifier: BSD-3-Clause
"""Segmentation: every frame equals one built from scratch, and together they are the stream (claims TX-09 to TX-11)."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.packet.parse import parse
from device_model.packet.segment import segment

from . import frames
from .strategies import V4, V6, addresses, ports, quick

sizes = st.tuples(st.integers(1, 70), st.integers(1, 300))
all_flags = st.integers(0, 255)


def unfinished(packet: bytes, l3: int, l4: int, *, tcp: bool, ipv4_check: int = 0) -> bytes:
    """Make of a right packet what igb_tso leaves in memory: no IP lengths, the L4 field seeded without its length."""
    raw = bytearray(packet)
    if packet[l3] >> 4 == 4:
        struct.pack_into(">H", raw, l3 + 2, 0)
        struct.pack_into(">H", raw, l3 + 10, ipv4_check)
        pair = (packet[l3 + 12 : l3 + 16], packet[l3 + 16 : l3 + 20])
    else:
        struct.pack_into(">H", raw, l3 + 4, 0)
        pair = (packet[l3 + 8 : l3 + 24], packet[l3 + 24 : l3 + 40])
    protocol = frames.TCP if tcp else frames.UDP
    seed = frames.word_sum(frames.pseudo_header(*pair, protocol, 0))
    struct.pack_into(">H", raw, l4 + (16 if tcp else 6), seed)
    return bytes(raw)


def chunks(payload: bytes, mss: int) -> list[bytes]:
    return [payload[start : start + mss] for start in range(0, len(payload), mss)]


def ip_packet(body: bytes, protocol: int, pair: tuple[bytes, bytes], identification: int) -> tuple[bytes, int]:
    if len(pair[0]) == 4:
        return frames.ipv4(body, protocol, *pair, identification=identification, fragment=0x4000), 0x0800
    return frames.ipv6(body, protocol, *pair), 0x86DD


@quick
@given(
    addresses,
    ports,
    sizes,
    all_flags,
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFF),
    st.sampled_from([b"", bytes.fromhex("0101080a1122334455667788")]),
    st.sampled_from([None, 0x2064]),
    st.sampled_from([0, 0xFFFF]),
)
def test_tcp_frames_equal_those_built_one_by_one(
    pair: tuple[bytes, bytes],
    numbers: tuple[int, int],
    mss_and_length: tuple[int, int],
    flags: int,
    sequence: int,
    identification: int,
    options: bytes,
    vlan: int | None,
    ipv4_check: int,
) -> None:
    mss, length = mss_and_length
    payload = bytes(index * 7 & 0xFF for index in range(length))

    def built(body: bytes, index: int, flags: int) -> bytes:
        tcp = frames.tcp(
            body, *pair, numbers, sequence=(sequence + index * mss) & 0xFFFFFFFF, flags=flags, options=options
        )
        return frames.ethernet(
            *ip_packet(tcp, frames.TCP, pair, (identification + index) & 0xFFFF),
            source=frames.GUEST_MAC,
            destination=frames.PEER_MAC,
            vlan=vlan,
        )

    parts = chunks(payload, mss)
    expected = []
    for index, part in enumerate(parts):
        kept = flags
        if index > 0:
            kept &= ~frames.CWR
        if index < len(parts) - 1:
            kept &= ~(frames.FIN | frames.PSH)
        expected.append(built(part, index, kept))
    mac_len = 14 if vlan is None else 18
    ip_len = 20 if len(pair[0]) == 4 else 40
    packet = unfinished(built(payload, 0, flags), mac_len, mac_len + ip_len, tcp=True, ipv4_check=ipv4_check)
    sent = segment(
        packet,
        mac_len=mac_len,
        ip_len=ip_len,
        l4_len=20 + len(options),
        mss=mss,
        payload_len=length,
        ipv4=ip_len == 20,
        tcp=True,
    )
    assert sent == expected
    assert b"".join(frame[mac_len + ip_len + 20 + len(options) :] for frame in sent) == payload


@quick
@given(addresses, ports, sizes)
def test_udp_frames_are_whole_datagrams_and_not_fragments(
    pair: tuple[bytes, bytes], numbers: tuple[int, int], mss_and_length: tuple[int, int]
) -> None:
    mss, length = mss_and_length
    payload = bytes(index * 11 & 0xFF for index in range(length))

    def built(body: bytes, index: int) -> bytes:
        return frames.ethernet(
            *ip_packet(frames.udp(body, *pair, numbers), frames.UDP, pair, (0xFFFE + index) & 0xFFFF)
        )

    ip_len = 20 if len(pair[0]) == 4 else 40
    packet = unfinished(built(payload, 0), 14, 14 + ip_len, tcp=False)
    sent = segment(
        packet, mac_len=14, ip_len=ip_len, l4_len=8, mss=mss, payload_len=length, ipv4=ip_len == 20, tcp=False
    )
    assert sent == [built(part, index) for index, part in enumerate(chunks(payload, mss))]
    assert not any(parse(frame).is_fragment for frame in sent)


def big_tcp(payload: bytes, pair: tuple[bytes, bytes] = V4) -> bytes:
    packet = frames.tcp_frame(payload, *pair, (1000, 2000), flags=frames.ACK | frames.PSH)
    return unfinished(packet, 14, 14 + (20 if len(pair[0]) == 4 else 40), tcp=True)


def cut_tcp(
    packet: bytes, *, mac_len: int = 14, ip_len: int = 20, l4_len: int = 20, mss: int = 10, payload_len: int = 25
) -> list[bytes]:
    return segment(
        packet, mac_len=mac_len, ip_len=ip_len, l4_len=l4_len, mss=mss, payload_len=payload_len, ipv4=True, tcp=True
    )


def test_sixty_four_kibibytes_come_out_whole() -> None:
    payload = bytes(index % 251 for index in range(65160))
    sent = cut_tcp(big_tcp(payload[:1]) + payload[1:], mss=1448, payload_len=65160)
    assert [len(frame) - 54 for frame in sent] == [1448] * 45
    assert b"".join(frame[54:] for frame in sent) == payload


def test_a_payload_of_exact_multiples_has_no_empty_last_frame() -> None:
    assert [len(frame) - 54 for frame in cut_tcp(big_tcp(bytes(30)), mss=10, payload_len=30)] == [10, 10, 10]


def test_payload_length_beyond_the_packet_is_cut_to_it() -> None:
    packet = big_tcp(bytes(25))
    assert cut_tcp(packet, payload_len=1 << 18) == cut_tcp(packet)


def test_bytes_behind_the_payload_length_stay_behind() -> None:
    packet = big_tcp(b"x" * 25)
    assert cut_tcp(packet + b"behind it") == cut_tcp(packet)


def test_no_payload_gives_one_frame_of_headers() -> None:
    [frame] = cut_tcp(big_tcp(b"gone"), payload_len=0)
    assert frame == frames.tcp_frame(b"", *V4, (1000, 2000), flags=frames.ACK | frames.PSH)


@pytest.mark.parametrize(
    "wrong",
    [{"mss": 0}, {"mss": -5}, {"mac_len": 13}, {"ip_len": 19}, {"l4_len": 19}, {"l4_len": 46}, {"ip_len": 511}],
)
def test_nonsense_gives_no_frame(wrong: dict[str, int]) -> None:
    packet = big_tcp(bytes(25))
    assert len(cut_tcp(packet)) == 3
    assert cut_tcp(packet, **wrong) == []


def test_a_tunnel_gets_its_outer_header_finished_and_its_inner_left_alone() -> None:
    mss = 100
    payload = bytes(range(200))
    outer_pair = (bytes([172, 16, 5, 1]), bytes([172, 16, 5, 2]))
    gre = bytes.fromhex("00000800")

    def built(body: bytes, index: int) -> bytes:
        tcp = frames.tcp(body, *V4, (1, 2), sequence=index * mss)
        inner = frames.ipv4(bytes(20 + mss), frames.TCP, *V4, identification=77)[:20]
        return frames.ethernet(frames.ipv4(gre + inner + tcp, 47, *outer_pair, identification=500 + index), 0x0800)

    raw = bytearray(built(payload, 0))
    raw[16:18] = bytes(2)
    # The driver's seed: what cancels the bytes between the outer header and the L4 header (Linux igb_tso).
    struct.pack_into(">H", raw, 24, ~frames.word_sum(bytes(raw[34:58])) & 0xFFFF)
    struct.pack_into(">H", raw, 58 + 16, frames.word_sum(frames.pseudo_header(*V4, frames.TCP, 0)))
    sent = segment(bytes(raw), mac_len=14, ip_len=44, l4_len=20, mss=mss, payload_len=200, ipv4=True, tcp=True)
    assert sent == [built(payload[:mss], 0), built(payload[mss:], 1)]


def test_ipv6_payload_length_counts_the_headers_behind_the_first() -> None:
    payload = bytes(range(150))
    hop = frames.ipv6_extension(frames.TCP, bytes([1, 4, 0, 0, 0, 0]))

    def built(body: bytes, index: int, flags: int) -> bytes:
        tcp = frames.tcp(body, *V6, (1, 2), sequence=index * 60, flags=flags)
        return frames.ethernet(frames.ipv6(hop + tcp, 0, *V6), 0x86DD)

    packet = unfinished(built(payload, 0, frames.FIN | frames.ACK), 14, 14 + 48, tcp=True)
    sent = segment(packet, mac_len=14, ip_len=48, l4_len=20, mss=60, payload_len=150, ipv4=False, tcp=True)
    flags = [frames.ACK, frames.ACK, frames.FIN | frames.ACK]
    assert sent == [built(part, index, flags[index]) for index, part in enumerate(chunks(payload, 60))]


@quick
@given(
    st.binary(max_size=120),
    st.integers(0, 127),
    st.integers(0, 511),
    st.integers(0, 255),
    st.integers(0, 0xFFFF),
    st.integers(0, (1 << 18) - 1),
    st.booleans(),
    st.booleans(),
)
def test_no_context_upsets_it(
    packet: bytes, mac_len: int, ip_len: int, l4_len: int, mss: int, payload_len: int, ipv4: bool, tcp: bool
) -> None:
    for scale in (1, 8):  # small header lengths often lie within the packet, large ones seldom
        sent = segment(
            packet,
            mac_len=mac_len // scale,
            ip_len=ip_len // scale,
            l4_len=l4_len // scale,
            mss=mss,
            payload_len=payload_len,
            ipv4=ipv4,
            tcp=tcp,
        )
        assert all(len(frame) <= len(packet) for frame in sent)


@pytest.mark.parametrize(("ipv4", "tcp"), [(True, True), (True, False), (False, True), (False, False)])
def test_lengths_too_big_for_their_fields_lose_their_high_bits(ipv4: bool, tcp: bool) -> None:
    ip_len, l4_len = 20 if ipv4 else 40, 20 if tcp else 8
    header = bytes(14 + ip_len + l4_len)
    sent = segment(
        header + bytes(70000),
        mac_len=14,
        ip_len=ip_len,
        l4_len=l4_len,
        mss=65535,
        payload_len=70000,
        ipv4=ipv4,
        tcp=tcp,
    )
    assert [len(frame) - len(header) for frame in sent] == [65535, 70000 - 65535]
    [length] = struct.unpack_from(">H", sent[0], 16 if ipv4 else 18)
    assert length == (65535 + l4_len + (20 if ipv4 else 0)) % 0x10000


def test_sequence_and_identification_wrap_around() -> None:
    packet = bytearray(big_tcp(bytes(25)))
    packet[18:20] = b"\xff\xff"
    packet[38:42] = b"\xff\xff\xff\xf2"
    sent = cut_tcp(bytes(packet))
    assert [frame[18:20].hex() for frame in sent] == ["ffff", "0000", "0001"]
    assert [frame[38:42].hex() for frame in sent] == ["fffffff2", "fffffffc", "00000006"]


def test_input_may_be_a_view_and_is_not_changed() -> None:
    packet = bytearray(big_tcp(bytes(25), V4))
    before = bytes(packet)
    arguments = {"mac_len": 14, "ip_len": 20, "l4_len": 20, "mss": 10, "payload_len": 25}
    assert segment(memoryview(packet), **arguments, ipv4=True, tcp=True) == cut_tcp(before)
    assert packet == before


def test_over_ipv6_nothing_is_taken_for_an_ipv4_header() -> None:
    packet = big_tcp(b"z" * 25, V6)
    [first, _, last] = segment(packet, mac_len=14, ip_len=40, l4_len=20, mss=10, payload_len=25, ipv4=False, tcp=True)
    assert first[22:54] == V6[0] + V6[1]
    assert (first[18:20], last[18:20]) == (b"\0\x1e", b"\0\x19")
