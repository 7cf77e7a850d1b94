# SPDX-License-Identifier: BSD-3-Clause
"""Completions that do not come: hang reports while interrupts live, watchdog and reset when they do not."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.checks.bursts import has_ticks, transmit_vector
from harness.checks.sending import QUEUE, pinned_sender, wait_idle, without_bql
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.errors import NotSeen

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.guest.proc import LogRecord
    from harness.lab import Bound

HANG = "Detected Tx Unit Hang"
WATCHDOG = "NETDEV WATCHDOG"
HANG_FIELD = re.compile(r"(Tx Queue|TDH|TDT|next_to_use)\s+<([0-9a-f]+)>")
TIMED_OUT = re.compile(r"transmit queue (\d+) timed out (\d+) ms")
OTHER_QUEUE, OTHER_CPU = 2, 3
CTRL_RST = 1 << 26
WATCHED = ("RegisterWritten", "DeviceReset", "LinkChanged", "TxDescriptor", "TxWriteBack", "DmaWrite")
LIMIT = 3000
"""Bytes in flight at which BQL stops the queue: with 1000 a frame, long before the ring is full."""


def said(bound: Bound, since: int, what: str) -> list[LogRecord]:
    """Return the kernel log's records after ``since`` with the text ``what``."""
    return [record for record in bound.guest.proc.log(since) if what in record.text]


def timeouts(bound: Bound) -> list[int]:
    """Return each transmit queue's count of watchdog timeouts."""
    _, queues = bound.netif.queue_count
    return [int(bound.netif.read(f"queues/tx-{queue}/tx_timeout")) for queue in range(queues)]


@claim("TXC-09")
def test_withheld_completions_are_reported_every_2_s_without_reset(bound: Bound, evidence: Evidence) -> None:
    """Three reports take two intervals of the driver's watchdog. 40 frames are more than the byte limit allows.

    TDH and TDT in the report must be the card's, at a place in the ring that is not 0 and differs from next_to_clean.
    """
    bound.netif.use_pfifo()
    bound.netif.set_bql(QUEUE, limit_max=LIMIT)
    sender = pinned_sender(bound)
    sender.send(33)
    wait_idle(bound, QUEUE)
    assert bound.netif.bql(QUEUE).limit <= LIMIT
    since = bound.guest.proc.log()[-1].sequence
    before = timeouts(bound)
    with (
        bound.console.expecting(HANG),
        bound.card.recording("RegisterWritten", "DeviceReset") as seen,
    ):
        bound.card.withhold_completions(QUEUE)
        sender.send(40, 1000, first=33)
        reports = wait_until(
            lambda: found if len(found := said(bound, since, HANG)) >= 3 else None,
            Deadline.after(14),
            "three hang reports",
            NotSeen,
        )
        registers = [bound.card.register(name, QUEUE) for name in ("TDH", "TDT")]
        eics = seen.all("RegisterWritten", lambda event: event.register == "EICS")
        resets = seen.all(where=lambda e: e.kind == "DeviceReset" or (e.register == "CTRL" and e.value & CTRL_RST))
        after = timeouts(bound)
        bound.card.release_completions(QUEUE)
        frames = bound.peer.expect(73, sender.is_mine)
        wait_idle(bound, QUEUE)
    told = [{name: int(value, 16) for name, value in HANG_FIELD.findall(report.text)} for report in reports]
    gaps = [(b.usec - a.usec) / 1e6 for a, b in pairwise(reports)]
    evidence.note(
        guest={"reports": told, "seconds between": gaps, "tx_timeout": after},
        device={"TDH, TDT": registers, "EICS writes": len(eics), "resets": len(resets)},
    )
    assert {tuple(report[name] for name in ("Tx Queue", "TDH", "TDT")) for report in told} == {(QUEUE, *registers)}
    assert registers[0] == registers[1] != 0
    assert all(1.5 < gap < 3.5 for gap in gaps)
    assert len(eics) >= len(reports)
    assert not resets
    assert not said(bound, since, WATCHDOG)
    assert before == after
    assert frames == sender.frames(33) + sender.frames(40, 1000, first=33)


@claim("TXC-11")
def test_silent_vector_ends_in_the_watchdog_and_a_reset(bound: Bound, evidence: Evidence) -> None:
    """Two queues lose completions and messages: see ``stall``."""
    stall(bound, evidence, silent=True)


