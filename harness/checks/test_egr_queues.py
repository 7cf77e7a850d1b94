# SPDX-License-Identifier: BSD-3-Clause
"""Transmit packet steering: the queue that the sender's CPU has, or the queue of what was received."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from harness.checks.bursts import steer_to
from harness.checks.chains import HASHED, PATIENCE_S
from harness.checks.connections import answer_handshake, connect, patient
from harness.checks.sending import b64, text, udp_socket
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.dissect import dissect
from harness.errors import NotSeen
from harness.guest.netif import mask
from harness.traffic import FILLER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.evidence import Evidence
    from harness.lab import Bound

OF_CPU = (2, 0, 3, 1)
"""The queue of each CPU: nowhere the CPU's own number."""

OF_RECEIVE = (3, 2, 0, 1)
"""The transmit queue of each receive queue: nowhere the same number."""

PORT, SHORTEST, HEADERS = 4720, 100, 42


def all_sent(bound: Bound, handle: int) -> bool:
    """Say whether nothing of the socket is in flight any more."""
    return bool(bound.guest.agent.call("queued", handle=handle)["out"] == 0)


def by_sender(
    bound: Bound, handles: Sequence[int], cpus: Sequence[int], *, connected: bool
) -> tuple[dict[int, list[int]], dict[int, list[int]], dict[int, set[int]]]:
    """Let every socket send one datagram from each of ``cpus``; the length names the socket.

    Return the queues by socket as the guest and as the card say them, and what the hashes would have picked.
    """
    address = None if connected else [text(bound.peer.station.ipv4), PORT]
    count, (_, queues) = len(handles) * len(cpus), bound.netif.queue_count
    with bound.guest.trace.session(probes=(HASHED,)) as trace, bound.card.recording("FrameEmitted") as seen:
        for number, handle in enumerate(handles):
            payload = b64(bytes(SHORTEST + number))
            for cpu in cpus:
                bound.guest.agent.call("send_each", cpus=[cpu], handle=handle, payloads=[payload], address=address)
                done = partial(all_sent, bound, handle)
                wait_until(done, Deadline.after(PATIENCE_S), "the completion of what was sent", NotSeen)
        emitted = seen.wait(
            count, Deadline.after(PATIENCE_S), where=lambda event: dissect(event.frame).destination_port == PORT
        )
    said, saw, hashed = (
        defaultdict[int, list[int]](list),
        defaultdict[int, list[int]](list),
        defaultdict[int, set[int]](set),
    )
    for record in trace.records:
        number = record["len"] - SHORTEST - HEADERS
        if 0 <= number < len(handles):
            said[number].append(record["qm"])
            hashed[number].add(record["hash"] * queues >> 32)
    for event in emitted:
        saw[len(event.frame) - SHORTEST - HEADERS].append(event.queue)
    return dict(said), dict(saw), dict(hashed)


@claim("EGR-16")
def test_xps_picks_the_queue_by_cpu(bound: Bound, evidence: Evidence) -> None:
    """Eight sockets, each from every CPU; the map is no identity. A connected one keeps the queue of its first send.

    With the map cleared every socket's hash holds it to one queue, whatever the CPU. From 7 on a connected one follows
    the CPU too, since it has nothing in flight when it sends again (skb_set_owner_w sets ooo_okay).
    """
    cpus, agent = (3, 0, 2, 1), bound.guest.agent
    _, queues = bound.netif.queue_count
    before = [bound.netif.read(f"queues/tx-{queue}/xps_cpus") for queue in range(queues)]
    for cpu, queue in enumerate(OF_CPU):
        bound.netif.set_xps(queue, [cpu])
    free = [agent.call("open_socket", kind="udp") for _ in range(8)]
    for number, handle in enumerate(free):
        agent.call("bind", handle=handle, address=["0.0.0.0", 21_000 + 13 * number])  # noqa: S104 - in the guest
    mapped = by_sender(bound, free, cpus, connected=False)
    held = by_sender(bound, [udp_socket(bound, port=PORT)], cpus, connected=True)
    for queue in range(queues):
        bound.netif.set_xps(queue, [])
    cleared = by_sender(bound, free, cpus, connected=False)
    evidence.note(
        guest={"by default": before, "by CPU": mapped[0], "connected": held[0], "cleared": cleared[0]},
        device={"by CPU": mapped[1], "connected": held[1], "cleared": cleared[1]},
    )
    assert [int(text.replace(",", ""), 16) for text in before] == [0] * queues
    assert mapped[0] == mapped[1] == {number: [OF_CPU[cpu] for cpu in cpus] for number in range(len(free))}
    keeps = bound.guest.kernel_is("<7")
    assert held[0] == held[1] == {0: [OF_CPU[cpus[0] if keeps else cpu] for cpu in cpus]}
    assert cleared[0] == cleared[1]
    assert {number: set(picked) for number, picked in cleared[0].items()} == cleared[2]
    assert all(len(picked) == 1 for picked in cleared[2].values())


@claim("EGR-17")
def test_xps_picks_the_queue_by_receive_queue(bound: Bound, evidence: Evidence) -> None:
    """A connection for each receive queue, told something there before it answers; then four more without the map."""
    receive, queues = bound.netif.queue_count
    patient(bound)
    for got, queue in enumerate(OF_RECEIVE):
        bound.netif.set_file(f"queues/tx-{queue}/xps_rxqs", mask([got]))
    mapped = [answered(bound, queue) for queue in range(receive)]
    for queue in range(queues):
        bound.netif.set_file(f"queues/tx-{queue}/xps_rxqs", "0")
    cleared = [answered(bound, queue) for queue in range(receive)]
    evidence.note(
        guest={"queue_mapping": [said for _, said, _, _ in mapped], "cleared": [said for _, said, _, _ in cleared]},
        device={"received, sent": [(got, sent) for got, _, sent, _ in mapped]},
    )
    assert [got for got, *_ in mapped + cleared] == list(range(receive)) * 2
    assert [said for _, said, _, _ in mapped] == [sent for _, _, sent, _ in mapped] == list(OF_RECEIVE)
    assert [(said, sent) for _, said, sent, _ in cleared] == [(hashed, hashed) for *_, hashed in cleared]


def answered(bound: Bound, queue: int) -> tuple[int, int, int, int]:
    """Let a new connection be told 333 bytes on receive ``queue`` and answer with 444.

    Return the queue of what it was told, the answer's queue as the guest and as the card say it, and its hash's.
    """
    agent, told, answer = bound.guest.agent, FILLER[:333], FILLER[:444]
    steer_to(bound, queue)
    _, queues = bound.netif.queue_count
    with bound.peer.answering(answer_handshake):
        connection = connect(bound)
        with (
            bound.guest.trace.session(probes=(HASHED,)) as trace,
            bound.card.recording("FrameEmitted", "FrameDelivered") as seen,
        ):
            bound.peer.send(segment := connection.segment(told))

            def heard() -> bool:
                return bool(agent.call("queued", handle=connection.handle)["in"] == len(told))

            wait_until(heard, Deadline.after(PATIENCE_S), "the guest hearing the partner", NotSeen)
            agent.call("send_each", cpus=[1], handle=connection.handle, payloads=[b64(answer)])
            [emitted] = seen.wait(1, kind="FrameEmitted", where=lambda event: connection.is_data(event.frame))
            [delivered] = seen.all("FrameDelivered", lambda event: event.length == len(segment))
        agent.call("close", handle=connection.handle)
    [skb] = [record for record in trace.records if record["len"] == len(emitted.frame)]
    return delivered.queue, skb["qm"], emitted.queue, skb["hash"] * queues >> 32
