# SPDX-License-Identifier: BSD-3-Clause
"""Flows, their frames, and payloads that tell what became of them: numbered, and guarded by a CRC.

A numbered payload, big-endian: magic (2 bytes, 0x6869), length of the whole (2), flow (4), sequence number (4), CRC-32
of everything else in the payload (4), then filler that depends on flow and sequence. Its least size is 16 bytes.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness import frames
from harness.errors import UsageError
from harness.frames import Checksum

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HEAD = struct.Struct("!HHII")
CRC = struct.Struct("!I")
MAGIC = 0x6869
LEAST = HEAD.size + CRC.size
"""Shortest numbered payload in bytes; it fits the shortest frame with UDP over IPv4."""

FILLER = random.Random(82576).randbytes(1 << 17)  # noqa: S311 - filler, not a secret
"""Where fillers are cut from, at an offset that depends on flow and sequence number."""

PROTOCOLS = {"udp": frames.UDP, "tcp": frames.TCP, "sctp": frames.SCTP, "icmp": frames.ICMP, "other": 253}
"""Names of protocols; ``other`` is the number for experiments (RFC 3692), with the payload right after IP."""


@dataclass(frozen=True, slots=True)
class Station:
    """One end of the wire: its addresses as bytes."""

    mac: bytes
    ipv4: bytes
    ipv6: bytes

    @classmethod
    def of(cls, mac: str, ipv4: str, ipv6: str) -> Station:
        """Return the station with these addresses, written as people write them."""
        return cls(frames.mac(mac), frames.ip(ipv4), frames.ip(ipv6))


@dataclass(frozen=True, slots=True)
class Flow:
    """One direction of a conversation. ``number`` goes into numbered payloads; ports are unused by icmp and other."""

    source: Station
    destination: Station
    family: int = 4
    protocol: str = "udp"
    source_port: int = 40000
    destination_port: int = 9
    number: int = 0
    vlans: tuple[int, ...] = ()

    @property
    def addresses(self) -> tuple[bytes, bytes]:
        """Source and destination IP address."""
        if self.family == 4:
            return self.source.ipv4, self.destination.ipv4
        return self.source.ipv6, self.destination.ipv6

    def back(self) -> Flow:
        """Return the other direction."""
        return replace(
            self,
            source=self.destination,
            destination=self.source,
            source_port=self.destination_port,
            destination_port=self.source_port,
        )


def flows(
    count: int,
    source: Station,
    destination: Station,
    *,
    family: int = 4,
    protocol: str = "udp",
    seed: int = 1,
    vlans: tuple[int, ...] = (),
) -> list[Flow]:
    """Return ``count`` flows, no two with equal source address or equal source port, the same for the same seed.

    Source addresses share the upper half (IPv4: 16 bits, IPv6: 64 bits) with ``source``, so that a hash over
    addresses alone spreads them too. At most 30000.
    """
    if not 0 <= count <= 30_000:
        raise UsageError(f"number of flows must be 0 to 30000, not {count}")
    if family not in (4, 6) or protocol not in PROTOCOLS:
        raise UsageError(f"flows must be of family 4 or 6 and one of {', '.join(PROTOCOLS)}, not {family} {protocol!r}")
    pick = random.Random(seed)  # noqa: S311 - a reproducible choice, not a secret
    taken = {int.from_bytes(address[-2:], "big") for address in (source.ipv4, destination.ipv4)}
    hosts = [host for host in range(0x0101, 0xFF00) if host & 0xFF not in (0, 0xFF) and host not in taken]
    ports = pick.sample(range(10_000, 60_000), count)
    made = []
    for number, (host, port) in enumerate(zip(pick.sample(hosts, count), ports, strict=True)):
        low = host.to_bytes(2, "big")
        station = Station(source.mac, source.ipv4[:2] + low, source.ipv6[:8] + pick.randbytes(5) + b"\1" + low)
        to_port = pick.randrange(10_000, 60_000)
        made.append(Flow(station, destination, family, protocol, port, to_port, number, vlans))
    return made


def frame(
    flow: Flow,
    payload: bytes,
    *,
    ip_checksum: Checksum = Checksum.RIGHT,
    checksum: Checksum = Checksum.RIGHT,
    sequence: int = 1,
    flags: int = frames.ACK,
    ident: int = 0,
    ip_options: bytes = b"",
) -> bytes:
    """Return the frame that carries ``payload`` in ``flow``, at least 60 bytes long, without FCS.

    ``sequence`` is TCP's, SCTP's or the echo's; ``flags`` are TCP's; ``checksum`` is the transport's.
    """
    addresses = flow.addresses
    ports = flow.source_port, flow.destination_port
    number = PROTOCOLS[flow.protocol]
    match flow.protocol:
        case "udp":
            body = frames.udp(addresses, *ports, payload, checksum)
        case "tcp":
            body = frames.tcp(addresses, *ports, payload, sequence=sequence, flags=flags, checksum=checksum)
        case "sctp":
            body = frames.sctp(*ports, frames.sctp_data(payload, sequence=sequence), checksum=checksum)
        case "icmp" if flow.family == 4:
            body = frames.icmp_echo(flow.number & 0xFFFF, sequence & 0xFFFF, payload, checksum=checksum)
        case "icmp":
            number = frames.ICMPV6
            echo = struct.pack("!HH", flow.number & 0xFFFF, sequence & 0xFFFF) + payload
            body = frames.icmpv6(addresses, 128, echo, checksum=checksum)
        case _:
            body = payload
    if flow.family == 4:
        packet = frames.ipv4(*addresses, number, body, ident=ident, checksum=ip_checksum, options=ip_options)
        ethertype = frames.ETHERTYPE_IPV4
    else:
        packet = frames.ipv6(*addresses, number, body)
        ethertype = frames.ETHERTYPE_IPV6
    return frames.pad(frames.ethernet(flow.destination.mac, flow.source.mac, ethertype, packet, flow.vlans))


def numbered(flow: int, sequence: int, size: int = LEAST) -> bytes:
    """Return the numbered payload of ``size`` bytes, 16 to 65535."""
    if not LEAST <= size <= 0xFFFF:
        raise UsageError(f"size of a numbered payload must be {LEAST} to 65535, not {size}")
    head = HEAD.pack(MAGIC, size, flow, sequence)
    start = (flow * 8191 + sequence * 61) & 0xFFFF
    filler = FILLER[start : start + size - LEAST]
    return head + CRC.pack(zlib.crc32(filler, zlib.crc32(head))) + filler


def numbered_frames(flow: Flow, count: int, size: int = LEAST, first: int = 0) -> Iterator[bytes]:
    """Yield ``count`` frames of ``flow`` with numbered payloads of ``size`` bytes, numbers from ``first`` on."""
    for sequence in range(first, first + count):
        yield frame(flow, numbered(flow.number, sequence, size), sequence=sequence * size + 1, ident=sequence & 0xFFFF)


def read_numbered(payload: bytes) -> tuple[int, int] | None:
    """Return flow and sequence number of ``payload``, which may have bytes after it; None when it is damaged."""
    if len(payload) < LEAST:
        return None
    magic, size, flow, sequence = HEAD.unpack_from(payload)
    if magic != MAGIC or not LEAST <= size <= len(payload):
        return None
    (crc,) = CRC.unpack_from(payload, HEAD.size)
    if crc != zlib.crc32(payload[LEAST:size], zlib.crc32(payload[: HEAD.size])):
        return None
    return flow, sequence


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the numbered payloads, in payloads. ``missing`` names the first 100 lost (flow, sequence)."""

    received: int
    lost: int
    duplicated: int
    reordered: int
    corrupted: int
    unexpected: int
    missing: tuple[tuple[int, int], ...]

    @property
    def flawless(self) -> bool:
        """Whether each payload came exactly once, in order and undamaged, and nothing else did."""
        return not (self.lost or self.duplicated or self.reordered or self.corrupted or self.unexpected)