@claim("TXC-17")
def test_withheld_completions_alone_end_in_the_watchdog_and_a_reset(bound: Bound, evidence: Evidence) -> None:
    """Two queues lose completions only: see ``stall``. Until the timeout nobody polled, so nobody complained."""
    stall(bound, evidence, silent=False)


def stall(bound: Bound, evidence: Evidence, *, silent: bool) -> None:
    """Stall two queues: one is stopped by BQL, the other has no byte limit and one frame sent.

    Only the stopped one may be reported. After CTRL.RST the card must know nothing of the withheld packets: whatever it
    writes back was fetched after the reset. The ring stands past slot 100 before: old slots and new ones differ.
    Frames are sent again once the card has a link and then the guest: igb's own watchdog, due in the same tick as the
    stack's, may turn the carrier on while igb_down runs (see ``links``), and those frames meet a card without a link.
    """
    bound.netif.use_pfifo()
    bound.netif.set_bql(QUEUE, limit_max=LIMIT)
    without_bql(bound, OTHER_QUEUE, OTHER_CPU)
    sender, other = pinned_sender(bound), pinned_sender(bound, OTHER_QUEUE, OTHER_CPU)
    sender.send(120, 60)
    bound.peer.expect(120, sender.is_mine)
    wait_idle(bound, QUEUE)
    assert bound.netif.bql(QUEUE).limit <= LIMIT
    since = bound.guest.proc.log()[-1].sequence
    before = timeouts(bound)
    with (
        bound.console.expecting(WATCHDOG, "Reset adapter", HANG),
        bound.guest.trace.session("net:net_dev_xmit_timeout") as trace,
        bound.card.recording(*WATCHED) as seen,
    ):
        for queue in (QUEUE, OTHER_QUEUE):
            bound.card.withhold_completions(queue)
            if silent:
                bound.card.hold_interrupts(transmit_vector(bound, queue))
        other.send(1, 60)
        sender.send(20, 1000, first=200)
        [reset] = seen.wait(1, Deadline.after(12), kind="DeviceReset")
        bound.card.heal()
        seen.wait(1, kind="LinkChanged", where=lambda event: event.number > reset.number and event.speed_mbps > 0)
        bound.netif.wait_carrier(seconds=10)
        sender.send(10, 300, first=300)
        later = sender.frames(10, 300, first=300)
        bound.peer.expect(10, lambda frame: frame in later)
        wait_idle(bound, QUEUE)
        wait_idle(bound, OTHER_QUEUE)
        timed_out = [record["queue_index"] for record in trace.read()]
        reported = [record.usec for record in said(bound, since, HANG)]
        freed = bound.guest.agent.call("queued", handle=sender.handle)["out"]
    reports = [TIMED_OUT.search(record.text) for record in said(bound, since, WATCHDOG)]
    named = [(int(report[1]), int(report[2])) for report in reports if report]
    grown = [now - then for now, then in zip(timeouts(bound), before, strict=True)]
    earlier = [event for event in seen.all("RegisterWritten") if event.number < reset.number]
    again = {event.register for event in seen.all("RegisterWritten") if event.number > reset.number}
    fresh: set[tuple[int, int]] = set()
    stale = []
    for event in seen.all():
        if event.number > reset.number and event.kind == "TxDescriptor":
            fresh.add((event.queue, event.index))
        elif event.number > reset.number and event.kind == "TxWriteBack" and (event.queue, event.index) not in fresh:
            stale.append((event.queue, event.index))
    evidence.note(
        guest={"timed out (queue, ms)": named, "events": timed_out, "tx_timeout grew": grown, "not freed": freed},
        device={"reset": reset.how, "stale write-backs": stale, "registers set up again": len(again)},
    )
    assert [queue for queue, _ in named] == timed_out == [QUEUE]
    if not has_ticks(bound):
        assert all(said(bound, since, WATCHDOG)[0].usec <= usec for usec in reported)
    assert 5000 <= named[0][1] <= 6500
    assert grown == [int(queue == QUEUE) for queue in range(len(grown))]
    assert reset.how == "software"
    raised = [event for event in earlier if event.register == "EICS"]
    assert len(raised) == 1 if bound.guest.kernel_is(">=7") else raised
    assert {f"{name}[{queue}]" for name in ("TDBAL", "TDLEN", "TXDCTL") for queue in range(len(grown))} <= again
    assert not stale
    assert freed == 0
