# SPDX-License-Identifier: BSD-3-Clause
"""Offload of SCTP's checksum, which is a CRC32c and no sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import frames
from harness.answers_sctp import ABORT, CHUNK_HEAD, COOKIE_ECHO, DATA, DATA_HEAD, INIT, answer_sctp, chunks
from harness.checks.sending import CPU, PATIENCE_S, QUEUE, b64, fetched, packets
from harness.checks.streams import STARTED, abort_at_close
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.dissect import dissect, transport_checksum_right
from harness.errors import NotSeen
from harness.guest.agent import AgentRefusedError
from harness.lab import PEER_IPV4
from harness.traffic import FILLER

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

PORT, ASSOCIATE_S = 7200, 8.0
SIZES = (1, 2, 3, 4, 100, 101, 1000, 1399, 1400)
PARTIAL, L4T_SCTP = 3, 2


def messages(bound: Bound) -> list[bytes]:
    """Return the SCTP packets that have come, from their common header on."""
    came = [dissect(arrival.frame) for arrival in bound.peer.arrivals]
    return [one.frame[one.l4 : one.end] for one in came if one.protocol == frames.SCTP]


def user_data(bound: Bound) -> list[bytes]:
    """Return the user data that has come, in order, each transmission sequence number once."""
    found = {}
    for message in messages(bound):
        for kind, content in chunks(message):
            if kind == DATA:
                found[content[:4]] = content[DATA_HEAD - CHUNK_HEAD :]
    return list(found.values())


@claim("OFF-11")
def test_sctp_leaves_with_a_crc32c(bound: Bound, evidence: Evidence) -> None:
    """An association with a partner that drops what has a wrong CRC, and nine messages of lengths odd and even."""
    agent = bound.guest.agent
    bound.netif.set_xps(QUEUE, [CPU])
    bound.netif.tool("modprobe", "sctp")
    sent = [FILLER[size : 2 * size] for size in SIZES]
    only = {STARTED: f'name == "{bound.netif.name}" && protocol == {frames.ETHERTYPE_IPV4}'}
    with (
        bound.peer.answering(answer_sctp),
        bound.guest.trace.session(STARTED, filters=only) as trace,
        bound.card.recording("TxDescriptor") as seen,
    ):
        handle = agent.call("open_socket", kind="tcp", protocol=frames.SCTP)
        abort_at_close(bound, handle)
        try:
            agent.call("connect", cpus=[CPU], handle=handle, address=[PEER_IPV4, PORT], seconds=ASSOCIATE_S)
            associated = True
        except AgentRefusedError:
            associated = False
        if associated:
            agent.call("send", cpus=[CPU], handle=handle, payloads=[b64(data) for data in sent])
            came = Deadline.after(PATIENCE_S)
            wait_until(lambda: len(user_data(bound)) >= len(sent), came, "every message coming", NotSeen)
        agent.call("close", handle=handle)
        if associated:
            bound.peer.expect(1, lambda one: ABORT in kinds(one))
    taken = [one for queue in range(bound.netif.queue_count[1]) for one in packets(fetched(seen, queue))]
    asked = [packet for packet in taken if packet.context and packet.context["l4t"] == L4T_SCTP]
    wire = [arrival.frame for arrival in bound.peer.arrivals if dissect(arrival.frame).protocol == frames.SCTP]
    right = [transport_checksum_right(dissect(one)) for one in wire]
    summed = [record["ip_summed"] for record in trace.records]
    evidence.note(
        guest={"associated": associated, "ip_summed": sorted(set(summed))},
        device={"TXSM with SCTP": sum(packet.data[0]["txsm"] for packet in asked), "right on the wire": sum(right)},
    )
    assert associated
    assert user_data(bound) == sent
    assert set(summed) == {PARTIAL}
    assert all(right)
    assert len(asked) == len(wire) == len(summed) > len(SIZES) // 2
    assert all(packet.data[0]["txsm"] for packet in asked)
    assert {INIT, COOKIE_ECHO, DATA, ABORT} <= {kind for one in wire for kind in kinds(one)}


def kinds(frame: bytes) -> list[int]:
    """Return the types of the chunks in a frame; none if it is not SCTP."""
    packet = dissect(frame)
    if packet.protocol != frames.SCTP:
        return []
    return [kind for kind, _ in chunks(frame[packet.l4 : packet.end])]