@dataclass(slots=True)
class Ledger:
    """Keeps account of numbered payloads: ``expect`` what is sent, ``note`` what arrives, then ``tally``."""

    _expected: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    _seen: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    _highest: dict[int, int] = field(default_factory=dict)
    _received: int = 0
    _duplicated: int = 0
    _reordered: int = 0
    _corrupted: int = 0

    def expect(self, flow: int, sequences: Iterable[int]) -> None:
        """Expect these sequence numbers of ``flow``."""
        self._expected[flow].update(sequences)

    def note(self, payload: bytes) -> None:
        """Enter one payload that arrived; out of order is one below the highest number of its flow so far."""
        read = read_numbered(payload)
        self._received += 1
        if read is None:
            self._corrupted += 1
            return
        flow, sequence = read
        seen = self._seen[flow]
        if sequence in seen:
            self._duplicated += 1
            return
        seen.add(sequence)
        if sequence < self._highest.get(flow, 0):
            self._reordered += 1
        else:
            self._highest[flow] = sequence

    def tally(self) -> Tally:
        """Return the account so far."""
        missing = sorted((flow, n) for flow, numbers in self._expected.items() for n in numbers - self._seen[flow])
        unexpected = sum(len(numbers - self._expected[flow]) for flow, numbers in list(self._seen.items()))
        return Tally(
            self._received, len(missing), self._duplicated, self._reordered, self._corrupted, unexpected,
            tuple(missing[:100]),
        )  # fmt: skip
