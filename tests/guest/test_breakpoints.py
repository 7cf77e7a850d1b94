# SPDX-License-Identifier: BSD-3-Clause
"""The card stands at an event of a guest's own traffic, on both engines, and goes on as if nothing had been."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from harness.deadline import Deadline
from harness.emulator import CardOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.lab import Bound, Lab

PATIENCE_S = 60
DD = 1


@pytest.fixture(scope="module", params=["native", "python"])
def bound(request: pytest.FixtureRequest, session_lab: Lab) -> Iterator[Bound]:
    yield session_lab.bound(CardOptions(engine=request.param, patience_s=PATIENCE_S))
    session_lab.shut()


@contextlib.contextmanager
def pinging(bound: Bound) -> Iterator[None]:
    """Let the guest ping, once, without waiting for it before the end; the reply must come."""
    with bound.peer.answering():
        running = bound.guest.agent.start("run", argv=["ping", "-c1", "-W20", "198.18.0.2"], seconds=30.0)
        yield
        assert running.result(35)["rc"] == 0


def test_a_descriptor_is_looked_at_on_both_sides_of_its_write_back(bound: Bound) -> None:
    card = bound.card
    card.stop_when("before DmaWrite purpose=tx-write-back")
    with pinging(bound):
        stopped = card.wait_stopped()
        queue, iova = stopped.event.queue, stopped.event.iova
        base = card.register("TDBAH", queue) << 32 | card.register("TDBAL", queue)
        index = (iova - base) // 16
        assert (iova - base) % 16 == 12
        assert not card.memory(iova, 4)[0] & DD
        written = card.step(f"after DmaWrite purpose=tx-write-back queue={queue}").event
        assert (written.iova, card.memory(iova, 4)[0] & DD) == (iova, DD)
        assert card.step("TxWriteBack").event.index == index
        sent = card.step("InterruptSent")
        assert sent.side == "before"
        assert card.step(f"after InterruptSent vector={sent.event.vector}").side == "after"
        slots = {slot["index"]: slot for slot in card.ring("tx", queue)["descriptors"]}
        assert slots[index]
        card.unrule()
        card.resume()


def test_steps_follow_the_packet_through_the_card(bound: Bound) -> None:
    card = bound.card
    card.stop_when("RegisterWritten register=TDT*")
    with pinging(bound):
        doorbell = card.wait_stopped().event
        queue = int(doorbell.register[4:-1])
        card.unrule()
        kinds = []
        for step in ("before DmaRead purpose=tx-descriptor", "TxDescriptor", "before DmaRead purpose=tx-payload",
                     "FrameEmitted"):  # fmt: skip
            event = card.step(f"{step} queue={queue}").event
            kinds.append(event.kind)
        assert kinds == ["DmaRead", "TxDescriptor", "DmaRead", "FrameEmitted"]
        assert bytes.fromhex(bound.options.mac.replace(":", "")) == event.frame[6:12]
        card.resume()


def test_the_third_interrupt_after_link_up_is_dropped_and_no_other(bound: Bound) -> None:
    card = bound.card
    card.rule("drop_interrupts vector=1 when InterruptSent vector=1 nth=2 since LinkChanged speed_mbps>0")
    card.link_down()
    with card.recording("InterruptSent", "InterruptWithheld", "LinkChanged") as seen:
        card.link_up()
        bound.netif.wait_carrier()
        for _ in range(5):
            bound.guest.agent.call("run", argv=["ping", "-c1", "-W1", "-q", "198.18.0.2"], seconds=10.0)
        (dropped,) = seen.wait(1, Deadline.after(20), where=lambda e: e.fields.get("why") == "dropped")
    told = seen.all()
    up = next(n for n, e in enumerate(told) if e.kind == "LinkChanged" and e.speed_mbps)
    before = [e for e in told[up : told.index(dropped)] if e.kind == "InterruptSent" and e.vector == 1]
    assert (dropped.vector, len(before)) == (1, 2)
    assert len([e for e in told if e.fields.get("why") == "dropped"]) == 1
