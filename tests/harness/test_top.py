# SPDX-License-Identifier: BSD-3-Clause
"""``hilnic top``: rates over intervals, counters that begin anew, what is drawn, and what is refused."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.top.figures import Bytes, between
from harness.top.text import as_json, bar, lines, scaled

ROOT = Path(__file__).parents[2]


def queue(packets: int, size: int, **other: Any) -> dict[str, Any]:
    return {"packets": packets, "bytes": size, "enabled": True, "slots": 256, "owned": 0, "vector": None, **other}


OFF = queue(0, 0, enabled=False, slots=0)
FIRST: dict[str, Any] = {
    "now_ns": 10_000_000_000,
    "interrupts": "msix",
    "link_mbps": 1000,
    "wire": {"emitted": 0, "arrived": 0, "dropped": 0, "malformed": 0},
    "rx": [queue(100, 6000, owned=255, vector=1), OFF],
    "tx": [OFF, queue(7, 700, vector=1)],
    "vectors": [{"sent": 0, "interval_us": 0}, {"sent": 50, "interval_us": 162}],
    "dropped": {"address": 3},
}


def later(seconds: float) -> dict[str, Any]:
    after = copy.deepcopy(FIRST)
    after["now_ns"] += int(seconds * 1e9)
    return after


def test_rates_are_differences_over_the_cards_own_time() -> None:
    after = later(0.5)
    after["rx"][0] |= {"packets": 1100, "bytes": 66_000}
    after["tx"][1] |= {"packets": 8, "bytes": 2200}
    after["vectors"][1]["sent"] = 60
    after["dropped"] = {"address": 4, "packet-buffer-full": 2}
    after["wire"]["dropped"] = 1
    figures = between(FIRST, after)
    [rx], [tx] = figures.rx, figures.tx
    assert (figures.seconds, figures.restarted) == (0.5, False)
    assert (rx.packets, rx.bytes, rx.owned, rx.slots) == (2000, 120_000, 255, 256)
    assert (tx.queue, tx.packets, tx.bytes) == (1, 2, 3000)
    assert (figures.vectors[1].sent, figures.vectors[1].interval_us, figures.vectors[1].serves) == (20, 162, "rx0 tx1")
    assert figures.dropped == {"address": (2, 4), "packet-buffer-full": (4, 2)}
    assert figures.wire_dropped == (2, 1)
    assert figures.sums == {"rx_packets": 2000, "rx_bytes": 120_000, "tx_packets": 2, "tx_bytes": 3000}


def test_no_time_at_all_is_no_rate() -> None:
    figures = between(FIRST, later(0))
    assert (figures.rx[0].packets, figures.vectors[1].sent, figures.dropped) == (0, 0, {"address": (0, 3)})


@pytest.mark.parametrize("what", ["queue", "vector", "drop", "clock"])
def test_counters_that_shrink_are_another_cards(what: str) -> None:
    after = later(2)
    if what == "queue":
        after["rx"][0] |= {"packets": 40, "bytes": 4000}
    elif what == "vector":
        after["vectors"][1]["sent"] = 4
    elif what == "drop":
        after["dropped"] = {}
    else:
        after["now_ns"] = 5
    figures = between(FIRST, after)
    assert figures.restarted
    assert all(rate >= 0 for rate in (figures.seconds, figures.rx[0].packets, figures.vectors[1].sent))
    if what == "queue":
        assert (figures.rx[0].packets, figures.rx[0].bytes) == (20, 2000)
    assert any("another card" in line for line in lines(figures))


def test_counters_beyond_32_bits_go_on() -> None:
    before, after = later(0), later(1)
    before["rx"][0]["bytes"] = (1 << 32) - 100
    after["rx"][0]["bytes"] = (1 << 32) + 900
    assert between(before, after).rx[0].bytes == 1000


def test_a_queue_that_is_switched_off_shows_as_long_as_it_has_counted() -> None:
    after = later(1)
    after["rx"][0] |= {"enabled": False, "slots": 0, "owned": 0}
    after["link_mbps"] = 0
    text = lines(between(FIRST, after))
    assert text[0].startswith("link down  msix  over 1.00 s")
    assert any(line.startswith("rx0") and "·········· 0/0" in line for line in text)


def test_byte_queue_limits_stand_beside_their_queue() -> None:
    figures = between(FIRST, later(1), {1: Bytes(limit=3028, inflight=1514)})
    [row] = [line.split() for line in lines(figures) if line.startswith("tx1")]
    assert row[-2:] == ["3028", "1514"]
    assert json.loads(as_json(figures))["bql"] == {"1": {"limit": 3028, "inflight": 1514}}
    [row] = [line.split() for line in lines(between(FIRST, later(1))) if line.startswith("tx1")]
    assert row[-2:] == ["-", "-"]


def test_bars_and_numbers() -> None:
    assert [bar(n, 256) for n in (0, 1, 128, 255, 256)] == [
        "··········", "#·········", "#####·····", "#########·", "##########",
    ]  # fmt: skip
    assert [scaled(value) for value in (0, 999.4, 1000, 12_345, 1_234_567, 2.5e9)] == [
        "0", "999", "1.0k", "12.3k", "1.2M", "2.5G",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--control", "/nowhere/card"), "of a running card, and /nowhere/card is not a socket"),
        (("--every", "0"), "must be 0.1 to 3600 seconds, not '0'"),
        (("--seconds", "soon"), "must be 0.1 to 3600 seconds, not 'soon'"),
        (("--every", "2", "--seconds", "1"), "--seconds must be no less than --every, 2, not 1"),
        (("--control", "/nowhere/card", "--engine", "python"), "--control names a card that runs already"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], sentence: str) -> None:
    argv = [sys.executable, "-m", "harness.cli", "top", *words]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
