# SPDX-License-Identifier: BSD-3-Clause
"""What a socket may have below it: charged until the card reports, and bounded for TCP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks.chains import PATIENCE_S, alone, send
from harness.checks.connections import answer_handshake, connect, patient
from harness.checks.sending import QUEUE, Packet, fetched, packets, udp_socket, undisturbed, wait_idle
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.dissect import dissect
from harness.errors import NotSeen
from harness.traffic import FILLER

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Recording

PORT = 4740
TCP_HEADERS = 54
CALLS = ("tcp_wfree", "tcp_write_xmit", "igb_xmit_frame")
STREAM, LIMIT, LARGEST_SKB = FILLER[:50_000], 20_000, 5 * 1460


def wait_taken(bound: Bound) -> None:
    """Wait until the card has sent all that was handed over on the queue. Raises NotSeen."""

    def taken() -> bool:
        ring = bound.card.ring("tx", QUEUE)
        return bool(ring["head"] == ring["tail"])

    wait_until(taken, Deadline.after(PATIENCE_S), f"the card sending all of tx-{QUEUE}", NotSeen)


def payload_of(packet: Packet) -> int:
    """Return the bytes of the stream in a packet as it lay in the ring; PAYLEN of a large one has no headers."""
    first = packet.data[0]
    return first["paylen"] if first["tse"] else packet.length - TCP_HEADERS


def stream(seen: Recording) -> bytes:
    """Return what the frames on the queue carry, one behind the other."""
    return b"".join(dissect(e.frame).payload for e in seen.all("FrameEmitted", lambda event: event.queue == QUEUE))


@claim("EGR-23")
def test_tcp_limits_what_is_below_it(bound: Bound, evidence: Evidence) -> None:
    """50000 bytes in skbs of five segments, nothing acknowledged, and 20000 at most below TCP.

    With completions on their way the stream leaves as a whole, so that no window holds it. With completions withheld
    it stops: the first two skbs may always go, a later one only while not more than the limit is below.
    """
    undisturbed(bound)
    alone(bound)
    patient(bound, "initcwnd", 100)
    smaller_skbs(bound)
    bound.guest.proc.set_sysctl("net.ipv4.tcp_limit_output_bytes", LIMIT)
    free, _ = below(bound, withheld=False)
    held, resumed = below(bound, withheld=True)
    evidence.note(guest={"calls after release": resumed[:6]}, device={"skbs": free, "while withheld": held})
    assert sum(free) == len(STREAM)
    assert len(held) > 1
    assert sum(held) < len(STREAM)
    assert len(held) == 2 or sum(held[:-1]) <= LIMIT
    assert max(free + held) <= LARGEST_SKB
    assert resumed.index("tcp_wfree") < resumed.index("tcp_write_xmit") < resumed.index("igb_xmit_frame")


def smaller_skbs(bound: Bound) -> None:
    """Let no skb of TCP hold more than five segments, until the check is over."""
    netif = bound.netif
    largest = netif.details()["gso_max_size"]
    bound.guest.undo.remember("gso", lambda: netif.ip("link", "set", "dev", netif.name, "gso_max_size", largest))
    netif.ip("link", "set", "dev", netif.name, "gso_max_size", LARGEST_SKB + 500)


def below(bound: Bound, *, withheld: bool) -> tuple[list[int], list[str]]:
    """Write the stream, with completions ``withheld`` or not, and release them when nothing moves any more.

    Return the bytes of each skb that came to the card until then, and TCP's calls after that.
    """
    with bound.peer.answering(answer_handshake):
        connection = connect(bound)
        connection.tell(b"!")
        wait_idle(bound, QUEUE)
        if withheld:
            bound.card.withhold_completions(QUEUE)
        with (
            bound.guest.trace.session(functions=CALLS) as trace,
            bound.card.recording("TxDescriptor", "FrameEmitted") as seen,
        ):
            send(bound, connection.handle, [STREAM])
            if withheld:
                wait_taken(bound)
                trace.read()
                assert "tcp_wfree" not in trace.functions()
                held = [payload_of(packet) for packet in packets(fetched(seen, QUEUE))]
                trace.records.clear()
                bound.card.release_completions(QUEUE)
            whole = "the whole stream leaving"
            wait_until(lambda: len(stream(seen)) >= len(STREAM), Deadline.after(PATIENCE_S), whole, NotSeen)
            assert stream(seen) == STREAM
            wait_idle(bound, QUEUE)
            if not withheld:
                held = [payload_of(packet) for packet in packets(fetched(seen, QUEUE))]
        bound.guest.agent.call("close", handle=connection.handle)
    return held, trace.functions()


@claim("EGR-24")
def test_send_buffer_is_charged_until_completion(bound: Bound, evidence: Evidence) -> None:
    """40 datagrams of 1000 bytes: all are charged until 15 are reported, then 25, then none."""
    count, first, size = 40, 15, 1000
    undisturbed(bound)
    handle = udp_socket(bound, port=PORT)
    alone(bound)

    def charged() -> int:
        return int(bound.guest.agent.call("queued", handle=handle)["out"])

    def wait_charge(amount: int) -> None:
        what = f"{amount} bytes being charged"
        wait_until(lambda: charged() == amount, Deadline.after(PATIENCE_S), what, NotSeen)

    before = charged()
    bound.card.withhold_completions(QUEUE)
    with bound.card.recording("FrameEmitted") as seen:
        send(bound, handle, [FILLER[at : at + size] for at in range(count)])
        sent = seen.wait(count, where=lambda event: event.queue == QUEUE)
    withheld = charged()
    each = withheld // count
    assert before == 0
    assert withheld == each * count
    assert each > size
    told = []
    for release, left in ((first, count - first), (None, 0)):
        bound.card.release_completions(QUEUE, release)
        wait_charge(left * each)
        told.append(charged())
    evidence.note(
        guest={"SIOCOUTQ": [before, withheld, *told]}, device={"frames": len(sent), "released": [first, "all"]}
    )
    assert told == [each * (count - first), 0]
