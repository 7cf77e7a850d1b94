# SPDX-License-Identifier: BSD-3-Clause
"""The recorder of events: what it keeps, counts, loses and says about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.events import FrameArrived, GuestError
from emulator.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_model.events import Event


class Nic:
    def __init__(self) -> None:
        self.observer: Callable[[Event], None] | None = None

    def observe(self, observer: Callable[[Event], None]) -> Callable[[], None]:
        self.observer = observer
        return self.forget

    def forget(self) -> None:
        self.observer = None

    def tell(self, *events: Event) -> None:
        for event in events:
            if self.observer is not None:
                self.observer(event)


def test_ring_keeps_the_newest_and_says_how_many_were_lost() -> None:
    nic = Nic()
    recorder = Recorder(nic, capacity=4)
    nic.tell(*(FrameArrived(n, bytes([n])) for n in range(10)))
    got = recorder.since(3, None, 100, 1 << 20)
    assert [event["t_ns"] for event in got.events] == [6, 7, 8, 9]
    assert [event["number"] for event in got.events] == [6, 7, 8, 9]
    assert (got.next, got.lost) == (10, 3)
    assert recorder.since(10, None, 100, 1 << 20).events == []


def test_answer_stays_near_the_size_asked_for() -> None:
    nic = Nic()
    recorder = Recorder(nic)
    nic.tell(*(FrameArrived(n, bytes(1000)) for n in range(100)))
    got = recorder.since(0, None, 100, 10_000)
    assert 0 < len(got.events) <= 6
    assert got.next == len(got.events)


def test_kinds_are_counted_whether_kept_or_not() -> None:
    nic = Nic()
    recorder = Recorder(nic)
    recorder.select(["GuestError"])
    nic.tell(FrameArrived(1, b""), GuestError(2, "nonsense"))
    assert [event["kind"] for event in recorder.since(0, None, 9, 9999).events] == ["GuestError"]
    assert recorder.counts()["FrameArrived"] == 1
    recorder.select([])
    assert nic.observer is None
