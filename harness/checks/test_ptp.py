# SPDX-License-Identifier: BSD-3-Clause
"""The card's clock behind /dev/ptp, and the stamps that it gives to frames."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from device_model.igb.spec.descriptors import RxWriteback, TxContext, TxData
from device_model.igb.spec.timesync import TIMINCA, TSYNCRXCTL
from harness.checks import ptp
from harness.checks.bursts import receive_vector
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.lab import GUEST_IPV4, PEER_IPV4

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Seen

NOMINAL = 16 << ptp.NS_SHIFT
"""Units of 2^-19 ns in 16 ns: what Linux igb_ptp_reset writes as TIMINCA.incvalue."""

FASTER_PPB = 125_000_000
"""An eighth: no measurement of a loaded guest mistakes it for nothing."""

RATE_SLACK = 0.05
AWHILE_NS = 500_000_000
STEP_NS = 1234_567_890_123
HANG_S, TIMEOUT_S = 40, 90
"""What the driver's 5 s and 15 s (igb_ptp_rx_hang, IGB_PTP_TX_TIMEOUT) may take in a slow guest."""


@claim("ETH-16")
def test_the_clock_is_the_cards_and_can_be_steered(bound: Bound, evidence: Evidence) -> None:
    """Every time that the guest is told is SYSTIM as the card gave it, to the nanosecond.

    The clock runs an eighth too fast for a while, and is stepped by 1234.567890123 s, forward and back.
    """
    told = bound.netif.ethtool("-T").out
    path, call = ptp.clock_path(bound), bound.guest.agent.call
    with bound.card.recording("RegisterRead", "RegisterWritten") as seen:
        start, later = ptp.read_clock(bound, seen, path), ptp.read_clock(bound, seen, path)
        bound.guest.undo.remember(("clock", path), lambda: call("ptp_speed", path=path, ppb=0))
        call("ptp_speed", path=path, ppb=FASTER_PPB)
        fast = ptp.read_clock(bound, seen, path)
        wait_until(lambda: bound.card.now_ns() - fast.card_ns > AWHILE_NS, Deadline.after(10), "the clock going on")
        faster = ptp.read_clock(bound, seen, path)
        call("ptp_step", path=path, ns=STEP_NS)
        stepped = ptp.read_clock(bound, seen, path)
        call("ptp_step", path=path, ns=-STEP_NS)
        back = ptp.read_clock(bound, seen, path)
        beside = call("ptp_beside_system", path=path, samples=3)
    increments = [event.value for event in seen.all("RegisterWritten", lambda event: event.register == "TIMINCA")]
    rate = (faster.guest_ns - fast.guest_ns) / (faster.card_ns - fast.card_ns)
    errors = {
        "at rest": later.guest_ns - start.guest_time(later.systim),
        "fast": faster.guest_ns - fast.guest_time(faster.systim),
        "stepped": stepped.guest_ns - STEP_NS - faster.guest_time(stepped.systim),
        "back": back.guest_ns - faster.guest_time(back.systim),
    }
    evidence.note(
        guest={"error in ns": errors, "rate": rate, "PTP_SYS_OFFSET": beside},
        device={"TIMINCA": [f"{value:08x}" for value in increments], "SYSTIM": [start.systim, faster.systim]},
    )
    for word in ("hardware-transmit", "hardware-receive", "ptpv1-l4-sync", "ptpv2-event"):
        assert re.search(rf"^\s+{word}\b", told, re.MULTILINE), told
    assert increments == [TIMINCA.incperiod.put(NOMINAL + NOMINAL // 8, 1)]
    assert all(abs(error) <= 1 for error in errors.values()), errors
    assert abs(rate - 1.125) < RATE_SLACK
    assert beside[1] < beside[3] < beside[5], "three readings, each later than the one before"
    assert all(one < other for one, other in zip(beside[::2], beside[2::2], strict=False))


@claim("ETH-17")
def test_ptp_event_frames_carry_the_cards_time(bound: Bound, evidence: Evidence) -> None:
    """Of eight frames the five event messages of version 2 are stamped, over Ethernet and over UDP, in any order.

    Two that arrive behind one message find one latch: the first has it. One that the driver throws away for its
    receive error leaves the latch full; the driver's watchdog frees it after 5 s, and the next frame has a stamp.
    """
    path, agent = ptp.clock_path(bound), bound.guest.agent
    request = ptp.stamping(bound, receive=ptp.FILTER_PTP_V2_EVENT)
    layer2 = ptp.stamped_socket(bound, ptp.RX_HARDWARE, kind="packet", protocol=ptp.ETHERTYPE_PTP)
    udp = ptp.stamped_socket(bound, ptp.RX_HARDWARE, kind="udp")
    agent.call("bind", handle=udp, address=[GUEST_IPV4, ptp.EVENT_PORT])
    sent = [
        (ptp.over_ethernet(bound, ptp.SYNC, 0x101), layer2, True),
        (ptp.over_udp(bound, ptp.DELAY_REQUEST, 0x202), udp, True),
        (ptp.over_ethernet(bound, ptp.FOLLOW_UP, 0x303), layer2, False),
        (ptp.over_ethernet(bound, ptp.PDELAY_RESPONSE, 0x404), layer2, True),
        (ptp.over_ethernet(bound, ptp.SYNC, 0x505, version=1), layer2, False),
        (ptp.over_udp(bound, ptp.PDELAY_REQUEST, 0x606), udp, True),
        (ptp.over_udp(bound, ptp.FOLLOW_UP, 0x707), udp, False),
        (ptp.over_udp(bound, ptp.SYNC, 0x808), udp, True),
    ]
    got: list[dict[str, Any]] = []
    with bound.card.recording("RegisterRead", "FrameArrived", "RxWriteBack") as seen:
        reading = ptp.read_clock(bound, seen, path)
        for one, handle, _ in sent:
            bound.peer.send(one)
            got += agent.call("receive_stamped", handle=handle, count=1, seconds=5.0)
        latched = [systim for systim, _ in ptp.pairs(seen, "RXSTMPL", "RXSTMPH")]
        ways = zip(seen.all("FrameArrived"), seen.all("RxWriteBack"), sent, strict=True)
        stamped_ways = [(arrived, written) for arrived, written, (_, _, stamped) in ways if stamped]
        both = two_behind_one_message(bound, layer2)
        marked = [bool(RxWriteback.decode(event.raw)["ts"]) for event in seen.all("RxWriteBack")]
    stamps = [answer["hardware"] for answer in got]
    expected = iter([reading.guest_time(systim) for systim in latched])
    wanted = [next(expected, -1) if stamped else 0 for _, _, stamped in sent]
    evidence.note(guest={"stamps": stamps, "two at once": both}, device={"RXSTMP": latched, "marked": marked})
    assert request[2] == ptp.FILTER_PTP_V2_EVENT
    assert [ptp.sequence_of(answer) for answer in got] == [0x101 * number for number in range(1, 9)]
    assert len(latched) == 5
    for systim, (arrived, written) in zip(latched, stamped_ways, strict=True):
        assert reading.lies_between(systim, arrived, written), (reading.card_time(systim), arrived, written)
    assert all(abs(stamp - want) <= 1 for stamp, want in zip(stamps, wanted, strict=True)), (stamps, wanted)
    assert marked == [stamped for _, _, stamped in sent] + [True, False]
    assert [stamp > 0 for stamp in both] == [True, False]
    frees_a_stamp_that_nobody_reads(bound, evidence, layer2)


def two_behind_one_message(bound: Bound, handle: int) -> list[int]:
    """Let two event frames into the ring before the driver looks; return their stamps."""
    vector = receive_vector(bound, 0)
    bound.card.hold_interrupts(vector)
    with bound.card.recording("FrameDelivered") as seen:
        bound.peer.send(*(ptp.over_ethernet(bound, ptp.SYNC, number) for number in (1, 2)))
        delivered = seen.wait(2, kind="FrameDelivered")
    bound.card.release_interrupts(vector)
    assert [event.queue for event in delivered] == [0, 0]
    got = bound.guest.agent.call("receive_stamped", handle=handle, count=2, seconds=5.0)
    return [answer["hardware"] for answer in got]


def frees_a_stamp_that_nobody_reads(bound: Bound, evidence: Evidence, handle: int) -> None:
    """Fill the latch by a frame that the driver drops unread, and wait until it is free again."""
    before = bound.netif.statistics()["rx_hwtstamp_cleared"]
    bound.card.fault("receive_errors", bits=RxWriteback.rxe.mask)
    bound.peer.send(ptp.over_ethernet(bound, ptp.SYNC, 3))

    def full() -> bool:
        return bool(bound.card.register("TSYNCRXCTL") & TSYNCRXCTL.valid.mask)

    wait_until(full, Deadline.after(5), "the latch being full")
    bound.card.fault("receive_errors", bits=0)
    cleared = bound.netif.wait_statistic("rx_hwtstamp_cleared", before + 1, HANG_S) - before
    bound.peer.send(ptp.over_ethernet(bound, ptp.SYNC, 4))
    [answer] = bound.guest.agent.call("receive_stamped", handle=handle, count=1, seconds=5.0)
    evidence.note(guest={"rx_hwtstamp_cleared": cleared, "next stamp": answer["hardware"]}, device={"latch": full()})
    assert (cleared, ptp.sequence_of(answer), answer["hardware"] > 0) == (1, 4, True)


@claim("TX-16")
def test_sent_packets_come_back_with_the_cards_time(bound: Bound, evidence: Evidence) -> None:
    """Three datagrams come back with the time that the card latched, each before the next is sent.

    Then the card's latch stays empty: the first of two more waits, the second is skipped at once, and after 15 s the
    first is given up. A last one is stamped again.
    """
    path, agent = ptp.clock_path(bound), bound.guest.agent
    ptp.stamping(bound, send=True)
    handle = ptp.stamped_socket(bound, ptp.TX_HARDWARE, kind="udp")
    agent.call("connect", handle=handle, address=[PEER_IPV4, ptp.EVENT_PORT])
    before = bound.netif.statistics()
    got: list[dict[str, Any]] = []

    def send(sequence: int) -> None:
        payload = base64.b64encode(ptp.message(ptp.SYNC, sequence)).decode("ascii")
        agent.call("send", handle=handle, payloads=[payload])

    def returned() -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = agent.call("receive_stamped", handle=handle, count=1, seconds=5.0, errors=True)
        return answers

    def grown(name: str) -> int:
        return bound.netif.statistics()[name] - before[name]

    with bound.card.recording("RegisterRead", "TxDescriptor", "FrameEmitted") as seen:
        reading = ptp.read_clock(bound, seen, path)
        for sequence in (0x111, 0x222, 0x333):
            send(sequence)
            got += returned()
        latched = [systim for systim, _ in ptp.pairs(seen, "TXSTMPL", "TXSTMPH")]
        fetched = seen.all("TxDescriptor", is_last)
        asked = [bool(TxData.decode(event.raw)["mac_ts"]) for event in fetched]
        emitted = seen.all("FrameEmitted")
    bound.card.fault("no_tx_timestamp", on=True)
    with bound.card.recording("FrameEmitted") as seen:
        send(0x444)
        seen.wait(1, kind="FrameEmitted", where=lambda event: ptp.SOURCE in event.frame)
    send(0x555)
    bound.netif.wait_statistic("tx_hwtstamp_skipped", before["tx_hwtstamp_skipped"] + 1)
    early = grown("tx_hwtstamp_timeouts")
    bound.netif.wait_statistic("tx_hwtstamp_timeouts", before["tx_hwtstamp_timeouts"] + 1, TIMEOUT_S)
    bound.card.fault("no_tx_timestamp", on=False)
    send(0x666)
    [last] = returned()
    errors = [answer["hardware"] - reading.guest_time(systim) for answer, systim in zip(got, latched, strict=True)]
    counts = {name: grown(name) for name in ("tx_hwtstamp_skipped", "tx_hwtstamp_timeouts")}
    evidence.note(
        guest={"stamps": [answer["hardware"] for answer in got], **counts, "last": last["hardware"]},
        device={"TXSTMP": latched, "descriptors that asked": asked, "error in ns": errors},
    )
    assert [ptp.sequence_of(answer) for answer in (*got, last)] == [0x111, 0x222, 0x333, 0x666]
    assert asked == [True, True, True]
    for systim, start, end in zip(latched, fetched, emitted, strict=True):
        assert reading.lies_between(systim, start, end), (reading.card_time(systim), start, end)
    assert all(abs(error) <= 1 for error in errors), errors
    assert early == 0
    assert counts == {"tx_hwtstamp_skipped": 1, "tx_hwtstamp_timeouts": 1}
    assert last["hardware"] > got[-1]["hardware"]


def is_last(event: Seen) -> bool:
    """Tell whether a descriptor ends a packet."""
    fields = TxData.decode(event.raw)
    return bool(fields["dtyp"] != TxContext.DTYP and fields["eop"])
