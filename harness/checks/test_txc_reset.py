# SPDX-License-Identifier: BSD-3-Clause
"""Packets that are pending when the card is reset, and when the link is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.checks.filling import own_queue, without_ipv6
from harness.checks.sending import QUEUE, pinned_sender, undisturbed, wait_idle
from harness.claims import claim
from harness.guest.probes import Probe

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Recording

RING = 256
FILL = 120
"""Where the ring stands before the reset, so that old slots and new ones differ."""

PENDING = 20
SLOWEST_MBPS = 1
TOUCHES = ("TxDescriptor", "TxWriteBack", "DmaRead", "DmaWrite", "DeviceReset", "FrameEmitted")
WATCHDOG_RETURN = Probe("f", "ig", "wdr", "igb_watchdog_task%return")
TICKS = 2
TIMEOUTS = "tx_timeout_count"


def touched_after(seen: Recording, reset: int) -> list[str]:
    """Return what the card did after the event numbered ``reset`` with packets that it had fetched before.

    A slot is new once its descriptor has been fetched since; a buffer, once it has been in such a descriptor.
    """
    old = {int.from_bytes(e.raw[:8], "little") for e in seen.all("TxDescriptor") if e.number < reset}
    slots: set[tuple[int, int]] = set()
    told = []
    for event in seen.all():
        if event.number <= reset:
            continue
        if event.kind == "TxDescriptor":
            slots.add((event.queue, event.index))
            old.discard(int.from_bytes(event.raw[:8], "little"))
        elif event.kind == "TxWriteBack" and (event.queue, event.index) not in slots:
            told.append(f"slot {event.index} reported")
        elif event.kind == "DmaRead" and event.purpose == "tx-payload" and event.iova in old:
            told.append(f"{event.size} bytes read at {event.iova:#x}")
    return told


@claim("TXC-12")
@pytest.mark.parametrize("pending", ["not reported", "not sent"])
def test_reset_empties_the_rings(bound: Bound, evidence: Evidence, pending: str) -> None:
    """Twenty packets wait in the card when `ethtool -r` comes: sent and not reported, or behind a link of 1 Mb/s.

    They are freed and never sent or reported later, also when the card is told to release what it withholds, and do
    not count as sent; ten others that follow are.
    """
    undisturbed(bound)
    without_ipv6(bound)
    bound.netif.use_pfifo()
    own_queue(bound)
    bound.netif.set_bql(QUEUE, limit_min=1_000_000)
    sender = pinned_sender(bound)
    sender.send(1, 60)
    wait_idle(bound, QUEUE)
    sender.send((FILL - bound.card.register("TDT", QUEUE)) % RING or RING, 60)
    wait_idle(bound, QUEUE)
    first = bound.card.register("TDT", QUEUE)
    bound.peer.drain()
    counted = bound.netif.statistics()[f"tx_queue_{QUEUE}_packets"]
    with bound.card.recording(*TOUCHES) as seen:
        if pending == "not reported":
            bound.card.withhold_completions(QUEUE)
            sender.send(PENDING, 300, first=FILL)
            seen.wait(PENDING, kind="FrameEmitted", where=lambda event: event.queue == QUEUE)
        else:
            bound.card.rate(SLOWEST_MBPS)
            sender.send(PENDING, 1514, first=FILL)
            seen.wait(1, kind="TxDescriptor", where=lambda event: event.queue == QUEUE)
        before = {"in flight": bound.netif.bql(QUEUE).inflight, "not freed": queued(bound, sender.handle)}
        bound.netif.ethtool("-r")
        [reset] = seen.wait(1, kind="DeviceReset")
        emptied = {"in flight": bound.netif.bql(QUEUE).inflight, "not freed": queued(bound, sender.handle)}
        released = bound.card.release_completions(QUEUE)
        bound.card.rate("auto")
        bound.netif.wait_carrier()
        bound.netif.details()
        sender.send(10, 200, first=500)
        later = sender.frames(10, 200, first=500)
        new = bound.peer.expect(10, lambda frame: frame in later)
        wait_idle(bound, QUEUE)
        late = [e for e in seen.all("FrameEmitted") if e.number > reset.number and e.queue == QUEUE]
        touched = touched_after(seen, reset.number)
        reported = len([e for e in seen.all("TxWriteBack") if e.number < reset.number and e.queue == QUEUE])
    grown = bound.netif.statistics()[f"tx_queue_{QUEUE}_packets"] - counted
    evidence.note(
        guest={"before": before, "after": emptied, "counted as sent": grown},
        device={
            "reset": reset.how,
            "first slot pending": first,
            "reported before": reported,
            "released after": released,
            "touched": touched,
        },
    )
    assert first == FILL
    assert before["in flight"] > 0 < before["not freed"]
    assert emptied == {"in flight": 0, "not freed": 0}
    assert (reset.how, released, touched) == ("software", 0, [])
    assert len(new) == len(late) == 10
    assert 10 <= grown <= 10 + reported


def queued(bound: Bound, handle: int) -> int:
    """Return how many bytes of a socket's packets have not been freed (SIOCOUTQ)."""
    return int(bound.guest.agent.call("queued", handle=handle)["out"])


@claim("TXC-14")
def test_lost_link_resets_only_with_packets_pending(bound: Bound, evidence: Evidence) -> None:
    """The cable is pulled with an empty ring, then with three packets unreported.

    The driver's watchdog task decides (igb_watchdog_task), so each case waits for two of its ends after the carrier
    has gone: the first is the one that saw the loss, the second would repeat the reset.
    """
    undisturbed(bound)
    without_ipv6(bound)
    sender = pinned_sender(bound)
    bound.netif.set_bql(QUEUE, limit_min=1_000_000)
    sender.send(1)
    wait_idle(bound, QUEUE)
    story = []
    with bound.console.expecting("Reset adapter"):
        for pending in (0, 3):
            since = bound.guest.proc.log()[-1].sequence
            before = bound.netif.statistics()[TIMEOUTS]
            with (
                bound.guest.trace.session(probes=(WATCHDOG_RETURN,)) as trace,
                bound.card.recording("DeviceReset", "FrameEmitted", "LinkChanged") as seen,
            ):
                if pending:
                    bound.card.withhold_completions(QUEUE)
                    sender.send(pending)
                    seen.wait(pending, kind="FrameEmitted", where=lambda event: event.queue == QUEUE)
                bound.card.link_down()
                bound.netif.wait_carrier(present=False)
                trace.read()
                seen_so_far = len(trace.records)
                trace.read_until(
                    lambda n=seen_so_far: len(trace.records) >= n + TICKS or None,  # type: ignore[misc]
                    "the driver's watchdog running",
                )
                grown = bound.netif.statistics()[TIMEOUTS] - before
                resets = [event.how for event in seen.all("DeviceReset")]
                said = [r.text for r in bound.guest.proc.log(since) if "Reset adapter" in r.text]
                bound.card.release_completions(QUEUE)
                bound.card.link_up()
                bound.netif.wait_carrier()
                bound.netif.details()
            story.append((grown, resets, len(said)))
        sender.send(5, 300, first=100)
        after = sender.frames(5, 300, first=100)
        bound.peer.expect(5, lambda frame: frame in after)
        wait_idle(bound, QUEUE)
    evidence.note(
        guest=[{"tx_timeout_count grew": grown, "log": said} for grown, _, said in story],
        device={"resets": [resets for _, resets, _ in story]},
    )
    assert story == [(0, [], 0), (1, ["software"], 1)]
