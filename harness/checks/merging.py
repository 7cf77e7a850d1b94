# SPDX-License-Identifier: BSD-3-Clause
"""Segments that lie in the ring together, and what generic receive offload made of them.

GRO holds packets for one poll only, so a message is released when all of them are written back. The hash that the card
reports is chosen here too, since GRO compares it before anything else (gro_list_prepare).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

from device_model.igb.spec.descriptors import RxWriteback
from harness import frames
from harness.checks.arrivals import strangers
from harness.checks.bursts import PATIENCE_S, armings, arms, calm, fill, messages, quiet, receive_vector, steer_to
from harness.deadline import Deadline
from harness.traffic import FILLER, Flow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.guest.probes import Probe
    from harness.guest.ringbuffer import Record
    from harness.guest.trace import Session
    from harness.lab import Bound

QUEUE = 3
HASH = 0x8257_6013
"""What the card reports of every segment that does not ask for another hash."""

ETHERNET = 14
ENTRY, EXIT, CORE = "net:napi_gro_receive_entry", "net:napi_gro_receive_exit", "net:netif_receive_skb"
MERGED, HELD, NORMAL = "merged", "held", "normal"
RETURNS = {0: MERGED, 1: MERGED, 2: HELD, 3: NORMAL}
"""enum gro_result of include/linux/netdevice.h; MERGED and MERGED_FREE differ only in who frees the skb."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A TCP segment over IPv4 with ``size`` bytes from place ``at`` of the stream of its flow.

    ``tcp`` and ``ip`` are what its headers have otherwise than usual, and ``behind`` follows the datagram.
    """

    flow: Flow
    at: int
    size: int
    ident: int
    tcp: Mapping[str, Any] = field(default_factory=dict)
    ip: Mapping[str, Any] = field(default_factory=dict)
    behind: bytes = b""
    rss_hash: int | None = HASH
    begin: int = 1
    """The sequence number of the stream's first byte."""

    @property
    def payload(self) -> bytes:
        """Its part of the stream."""
        return stream(self.at, self.size)

    @property
    def frame(self) -> bytes:
        """The frame on the wire."""
        flow = self.flow
        tcp = {"sequence": self.begin + self.at, **self.tcp}
        body = frames.tcp(flow.addresses, flow.source_port, flow.destination_port, self.payload, **tcp)
        packet = frames.ipv4(*flow.addresses, frames.TCP, body, **{"ident": self.ident, **self.ip})
        macs = flow.destination.mac, flow.source.mac
        return frames.pad(frames.ethernet(*macs, frames.ETHERTYPE_IPV4, packet + self.behind, flow.vlans))


def stream(at: int, size: int) -> bytes:
    """Return ``size`` bytes from place ``at`` of the bytes that every flow carries."""
    return FILLER[at : at + size]


def train(flow: Flow, *sizes: int, at: int = 0, **common: Any) -> list[Segment]:  # noqa: ANN401 - fields of Segment
    """Return consecutive segments with payloads of ``sizes`` from place ``at`` on, identifications counted up."""
    places = [at]
    for size in sizes:
        places.append(places[-1] + size)
    return [Segment(flow, here, there - here, n, **common) for n, (here, there) in enumerate(pairwise(places))]


def stranger(bound: Bound, number: int = 0) -> Flow:
    """Return a flow of TCP to nobody: IP drops its segments in silence."""
    return strangers(bound, number + 1)[number]


def skb_length(segments: Sequence[Segment]) -> int:
    """Return the length of the skb that these make together: the headers of the first and all payloads."""
    first, *rest = segments
    return len(first.frame) - ETHERNET + sum(segment.size for segment in rest)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the segments of one poll.

    ``returns`` are what napi_gro_receive said of each, ``lengths`` those of the skbs in order of delivery.
    """

    returns: list[str]
    lengths: list[int]
    summed: list[int]
    written: list[dict[str, int]]
    messages: int
    records: list[Record]

    def told(self) -> dict[str, Any]:
        """Return what the guest says, for the evidence."""
        return {"returns": self.returns, "lengths": self.lengths}


@dataclass(frozen=True, slots=True)
class Merging:
    """A queue of which every poll is known, and the trace of the guest."""

    bound: Bound
    trace: Session

    def poll(self, segments: Sequence[Segment]) -> Outcome:
        """Let ``segments`` be polled together."""
        return self.poll_frames([(segment.rss_hash, segment.frame) for segment in segments])

    def poll_frames(self, hashed: Sequence[tuple[int | None, bytes]]) -> Outcome:
        """Let frames be polled together, each with the hash that the card reports (None: the computed one)."""
        bound, vector = self.bound, receive_vector(self.bound, QUEUE)
        with bound.card.recording("InterruptSent", "RegisterWritten", "RxWriteBack") as seen:
            armed = len(armings(seen, vector))
            for rss_hash, group in groupby(hashed, key=lambda pair: pair[0]):
                bound.card.fault("force_rss", rss_hash=rss_hash)
                fill(bound, seen, QUEUE, [frame for _, frame in group])
            bound.card.release_interrupts(vector)
            patience = Deadline.after(PATIENCE_S)
            seen.wait(armed + 1, patience, kind="RegisterWritten", where=lambda event: arms(event, vector))
            calm(bound)
        records = self.trace.read()
        return Outcome(
            returns=[RETURNS.get(r["ret"], str(r["ret"])) for r in records if r.name == EXIT],
            lengths=[r["len"] for r in records if r.name == CORE and r["name"] == bound.netif.name],
            summed=[r["ip_summed"] for r in records if r.name == ENTRY],
            written=[RxWriteback.decode(event.raw) for event in seen.all("RxWriteBack")],
            messages=len(messages(seen, vector)),
            records=records,
        )


@contextmanager
def merging(
    bound: Bound, *events: str, probes: Sequence[Probe] = (), functions: Sequence[str] = ()
) -> Iterator[Merging]:
    """Steer all frames to one queue that nothing else disturbs, and trace what GRO does, and ``events`` too."""
    steer_to(bound, QUEUE)
    quiet(bound)
    with bound.guest.trace.session(ENTRY, EXIT, CORE, *events, probes=probes, functions=functions) as trace:
        yield Merging(bound, trace)
