# SPDX-License-Identifier: BSD-3-Clause
"""Offload switches of the transmitter: what the stack then does itself, and what the descriptors ask for no more."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from harness.checks.sending import CPU, PATIENCE_S, QUEUE, b64, fetched, packets, udp_socket
from harness.checks.streams import STARTED, send_stream
from harness.claims import claim
from harness.dissect import dissect, transport_checksum_right
from harness.lab import PEER_IPV4
from harness.traffic import FILLER

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

NONE, PARTIAL = 0, 3
"""ip_summed of an skb (include/linux/skbuff.h)."""

ETH_P_ALL = 3
PORT = 7100
SIZES = range(200, 220)
LONGEST = 1514


@claim("OFF-02")
def test_without_transmit_checksums_sums_in_memory_are_right(bound: Bound, evidence: Evidence) -> None:
    """20 datagrams over IPv4 and IPv6 each, odd and even; a packet socket of the guest shows the bytes in memory."""
    agent = bound.guest.agent
    bound.netif.set_xps(QUEUE, [CPU])
    payloads = [b64(FILLER[size : 2 * size]) for size in SIZES]
    count = 2 * len(payloads)
    only = {STARTED: f'name == "{bound.netif.name}" && len >= {SIZES[0]}'}
    for on in (True, False):
        if not on:
            bound.netif.settings.set_features(tx=False)
        senders = [udp_socket(bound, family, port=PORT) for family in (4, 6)]
        tap = agent.call("open_socket", kind="packet", protocol=ETH_P_ALL)
        agent.call("bind", handle=tap, address=[bound.netif.name, ETH_P_ALL])
        with (
            bound.guest.trace.session(STARTED, filters=only) as trace,
            bound.card.recording("TxDescriptor") as seen,
        ):
            for handle in senders:
                agent.call("send", cpus=[CPU], handle=handle, payloads=payloads)
            wire = bound.peer.expect(count, lambda one: dissect(one).destination_port == PORT)
            taken = [packet for packet in packets(fetched(seen, QUEUE)) if packet.length > SIZES[0]]
            memory = tapped(bound, tap, count)
        agent.call("close", handle=tap)
        summed = [record["ip_summed"] for record in trace.records]
        asked = [packet.data[0]["txsm"] for packet in taken]
        right = [good(one) for one in memory]
        evidence.note(
            what=f"tx {'on' if on else 'off'}",
            guest={"ip_summed": sorted(set(summed)), "right in memory": sum(right)},
            device={"TXSM": sum(asked), "packets": len(taken), "right": sum(map(good, wire))},
        )
        assert summed == [PARTIAL if on else NONE] * count
        assert asked == [int(on)] * count
        assert sum(right) == (0 if on else count)
        assert all(good(one) for one in wire)
        assert (wire == memory) != on


def tapped(bound: Bound, tap: int, count: int) -> list[bytes]:
    """Return the ``count`` datagrams for PORT that a packet socket shows, or fewer when no more come."""
    found: list[bytes] = []
    while len(found) < count:
        missing = count - len(found)
        answer = bound.guest.agent.call("receive", handle=tap, count=missing, seconds=PATIENCE_S, body=True)
        came = [base64.b64decode(body) for *_, body in answer["got"]]
        found += [frame for frame in came if dissect(frame).destination_port == PORT]
        if answer["why"] != "count":
            break
    return found


def good(frame: bytes) -> bool:
    """Say whether the sum of a frame on the wire is right."""
    return transport_checksum_right(dissect(frame))


@claim("OFF-03")
def test_without_segmentation_offload_the_stack_cuts(bound: Bound, evidence: Evidence) -> None:
    """The same 60 000 bytes over TCP with tso and gso, with gso alone, and with neither; every connection is new.

    TCP hands over large skbs whatever the switches say (sk_setup_caps, since Linux 4.17), so gso changes nothing here.
    """
    for number, (tso, gso) in enumerate(((True, True), (False, True), (False, False))):
        if not (tso and gso):
            bound.netif.settings.set_features(tso=tso, gso=gso)
        stream = send_stream(bound, PEER_IPV4, PORT + 1 + number)
        segments = sum(packet.data[0]["tse"] for packet in stream.packets)
        sizes = {record["gso_size"] for record in stream.started}
        longest = [max(record["len"] for record in records) for records in (stream.queued, stream.started)]
        evidence.note(
            what=f"tso {'on' if tso else 'off'}, gso {'on' if gso else 'off'}",
            guest={"longest skb": longest, "gso_size": sorted(sizes), "cut by software": stream.cut},
            device={"TSE": segments, "packets": len(stream.packets), "frames": len(stream.frames)},
        )
        assert stream.whole
        assert (segments > 0) == tso
        assert (sizes == {0}) == (not tso)
        assert (stream.cut > 0) == (not tso)
        assert longest[0] > LONGEST
        assert (longest[1] > LONGEST) == tso
        assert tso or len(stream.packets) == len(stream.frames)
        assert max(len(one) for one in stream.frames) == LONGEST


@claim("OFF-04")
def test_without_scatter_gather_a_packet_is_one_descriptor(bound: Bound, evidence: Evidence) -> None:
    """60 000 bytes over TCP, whose payload lies in pages otherwise; segmentation of both kinds must go off with it."""
    for on in (True, False):
        if not on:
            bound.netif.settings.set_features(sg=False)
        features = bound.netif.settings.features()
        names = ("scatter-gather", "tcp-segmentation-offload", "generic-segmentation-offload")
        stream = send_stream(bound, PEER_IPV4, PORT + 10 + on)
        pieces = {len(packet.data) for packet in stream.packets}
        beyond = sum(record["data_len"] > 0 for record in stream.started)
        evidence.note(
            what=f"sg {'on' if on else 'off'}",
            guest={**{name: features[name].on for name in names}, "skbs that are not linear": beyond},
            device={"data descriptors a packet": sorted(pieces), "frames": len(stream.frames)},
        )
        assert [features[name].on for name in names] == [on] * len(names)
        assert (pieces == {1}) == (beyond == 0) == (not on)
        assert on or len(stream.packets) == len(stream.frames)
        assert stream.whole
        assert max(len(one) for one in stream.frames) == LONGEST
