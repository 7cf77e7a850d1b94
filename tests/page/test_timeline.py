# SPDX-License-Identifier: BSD-3-Clause
"""The time line's page as a reader meets it: moved, zoomed, asked and searched, on a screen and on a phone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.timeline import page
from harness.timeline.line import FROM_GUEST, REGISTERS, Arrow, Lane, Mark, Slice, TimeLine

if TYPE_CHECKING:
    from pathlib import Path

    from tests.page.chromium import Tab

MS = 1_000_000
PHONE = (360, 740)


def example(**facts: object) -> TimeLine:
    """Return two bursts, 400 ms apart, of a message, its interrupt with a poll inside a softirq, and a frame."""
    slices, marks, arrows = [], [], []
    for begin in (100 * MS, 500 * MS):
        masked = Slice(Lane.vector(2), "masked", begin, begin + 300_000, {"by": "auto-mask", "until": "EIMS"}, "masked")
        hardirq = Slice(Lane.cpu(1), "eth0-rx-1", begin + 20_000, begin + 30_000, {"irq": 38}, "hardirq")
        softirq = Slice(Lane.cpu(1), "NET_RX", begin + 40_000, begin + 200_000, {}, "softirq")
        poll = Slice(Lane.cpu(1), "igb_poll", begin + 50_000, begin + 180_000, {"napi": "<script>"}, "napi")
        slices += [masked, hardirq, softirq, poll]
        arrows.append(Arrow("vector 2", masked, hardirq))
        marks += [
            Mark(REGISTERS, "write EIMS", begin + 300_000, {"value": "0x4"}, "RegisterWritten"),
            Mark(FROM_GUEST, "frame", begin + 310_000, {"what": "ICMP"}, "FrameEmitted"),
        ]
    told = {"what": "ping <b>", "begin_ns": 0, "end_ns": 1000 * MS, "error_ns": 5000, "irqs": [38], "lost": {}}
    return TimeLine(tuple(slices), tuple(marks), tuple(arrows), told | facts)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("timeline") / "trace.html"
    page.write(example(), place)
    return place


def span(tab: Tab) -> float:
    return float(tab.ask("view.end - view.begin"))


def test_the_page_begins_at_a_burst_and_fetches_nothing(tab: Tab, path: Path) -> None:
    tab.open(path)
    assert tab.complaints == []
    assert [each for each in tab.requests if not each.startswith("file:")] == []
    assert tab.ask("document.querySelector('h1').textContent") == "ping <b>"
    assert tab.ask("document.querySelector('.story').textContent") == "Both witnesses tell one story of 2 interrupts."
    assert tab.ask("bursts.length") == 2
    assert tab.ask("view.begin < 100000 && 100310 < view.end && view.end < 200000")


def test_keys_and_buttons_move_and_zoom(tab: Tab, path: Path) -> None:
    tab.open(path)
    tab.ask("document.getElementById('later').click()")
    assert tab.ask("view.begin < 500000 && 500310 < view.end")
    before = span(tab)
    tab.ask("document.dispatchEvent(new KeyboardEvent('keydown', {key: '+'}))")
    assert span(tab) == pytest.approx(before / 2)
    tab.ask("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'p'}))")
    assert tab.ask("view.end < 200000")
    tab.ask("document.getElementById('fit').click()")
    assert span(tab) >= 1_000_000
    for _ in range(80):
        tab.ask("document.getElementById('closer').click()")
    assert span(tab) == pytest.approx(0.5), "closer than that there is nothing"
    assert tab.complaints == []


def test_a_click_tells_all_and_the_next_the_time_between(tab: Tab, path: Path) -> None:
    tab.open(path)
    click = """(index => {
      const each = line.slices[index], box = canvas.getBoundingClientRect(), place = places[each[0]];
      const at = {clientX: box.left + x(each[1] + each[2] / 2), clientY: box.top + place.top + each[5] * ROW + 5,
                  pointerId: 1, bubbles: true};
      canvas.setPointerCapture = () => {};
      canvas.dispatchEvent(new PointerEvent('pointerdown', at));
      canvas.dispatchEvent(new PointerEvent('pointerup', at));
    })"""
    tab.ask(f"{click}(1)")
    assert tab.ask("details.querySelector('h2').textContent") == "eth0-rx-1"
    tab.ask(f"{click}(3)")
    told = str(tab.ask("details.innerText"))
    assert told.splitlines()[0] == "igb_poll"
    assert "30.0 µs after eth0-rx-1 (CPU 1)" in told
    assert "<script>" in told
    assert tab.complaints == []


def test_what_is_sought_is_counted_and_come_to(tab: Tab, path: Path) -> None:
    tab.open(path)
    tab.ask("show(800000, 900000); find.value = 'eims'; find.dispatchEvent(new Event('input'))")
    assert tab.ask("document.getElementById('found').textContent") == "4 found"
    assert tab.ask("view.begin < 100300 && 100300 < view.end")


def test_slices_lie_in_each_other(tab: Tab, path: Path) -> None:
    tab.open(path)
    assert tab.ask("line.slices.slice(0, 4).map(each => each[5])") == [0, 0, 0, 1]
    assert tab.ask("line.lanes[0].depth") == 2


def test_it_fits_a_phone_and_says_what_was_lost(tab: Tab, tmp_path: Path) -> None:
    lossy = tmp_path / "lossy.html"
    page.write(example(lost={"card": 12}), lossy)
    tab.resize(*PHONE, phone=True)
    tab.media(scheme="dark")
    tab.open(lossy)
    assert tab.ask("document.documentElement.scrollWidth <= innerWidth")
    assert "LOST" in str(tab.ask("document.querySelector('.lossy').textContent"))
    assert "cannot be said" in str(tab.ask("document.querySelector('.story').textContent"))
    assert tab.complaints == []


def test_an_empty_recording_is_a_page_too(tab: Tab, tmp_path: Path) -> None:
    empty = tmp_path / "empty.html"
    page.write(TimeLine((), (), (), {"begin_ns": 0, "end_ns": 1, "lost": {}}), empty)
    tab.open(empty)
    assert tab.complaints == []
