# SPDX-License-Identifier: BSD-3-Clause
"""Launch times: the qdisc keeps them, since this card cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks.chains import PATIENCE_S, alone
from harness.checks.sending import CPU, QUEUE, b64, udp_socket
from harness.claims import claim
from harness.deadline import Deadline
from harness.dissect import dissect
from harness.traffic import FILLER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.evidence import Evidence
    from harness.guest.ringbuffer import Record
    from harness.lab import Bound

START = "net:net_dev_start_xmit"
EARLY_S = 2
"""The qdisc may send so long before the launch time, and drops what is late: a slow guest has that much time."""

AHEAD_US = (1_200_000, 300_000, 900_000, 600_000)
"""When each of four datagrams may leave at the earliest: another order than that in which they are sent."""

PORT, HEADERS = 4770, 42


@claim("EGR-25")
def test_launch_times_are_the_qdiscs(bound: Bound, evidence: Evidence) -> None:
    """Etf with offload is refused; without, four datagrams leave in the order of their times, none before its own.

    The check lasts as long as the times that it asks for.
    """
    netif = bound.netif
    alone(bound)
    netif.use_pfifo()
    where = ("qdisc", "replace", "dev", netif.name, "parent", f"1:{QUEUE + 1:x}", "etf", "clockid", "CLOCK_TAI")
    delta = ("delta", EARLY_S * 1_000_000_000)
    offload = netif.tool("tc", *map(str, (*where, *delta, "offload")), check=False)
    netif.tc(*where, *delta)
    handle = udp_socket(bound, port=PORT)
    payloads = [FILLER[at : at + 100 + at] for at in range(len(AHEAD_US))]
    timed = [(EARLY_S * 1_000_000 + ahead, b64(payload)) for ahead, payload in zip(AHEAD_US, payloads, strict=True)]
    with bound.guest.trace.session(START) as trace, bound.card.recording("FrameEmitted") as seen:
        due = bound.guest.agent.call("send_at", cpus=[CPU], handle=handle, payloads=timed)["due"]
        events = seen.wait(len(timed), Deadline.after(PATIENCE_S), where=lambda event: event.queue == QUEUE)
        count = len(payloads)
        trace.read_until(lambda: len(mine(trace.records)) == count, "the guest saying so")
    left = {record["len"] - HEADERS - 100: record.t for record in mine(trace.records)}
    early = {number: due[number] - EARLY_S * 1_000_000_000 - t for number, t in left.items()}
    order = [payloads.index(dissect(event.frame).payload) for event in events]
    evidence.note(
        guest={"tc": (offload.rc, offload.err.strip()), "before its time (ns)": early}, device={"order": order}
    )
    assert offload.rc != 0
    assert "not supported" in offload.err or "failed to setup ETF" in offload.err
    assert order == sorted(range(count), key=lambda number: AHEAD_US[number]) == list(left)
    assert all(ns <= 0 for ns in early.values())


def mine(records: Sequence[Record]) -> list[Record]:
    """Return the records of the queue under test."""
    return [record for record in records if record["queue_mapping"] == QUEUE]
