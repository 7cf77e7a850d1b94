# SPDX-License-Identifier: BSD-3-Clause
"""The bad cable, around a loopback plug and with time turned by hand."""

from __future__ import annotations

import select

import pytest

from emulator.errors import UsageError
from emulator.wires.impaired import REORDER_NS, ImpairedWire, Impairment, parse_impairment
from emulator.wires.loopback import LoopbackWire
from emulator.wires.null import NullWire

FRAMES = [number.to_bytes(4, "big") + bytes(60) for number in range(1000)]


class Time:
    def __init__(self) -> None:
        self.ns = 10**9

    def now(self) -> int:
        return self.ns


class FarEnd(NullWire):
    """Keeps what reaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[bytes] = []

    def emit(self, frame: bytes) -> None:
        self.frames.append(frame)


def through(bad: Impairment) -> list[bytes]:
    """Return what the far end gets of FRAMES, one started every 10 µs."""
    time = Time()
    far = FarEnd()
    wire = ImpairedWire(far, bad, time.now)
    for frame in FRAMES:
        wire.emit(frame)
        time.ns += 10_000
    time.ns += 10**9
    assert wire.poll() == []
    wire.close()
    return far.frames


def test_good_cable_changes_nothing() -> None:
    time = Time()
    wire = ImpairedWire(LoopbackWire(), Impairment(), time.now)
    for frame in FRAMES[:50]:
        wire.emit(frame)
    assert wire.poll() == FRAMES[:50]
    wire.close()


def test_loss_takes_about_its_share_on_each_way() -> None:
    bad = Impairment(loss=0.2)
    wire = ImpairedWire(LoopbackWire(), bad, Time().now)
    for frame in FRAMES:
        wire.emit(frame)
    emitted = wire.counts.emitted
    assert 750 <= emitted <= 850
    found = [frame for _ in range(20) for frame in wire.poll()]
    assert emitted * 0.75 <= len(found) <= emitted * 0.85
    assert found == [frame for frame in FRAMES if frame in set(found)]
    wire.close()


def test_same_seed_makes_the_same_choices_and_another_makes_others() -> None:
    bad = Impairment(loss=0.1, corrupt=0.1, duplicate=0.1, seed=4)
    assert through(bad) == through(bad)
    assert through(bad) != through(Impairment(loss=0.1, corrupt=0.1, duplicate=0.1, seed=5))


def test_corruption_flips_one_bit() -> None:
    bad = Impairment(corrupt=0.5)
    flips = [(int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count() for a, b in
             zip(FRAMES, through(bad), strict=True)]  # fmt: skip
    assert set(flips) == {0, 1}
    assert 400 < sum(flips) < 600


def test_duplicates_follow_their_originals() -> None:
    found = through(Impairment(duplicate=0.25))
    assert 1200 < len(found) < 1300
    assert sorted(set(found)) == FRAMES
    assert found == sorted(found)


def test_reordered_frames_are_overtaken_and_none_is_lost() -> None:
    found = through(Impairment(reorder=0.05))
    assert sorted(found) == FRAMES
    assert found != FRAMES


def test_delay_is_waited_for_with_a_readable_descriptor() -> None:
    time = Time()
    inner = LoopbackWire()
    wire = ImpairedWire(inner, Impairment(delay_us=3000), time.now)
    wire.emit(FRAMES[1])
    assert inner.counts.emitted == 0
    descriptor = wire.fileno()
    assert descriptor is not None
    assert select.select([descriptor], [], [], 5)[0] == [descriptor]
    time.ns += 2_999_999
    assert wire.poll() == []
    assert inner.counts.emitted == 0
    time.ns += 1
    assert wire.poll() == []
    assert inner.counts.emitted == 1
    assert wire.poll() == []
    time.ns += 3_000_000
    assert wire.poll() == [FRAMES[1]]
    assert REORDER_NS > 0
    wire.close()
    wire.emit(FRAMES[1])
    assert (wire.poll(), wire.fileno()) == ([], None)


@pytest.mark.parametrize("text", ["lost=1", "loss=2", "loss=-0.1", "loss=nan", "loss=", "delay_us=1.5", "seed=x", ""])
def test_bad_impairment_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_impairment(text)


def test_impairment_is_read_as_written() -> None:
    said = parse_impairment("loss=0.01,duplicate=0.02,corrupt=0.03,reorder=0.04,delay_us=500,seed=7")
    assert said == Impairment(0.01, 0.02, 0.03, 0.04, 500, 7)
