# SPDX-License-Identifier: BSD-3-Clause
"""GRO on a connection that a process reads: what is merged or not is the stream that was sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness import frames
from harness.checks.arrivals import poll_on
from harness.checks.merging import HELD, MERGED, NORMAL, QUEUE, Merging, merging, skb_length
from harness.checks.segments import READ_S, connect, crc_of, told
from harness.claims import claim
from harness.dissect import dissect
from harness.frames import Checksum

if TYPE_CHECKING:
    from harness.checks.merging import Segment
    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Recording

SIZE = 200
CPU = 2
SOFTWARE_SUM = "__skb_gro_checksum_complete"
BAD_SUM = "tcp:tcp_bad_csum"
UNNECESSARY, NONE = 1, 0
"""ip_summed: CHECKSUM_UNNECESSARY and CHECKSUM_NONE."""


def places(seen: Recording, begin: int) -> list[int]:
    """Return the places in the stream of the segments that arrived at the card, in order."""
    return [dissect(event.frame).tcp_sequence - begin for event in seen.all("FrameArrived")]


@claim("GRO-02")
def test_a_gap_or_a_swap_ends_the_merge(bound: Bound, evidence: Evidence) -> None:
    """Segments 0, 1, 3, 2, then as many in order; the process reads eight segments in the order of the stream."""
    connection = connect(bound)
    reading = connection.start(8 * SIZE)
    with merging(bound) as ring:
        sent = connection.train(*[SIZE] * 4)
        swapped = [sent[0], sent[1], sent[3], sent[2]]
        with bound.card.recording("FrameArrived") as seen:
            split = ring.poll(swapped)
        arrived = places(seen, sent[0].begin)
        straight = connection.train(*[SIZE] * 4, at=4 * SIZE)
        whole = ring.poll(straight)
    answer = told(reading.result(READ_S + 5))
    evidence.note(what="0, 1, 3, 2", guest={**split.told(), **answer}, device={"places": arrived})
    evidence.note(what="0, 1, 2, 3", guest=whole.told(), device=whole.messages)
    assert split.returns == [HELD, MERGED, HELD, HELD]
    assert split.lengths == [skb_length(sent[:2]), skb_length([sent[3]]), skb_length([sent[2]])]
    assert arrived == [0, SIZE, 3 * SIZE, 2 * SIZE]
    assert (whole.returns, whole.lengths) == ([HELD, MERGED, MERGED, MERGED], [skb_length(straight)])
    assert (len(split.written), split.messages, whole.messages) == (4, 1, 1)
    assert answer == crc_of(8 * SIZE)


@claim("GRO-08")
def test_only_segments_whose_checksum_is_known_good_are_merged(bound: Bound, evidence: Evidence) -> None:
    """Four segments called good, four without a verdict; then three of which the second is bad, and that one again."""
    connection = connect(bound)
    reading = connection.start(11 * SIZE)
    with merging(bound, BAD_SUM, functions=[SOFTWARE_SUM]) as ring:
        for name, verdict, summed in (("good", None, UNNECESSARY), ("no verdict", 0, NONE)):
            sent = connection.train(*[SIZE] * 4, at=0 if verdict is None else 4 * SIZE)
            bound.card.fault("force_checksum", flags=verdict)
            found = ring.poll(sent)
            bound.card.fault("force_checksum")
            sums = len([r for r in found.records if r.fields.get("function") == SOFTWARE_SUM])
            verdicts = [(slot["l4cs"], slot["l4e"]) for slot in found.written]
            evidence.note(what=name, guest={**found.told(), "sums": sums, "ip_summed": found.summed}, device=verdicts)
            assert verdicts == [(1, 0) if verdict is None else (0, 0)] * 4
            assert found.summed == [summed] * 4
            assert found.returns == [HELD, MERGED, MERGED, MERGED]
            assert found.lengths == [skb_length(sent)]
            assert sums == (0 if verdict is None else 4)
        judge_bad(bound, ring, connection.train(*[SIZE] * 3, at=8 * SIZE), evidence)
    answer = told(reading.result(READ_S + 5))
    evidence.note(what="the stream", guest=answer, device="11 segments")
    assert answer == crc_of(11 * SIZE)


def judge_bad(bound: Bound, ring: Merging, good: list[Segment], evidence: Evidence) -> None:
    """Spoil the second of three segments, see it dropped alone, and send it again."""
    spoilt = replace(good[1], tcp={**good[1].tcp, "checksum": Checksum.WRONG})
    before = bound.guest.proc.snmp()["TcpInCsumErrors"]
    found = ring.poll([good[0], spoilt, good[2]])
    errors = bound.guest.proc.snmp()["TcpInCsumErrors"] - before
    complaints = len([record for record in found.records if record.name == BAD_SUM])
    verdicts = [(slot["l4cs"], slot["l4e"]) for slot in found.written]
    guest = {**found.told(), "tcp_bad_csum": complaints, "TcpInCsumErrors": errors, "ip_summed": found.summed}
    evidence.note(what="the second is bad", guest=guest, device=verdicts)
    assert found.returns == [HELD, NORMAL, HELD]
    assert found.lengths == [skb_length([each]) for each in (spoilt, good[0], good[2])]
    assert (complaints, errors) == (1, 1)
    assert found.summed == [UNNECESSARY, NONE, UNNECESSARY]
    assert verdicts == [(1, 0), (1, 1), (1, 0)]
    again = ring.poll([good[1]])
    assert (again.returns, again.lengths) == ([HELD], [skb_length([good[1]])])


@claim("GRO-15")
def test_driver_stack_and_tcp_count_in_their_own_units(bound: Bound, evidence: Evidence) -> None:
    """64 segments, of which every 16th carries PSH and so ends an skb; then the same with GRO off."""
    connection = connect(bound)
    reading = connection.start(128 * SIZE)
    with merging(bound) as ring:
        poll_on(bound, QUEUE, CPU)
        for on in (True, False):
            if not on:
                bound.netif.settings.set_features(gro=False)
            sent = connection.train(*[SIZE] * 64, at=0 if on else 64 * SIZE)
            ends = {"flags": frames.ACK | frames.PSH}
            sent = [replace(s, tcp={**s.tcp, **ends}) if n % 16 == 15 else s for n, s in enumerate(sent)]
            ring.trace.read()
            before = counted(bound)
            found = ring.poll(sent)
            growth = {name: now - before[name] for name, now in counted(bound).items()}
            evidence.note(what=f"GRO {'on' if on else 'off'}", guest=growth, device=len(found.written))
            skbs = 4 if on else 64
            assert len(found.lengths) == skbs
            assert growth == {"rx_queue_packets": 64, "softnet": skbs, "TcpInSegs": skbs, "IpExtInNoECTPkts": 64}
            assert (len(found.written), found.messages) == (64, 1)
    assert told(reading.result(READ_S + 5)) == crc_of(128 * SIZE)


def counted(bound: Bound) -> dict[str, int]:
    """Return what driver, stack, TCP and IP have counted."""
    snmp = bound.guest.proc.snmp()
    return {
        "rx_queue_packets": bound.netif.queue_packets()[QUEUE],
        "softnet": bound.guest.proc.softnet()[CPU].processed,
        "TcpInSegs": snmp["TcpInSegs"],
        "IpExtInNoECTPkts": snmp["IpExtInNoECTPkts"],
    }
