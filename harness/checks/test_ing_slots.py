# SPDX-License-Identifier: BSD-3-Clause
"""Ingress: frames over several slots, with errors, with verdicts on checksums, and with no slot at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from device_model.igb.spec.descriptors import RxWriteback
from device_model.igb.spec.receive import SRRCTL
from harness.checks.arrivals import ENTRY, ETHERNET_HEADER, deliver, wait_taken
from harness.checks.bursts import PATIENCE_S, calm, fill, quiet, receive_vector, steer_to, unanswered
from harness.checks.sinks import UDP_HEADERS, got, sink, summaries
from harness.claims import claim
from harness.deadline import Deadline
from harness.frames import Checksum
from harness.traffic import frame, numbered

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Recording

QUEUE = 2
BUFFER = 3072
"""What igb gives a buffer when frames may exceed 1536 bytes (igb_set_rx_buffer_len)."""

ERRORS = ("ce", "se", "seq", "cxe", "rxe")
GOOD, BAD = 1, 0
"""ip_summed: CHECKSUM_UNNECESSARY and CHECKSUM_NONE."""


def slots(seen: Recording) -> list[dict[str, int]]:
    """Return the descriptors written back, decoded."""
    return [RxWriteback.decode(event.raw) for event in seen.all("RxWriteBack")]


@claim("ING-06")
def test_long_frames_span_slots_and_arrive_whole(bound: Bound, evidence: Evidence) -> None:
    """Sizes around one, two and three buffers of 3072 bytes, and 9014, the longest frame for an MTU of 9000."""
    bound.netif.set_mtu(9000)
    bound.netif.wait_carrier()
    steer_to(bound, QUEUE)
    lengths = [60, 1514, *(n * BUFFER + more for n in (1, 2) for more in (-1, 0, 1)), 8000, 9013, 9014]
    target = sink(bound)
    sent = target.frames([length - UDP_HEADERS for length in lengths])
    receiving = target.start(len(sent), PATIENCE_S)
    with bound.guest.trace.session(ENTRY) as trace, bound.card.recording("RxWriteBack") as seen:
        deliver(bound, sent, batch=8)
    answer = receiving.result(PATIENCE_S + 5)
    skbs = [(record["len"] + ETHERNET_HEADER, record["nr_frags"]) for record in trace.records]
    chains, chain = [], []
    for slot in slots(seen):
        chain.append(slot["length"])
        if slot["eop"]:
            chains.append(chain)
            chain = []
    registers = bound.card.registers("RLPML", f"SRRCTL[{QUEUE}]")
    evidence.note(guest={"length and fragments": skbs, "datagrams": len(answer["got"])}, device=chains)
    assert got(answer) == summaries(sent)
    assert chains == [[min(BUFFER, length - at) for at in range(0, length, BUFFER)] for length in lengths]
    assert not chain
    assert skbs == [(length, len(parts) - 1) for length, parts in zip(lengths, chains, strict=True)]
    assert registers["RLPML"] == 9728
    assert SRRCTL.bsizepacket.of(registers[f"SRRCTL[{QUEUE}]"]) * 1024 == BUFFER


@claim("ING-08")
@pytest.mark.parametrize("everything", [False, True])
def test_frames_with_errors_are_dropped_outside_the_budget(
    bound: Bound,
    evidence: Evidence,
    everything: bool,
) -> None:
    """Two frames with each of the five errors and five good ones in one poll; with rx-all all 15 go up."""
    if everything:
        bound.netif.settings.set_features(rx_all=True)
        bound.netif.wait_carrier()
    steer_to(bound, QUEUE)
    quiet(bound)
    frames = unanswered(bound, 15)
    before = bound.netif.queue_packets()
    with (
        bound.guest.trace.session("napi:napi_poll", ENTRY) as trace,
        bound.card.recording("RegisterWritten", "RxWriteBack") as seen,
    ):
        for at, name in enumerate(ERRORS):
            bound.card.fault("receive_errors", bits=getattr(RxWriteback, name).mask)
            fill(bound, seen, QUEUE, frames[2 * at : 2 * at + 2])
        bound.card.fault("receive_errors", bits=0)
        fill(bound, seen, QUEUE, frames[10:])
        bound.card.release_interrupts(receive_vector(bound, QUEUE))
        wait_taken(bound, 0)
        calm(bound)
    works = [r["work"] for r in trace.records if r.name == "napi:napi_poll" and r["dev_name"] == bound.netif.name]
    entered = sum(record.name == ENTRY for record in trace.records)
    growth = bound.netif.queue_packets() - before
    marked = [[name for name in ERRORS if slot[name]] for slot in slots(seen)]
    evidence.note(
        what="rx-all on" if everything else "rx-all off",
        guest={"work": works, "skbs": entered, "rx_queue_packets": growth[QUEUE]},
        device={"errors written": marked},
    )
    up = 15 if everything else 5
    assert marked == [[name] for name in ERRORS for _ in range(2)] + [[]] * 5
    assert [work for work in works if work] == [up]
    assert (entered, growth[QUEUE]) == (up, up)


@claim("ING-19")
@pytest.mark.parametrize("length", [60, 61, 300])
def test_driver_believes_the_card_about_checksums(bound: Bound, evidence: Evidence, length: int) -> None:
    """Good and bad sums, each with a true verdict, then a good one called bad; errors at 60 bytes are not counted."""
    steer_to(bound, QUEUE)
    quiet(bound)
    target = sink(bound)
    size = length - UDP_HEADERS
    good, maligned = target.frames([size, size])
    bad = frame(target.flow, numbered(target.flow.number, 2, size), checksum=Checksum.WRONG)
    called_bad = RxWriteback.udpcs.mask | RxWriteback.l4cs.mask | RxWriteback.l4e.mask
    rounds: list[tuple[str, bytes, int | None, int, int]] = [
        ("good, called good", good, None, GOOD, 0),
        ("bad, called bad", bad, None, BAD, 1),
        ("good, called bad", maligned, called_bad, BAD, 0),
    ]
    receiving = target.start(2, PATIENCE_S)
    for name, data, verdict, summed, refused in rounds:
        bound.card.fault("force_checksum", flags=verdict)
        before = counters(bound)
        with bound.guest.trace.session(ENTRY) as trace, bound.card.recording("RxWriteBack") as seen:
            deliver(bound, [data])
            calm(bound)
        bound.card.fault("force_checksum")
        growth = {key: value - before[key] for key, value in counters(bound).items()}
        [slot] = slots(seen)
        [skb] = trace.records
        evidence.note(
            what=f"{length} bytes, {name}",
            guest={"ip_summed": skb["ip_summed"], **growth},
            device={"l4cs": slot["l4cs"], "udpcs": slot["udpcs"], "l4e": slot["l4e"], "ipe": slot["ipe"]},
        )
        assert (slot["l4cs"], slot["udpcs"], slot["ipe"]) == (1, 1, 0)
        assert slot["l4e"] == (summed == BAD)
        assert skb["ip_summed"] == summed
        assert growth == {"csum_err": int(summed == BAD and length > 60), "UdpInCsumErrors": refused}
    assert got(receiving.result(PATIENCE_S + 5)) == summaries([good, maligned])


def counters(bound: Bound) -> dict[str, int]:
    """Return what driver and UDP count of bad checksums."""
    counted = bound.netif.per_queue("rx", "csum_err")[QUEUE]
    return {"csum_err": counted, "UdpInCsumErrors": bound.guest.proc.snmp()["UdpInCsumErrors"]}


@claim("ING-20")
def test_empty_ring_loses_frames_counts_them_and_recovers(bound: Bound, evidence: Evidence) -> None:
    """Without pause frames igb lets a queue drop: 50 frames more than the ring has room for, then 300 that all fit."""
    without_pause(bound)
    steer_to(bound, QUEUE)
    quiet(bound)
    room = bound.netif.settings.rings().rx - 1
    assert SRRCTL.drop_en.of(bound.card.register("SRRCTL", QUEUE))
    target = sink(bound)
    held = target.frames([100 + n % 7 for n in range(room + 50)])
    after = target.frames([200 + n % 7 for n in range(300)], first=len(held))
    before = losses(bound)
    receiving = target.start(room + len(after), 2 * PATIENCE_S)
    with bound.card.recording("RxWriteBack", "FrameDropped", "FrameArrived") as seen:
        bound.card.hold_interrupts(receive_vector(bound, QUEUE))
        bound.peer.send(*held)
        seen.wait(len(held), Deadline.after(PATIENCE_S), kind="FrameArrived")
        written = [event.index for event in seen.all("RxWriteBack")]
        dropped = [(event.queue, event.reason) for event in seen.all("FrameDropped")]
        bound.card.release_interrupts(receive_vector(bound, QUEUE))
        wait_taken(bound, 0)
        deliver(bound, after)
    found = got(receiving.result(2 * PATIENCE_S + 5))
    growth = {name: value - before[name] for name, value in losses(bound).items()}
    evidence.note(
        guest={"datagrams": len(found), **growth},
        device={
            "slots written while held": len(written),
            "dropped": len(dropped),
            "why": sorted(set(dropped)),
        },
    )
    assert (len(written), len(set(written)), len(dropped)) == (room, room, 50)
    assert set(dropped) == {(QUEUE, "no-descriptor")}
    assert found == summaries([*held[:room], *after])
    assert growth == {f"rx_queue_{QUEUE}_drops": 50, "rx_missed_errors": 0}


def losses(bound: Bound) -> dict[str, int]:
    """Return the counters of lost frames."""
    numbers = bound.netif.statistics()
    return {name: numbers[name] for name in (f"rx_queue_{QUEUE}_drops", "rx_missed_errors")}


def without_pause(bound: Bound) -> None:
    """Switch flow control off, until the check is over."""
    back: tuple[Any, ...] = ("-A", "autoneg", "on", "rx", "on", "tx", "on")
    bound.guest.undo.remember("pause", lambda: bound.netif.ethtool(*back, check=False))
    bound.netif.ethtool("-A", "autoneg", "off", "rx", "off", "tx", "off")
    bound.netif.wait_carrier()
