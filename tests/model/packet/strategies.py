# SPDX-License-Identifier: BSD-3-Clause
"""What the property tests of the packet functions draw from."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st

from . import frames

quick = settings(max_examples=40, deadline=None)
"""For every property here: few examples, and no time limit on a busy machine."""

ports = st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
addresses_v4 = st.tuples(st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4))
addresses_v6 = st.tuples(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
addresses = addresses_v4 | addresses_v6
payloads = st.binary(max_size=90)
protocols = st.sampled_from([frames.TCP, frames.UDP, frames.SCTP])


@dataclass(frozen=True, slots=True)
class Flow:
    """A packet's addresses, ports, protocol and payload, and the frame that carries them."""

    source: bytes
    destination: bytes
    ports: tuple[int, int]
    protocol: int
    payload: bytes
    frame: bytes

    @property
    def l3_length(self) -> int:
        return 20 if len(self.source) == 4 else 40


def frame_of(protocol: int, payload: bytes, source: bytes, destination: bytes, numbers: tuple[int, int]) -> bytes:
    """Build an untagged frame of one of the three protocols."""
    if protocol == frames.TCP:
        return frames.tcp_frame(payload, source, destination, numbers)
    if protocol == frames.UDP:
        return frames.udp_frame(payload, source, destination, numbers)
    return frames.sctp_frame(payload, source, destination, numbers)


@st.composite
def flows(draw: st.DrawFn, protocol: st.SearchStrategy[int] = protocols) -> Flow:
    """Draw a right, untagged frame over IPv4 or IPv6."""
    source, destination = draw(addresses)
    number = draw(protocol)
    pair = draw(ports)
    payload = draw(payloads)
    return Flow(source, destination, pair, number, payload, frame_of(number, payload, source, destination, pair))


@st.composite
def damaged_frames(draw: st.DrawFn) -> bytes:
    """Draw frames that start out right, and then have bytes overwritten and their end cut off."""
    frame = draw(st.sampled_from(SEEDS))
    damaged = bytearray(frame)
    for position, value in draw(st.lists(st.tuples(st.integers(12, len(frame) - 1), st.integers(0, 255)), max_size=6)):
        damaged[position] = value
    return bytes(damaged[: draw(st.integers(0, len(frame)))])


V4 = (bytes([10, 1, 2, 3]), bytes([192, 168, 77, 9]))
V6 = (bytes.fromhex("20010db8000000010000000000000a01"), bytes.fromhex("fd0000000000000200000000000000b7"))


def _ipv6_chain() -> bytes:
    """Build TCP behind hop-by-hop, type 2 routing, fragment (atomic) and destination options with a home address."""
    home = frames.ipv6_extension(frames.TCP, bytes([0, 0xC9, 16]) + V6[1] + bytes([1, 1, 0]))
    fragment = frames.ipv6_fragment_header(60, offset=0, more=False)
    routing = frames.ipv6_extension(44, bytes([2, 1, 0, 0, 0, 0]) + V6[0])
    chain = frames.ipv6_extension(43, bytes([1, 4, 0, 0, 0, 0])) + routing + fragment + home
    return frames.ethernet(frames.ipv6(chain + frames.tcp(b"chain", *V6, (1, 2)), 0, *V6), 0x86DD)


SEEDS = [
    frames.tcp_frame(b"four", *V4, (80, 1234)),
    frames.udp_frame(b"four", *V4, (53, 1234)),
    frames.sctp_frame(b"four", *V4, (53, 1234)),
    frames.tcp_frame(b"six", *V6, (80, 1234)),
    frames.udp_frame(b"six", *V6, (53, 1234)),
    frames.ethernet(frames.ipv4(frames.tcp(b"o", *V4, (5, 6)), frames.TCP, *V4, options=b"\x01" * 12), 0x0800, vlan=7),
    frames.arp_request(*V4),
    _ipv6_chain(),
]
