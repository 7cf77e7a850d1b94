# SPDX-License-Identifier: BSD-3-Clause
"""The far end that measures: what it counts, and how it sends to a card that is slow, absent or gone."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from harness.bench.far_end import Count, FarEnd
from harness.deadline import Deadline
from harness.errors import LabBroken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PORT = 9
FRAME = bytes(36) + PORT.to_bytes(2, "big") + bytes(22)
OTHER = bytes(36) + (PORT << 8).to_bytes(2, "big") + bytes(22)
RUNT = bytes(20)
SOON_S = 5.0


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[tuple[FarEnd, socket.socket]]:
    """Return a far end and the card's socket that it is connected to."""
    with FarEnd(tmp_path / "far", tmp_path / "near", PORT) as end:
        card = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        card.bind(str(tmp_path / "near"))
        card.settimeout(SOON_S)
        end.connect(Deadline.after(SOON_S))
        card.connect(str(tmp_path / "far"))
        with card:
            yield end, card


def test_only_frames_to_the_port_are_counted(ends: tuple[FarEnd, socket.socket]) -> None:
    end, card = ends
    for frame in (FRAME, OTHER, RUNT, FRAME, OTHER, FRAME):
        card.send(frame)
    assert end.counted(3, Deadline.after(SOON_S)).frames == 3


def test_a_short_frame_is_not_taken_for_the_one_before_it(ends: tuple[FarEnd, socket.socket]) -> None:
    end, card = ends
    for frame in (FRAME, RUNT, RUNT, FRAME):
        card.send(frame)
    assert end.counted(2, Deadline.after(SOON_S)).frames == 2


def test_a_restart_forgets_what_came(ends: tuple[FarEnd, socket.socket]) -> None:
    end, card = ends
    card.send(FRAME)
    end.counted(1, Deadline.after(SOON_S))
    end.restart()
    assert end.counted(0, Deadline.after(SOON_S)) == Count(0, 0, 0)
    card.send(FRAME)
    assert end.counted(1, Deadline.after(SOON_S)).frames == 1


def test_fewer_frames_than_hoped_for_are_told_at_the_deadline(ends: tuple[FarEnd, socket.socket]) -> None:
    end, card = ends
    card.send(FRAME)
    end.counted(1, Deadline.after(SOON_S))
    assert end.counted(2, Deadline.after(0.05)).frames == 1


@pytest.mark.parametrize(
    ("count", "rate"), [(Count(11, 1_000, 500_001_000), 20.0), (Count(1, 7, 7), 0.0), (Count(0, 0, 0), 0.0)]
)
def test_the_rate_is_of_gaps_between_frames(count: Count, rate: float) -> None:
    assert count.rate == rate


def test_a_blast_says_how_many_frames_the_card_took(ends: tuple[FarEnd, socket.socket]) -> None:
    end, card = ends
    got: list[bytes] = []
    stop = b"stop"

    def take() -> None:
        while (frame := card.recv(2048)) != stop:
            got.append(frame)

    taker = threading.Thread(target=take)
    taker.start()
    blast = end.blast([FRAME, OTHER], 0.05)
    end._socket.send(stop)
    taker.join(SOON_S)
    assert blast.frames == len(got) > 0
    assert got == [FRAME, OTHER] * (len(got) // 2)
    assert blast.seconds >= 0.05


def test_a_card_that_takes_nothing_is_told_from_a_slow_one(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as card,
        FarEnd(tmp_path / "far", tmp_path / "near", PORT, patience_s=0.05) as end,
    ):
        card.bind(str(tmp_path / "near"))
        end.connect(Deadline.after(SOON_S))
        with pytest.raises(LabBroken, match=r"the card must take a frame within 0\.05 s, and stopped after"):
            end.blast([FRAME], 60.0)


def test_a_card_that_never_comes_is_named_by_its_path(tmp_path: Path) -> None:
    with (
        FarEnd(tmp_path / "far", tmp_path / "near", PORT) as end,
        pytest.raises(LabBroken, match="near opening must happen within"),
    ):
        end.connect(Deadline.after(0.02))


def test_nothing_is_left_after_the_end(tmp_path: Path) -> None:
    FarEnd(tmp_path / "far", tmp_path / "near", PORT).close()
    assert list(tmp_path.iterdir()) == []
