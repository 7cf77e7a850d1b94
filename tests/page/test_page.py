# SPDX-License-Identifier: BSD-3-Clause
"""The page as a reader meets it: in a browser, on a phone, on paper."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from harness.claims import State
from harness.plots import Bar, Bars, Line, Look, Moment, Series, Source, Timeline
from harness.report import html, results
from harness.report.results import Artefact, CheckResult, Outcome, RunResult
from harness.spec import catalogue

if TYPE_CHECKING:
    from pathlib import Path

    from harness.plots import Plot
    from tests.page.chromium import Tab

BROKEN, HELD, LESS = "BQL-05", "RSS-07", "GRO-03"
PHONE = (360, 740)
PLOTS: tuple[Plot, ...] = (
    Series(
        "Limit & <flight>", "ms", "bytes",
        (
            Line("in flight", Source.GUEST, (0.0, 1.0, 2.0), (0, 3028, 1514), Look.AREA),
            Line("limit", Source.GUEST, (0.0, 1.0, 2.0), (1514, 1514, 4542), Look.STEPS),
            Line("limit of the oracle", Source.ORACLE, (0.0, 1.0, 2.0), (1514, 1514, 4542), Look.STEPS),
        ),
    ),
    Series("Load", "frames", "each", (Line("x", Source.DEVICE, (1, 4, 64), (1, 0.5, 0.1)),), log_x=True, log_y=True),
    Bars(
        "Spread", "queue", "frames", ("0", "1"),
        (
            Bar("guest", Source.GUEST, (10, 20)),
            Bar("device", Source.DEVICE, (10, 20)),
            Bar("predicted", Source.ORACLE, (11, 19)),
        ),
    ),
    Bars(
        "Polls", "burst", "frames", ("63", "65"),
        (Bar("poll 1", Source.GUEST, (63, 64)), Bar("poll 2", Source.GUEST, (0, 1))), stacked=True,
    ),
    Timeline(
        "One frame in",
        (
            Moment("wire", "sent", Source.PEER, 0.0),
            Moment("card", "message", Source.DEVICE, 140.2),
            Moment("stack", "netif_receive_skb_list_internal", Source.GUEST, 402.5),
        ),
        7.4,
        "Clocks related by register reads.",
    ),
)  # fmt: skip
WIDE = "eth0:" + "0123456789abcdef" * 40
ARTEFACTS = ("qemu.argv", "events", "rings", "console", "wire.pcapng")


def example() -> RunResult:
    """Return a run of the real catalogue: one must-claim broken with its evidence, one held with plots, one a P1."""
    book = catalogue.load()
    kept = tuple(Artefact(name, f"artefacts/x/{name}.txt") for name in ARTEFACTS)
    note = {"what": "what <both> said", "guest": {"key": WIDE}, "device": [1, 2, 3]}
    checks = [
        CheckResult(
            "checks/test_bql.py::test_in_flight", Outcome.FAILED, 1.5, (BROKEN,), "AssertionError: assert 4 == 5",
            (note,), kept, how="Sixteen senders at 10 Mb/s.",
        ),
        CheckResult("checks/test_rss.py::test_spread", Outcome.PASSED, 2.5, (HELD,), "", (note,), (), PLOTS),
        CheckResult("checks/test_gro.py::test_ends", Outcome.PASSED, 0.5, (LESS,), "", (note,)),
    ]  # fmt: skip
    cited = {check.claim_ids[0]: [check.nodeid] for check in checks}
    return results.judge_all(book, checks, cited, frozenset(cited), {"kernel": "6.12.117+deb13-amd64", "host": WIDE})


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("report") / "index.html"
    html.write(example(), path)
    for name in ARTEFACTS:
        artefact = path.parent / "artefacts" / "x" / f"{name}.txt"
        artefact.parent.mkdir(parents=True, exist_ok=True)
        artefact.write_text("evidence", encoding="utf-8")
    return path


def shown(tab: Tab) -> list[str]:
    """Return the ids of the claims that the filters let through."""
    found: list[str] = tab.ask("[...document.querySelectorAll('details.claim:not([hidden])')].map(each => each.id)")
    return found


def choose(tab: Tab, **values: str) -> list[str]:
    """Set filters as a reader does, and return the ids of the claims that are left."""
    for name, value in values.items():
        tab.ask(
            f"(field => {{ field.value = {json.dumps(value)};"
            " field.dispatchEvent(new Event('input', {bubbles: true}));"
            f" }})(document.getElementById({json.dumps(name)}))"
        )
    return shown(tab)


def test_page_loads_without_a_complaint_and_fetches_nothing(tab: Tab, page: Path) -> None:
    tab.open(page)
    assert tab.ask("document.querySelectorAll('details.claim').length") == len(list(catalogue.load()))
    assert tab.complaints == []
    assert [address for address in tab.requests if address != "about:blank"] == [page.as_uri()]


def test_filters_leave_what_was_asked_for_and_clear_brings_all_back(tab: Tab, page: Path) -> None:
    tab.open(page)
    everything = shown(tab)
    must = {claim.id for claim in catalogue.load() if claim.priority.value == "P0"}
    assert set(choose(tab, priority="P0")) == must
    assert choose(tab, verdict="held") == [HELD]
    assert choose(tab, priority="") == [LESS, HELD]
    assert choose(tab, area="RSS") == [HELD]
    assert choose(tab, text="no such words") == []
    assert tab.ask("document.getElementById('nothing').hidden") is False
    tab.ask("document.querySelector('form.filter [type=reset]').click()")
    tab.until(f"document.getElementById('shown').textContent === '{len(everything)} claims'")
    assert shown(tab) == everything
    assert choose(tab, text="SIXTEEN senders") == [BROKEN], "the words of a check are found too, in any case"
    assert tab.ask("document.querySelectorAll('section.chapter:not([hidden])').length") == 1
    assert tab.complaints == []


def test_the_number_of_a_verdict_is_a_filter(tab: Tab, page: Path) -> None:
    tab.open(page)
    everything = shown(tab)
    for expected in ([BROKEN], everything):
        tab.ask("document.querySelector('.counts [data-verdict=broken]').click()")
        assert shown(tab) == expected


def test_every_plot_is_drawn_in_the_gallery_and_beside_its_check(tab: Tab, page: Path) -> None:
    tab.open(page, f"#{HELD}")
    drawn = tab.ask(
        "[...document.querySelectorAll('#pictures figure')].map(figure => ({"
        " title: figure.querySelector('figcaption span').textContent, link: figure.querySelector('a').hash,"
        " box: figure.querySelector('svg').getBBox().width, height: figure.querySelector('svg').clientHeight,"
        " marks: figure.querySelectorAll('svg path, svg use').length,"
        " legend: figure.querySelectorAll('.legend li').length }))"
    )
    assert [each["title"] for each in drawn] == [plot.title for plot in PLOTS]
    assert {each["link"] for each in drawn} == {f"#{HELD}"}
    assert all(each["box"] > 200 and each["height"] > 90 and each["marks"] > 5 and each["legend"] for each in drawn)
    beside = tab.ask(
        f"[...document.querySelectorAll('#{HELD} figure svg')].map(svg => [svg.clientHeight, svg.getBBox().width])"
    )
    assert len(beside) == len(PLOTS)
    assert all(height > 90 and width > 200 for height, width in beside)


def test_what_a_plot_refers_to_is_there_and_ids_are_unique(tab: Tab, page: Path) -> None:
    tab.open(page)
    ids = tab.ask("[...document.querySelectorAll('[id]')].map(each => each.id)")
    assert len(ids) == len(set(ids))
    targets = tab.ask(
        "[...document.querySelectorAll('use')].map(each => each.getAttribute('href').slice(1)).concat("
        "[...document.querySelectorAll('[clip-path]')].map(each => each.getAttribute('clip-path').slice(5, -1)))"
    )
    assert targets
    assert set(targets) <= set(ids)


def test_colours_of_plots_follow_the_scheme(tab: Tab, page: Path) -> None:
    tab.open(page)
    colours = []
    for scheme in ("light", "dark"):
        tab.media(scheme=scheme)
        colours.append(tab.ask("getComputedStyle(document.querySelector('#plot-1 svg text')).fill"))
    assert colours[0] != colours[1]
    assert "#01fe" not in page.read_text(encoding="utf-8"), "no colour may be left that stands for another"


def test_a_failing_claim_is_one_click_from_its_evidence(tab: Tab, page: Path) -> None:
    tab.open(page)
    links: list[dict[str, Any]] = tab.ask(
        "[...document.querySelectorAll('#broken a')].map(link => ({ text: link.textContent, target: link.href }))"
    )
    folder = page.parent.as_uri()
    wanted = {name: f"{folder}/artefacts/x/{name}.txt" for name in ARTEFACTS}
    assert {link["text"]: link["target"] for link in links} == {BROKEN: f"{page.as_uri()}#{BROKEN}", **wanted}
    assert [link["text"] for link in links][1:5] == ["console", "events", "rings", "wire.pcapng"]
    assert tab.ask(f"document.querySelector('#{BROKEN}').open") is True
    assert tab.ask(f"document.querySelectorAll('#{BROKEN} ul.artefacts a').length") == len(ARTEFACTS)
    assert tab.follow("#broken .artefacts a") == wanted["console"]
    assert tab.ask("document.body.textContent") == "evidence"


def test_a_link_opens_its_claim_even_behind_a_filter(tab: Tab, page: Path) -> None:
    tab.open(page)
    choose(tab, verdict="held")
    tab.ask(f"document.querySelector('#broken a[href=\"#{BROKEN}\"]').click()")
    state = "claim => !claim.hidden && claim.open && claim.getBoundingClientRect().top < innerHeight"
    tab.until(f"({state})(document.getElementById('{BROKEN}'))")


@pytest.mark.parametrize("fragment", ["", f"#{BROKEN}", f"#{HELD}"])
def test_a_phone_needs_no_sideways_scrolling(tab: Tab, page: Path, fragment: str) -> None:
    tab.resize(*PHONE, phone=True)
    tab.open(page, fragment)
    width, needed = tab.ask("[innerWidth, document.documentElement.scrollWidth]")
    assert (width, needed) == (PHONE[0], PHONE[0])
    small = tab.ask(
        "[...document.querySelectorAll('body :is(p, dd, li, pre, td, a, button)')].filter(each =>"
        " each.checkVisibility() && parseFloat(getComputedStyle(each).fontSize) < 11).length"
    )
    assert small == 0


def test_paper_has_all_that_was_judged_and_no_controls(tab: Tab, page: Path) -> None:
    tab.open(page)
    assert tab.paper().startswith(b"%PDF")
    tab.media("print")
    assert tab.ask("getComputedStyle(document.querySelector('.filter')).display") == "none"
    tab.ask("dispatchEvent(new Event('beforeprint'))")
    assert tab.ask("[...document.querySelectorAll('details.claim[open]')].map(each => each.id)") == [LESS, HELD, BROKEN]
    tab.ask("dispatchEvent(new Event('afterprint'))")
    assert tab.ask("document.querySelectorAll('details.claim[open]').length") == 1


def test_the_example_says_where_each_claim_stands() -> None:
    run = example()
    assert [claim.claim.id for claim in run.claims if claim.state is State.CHECKED and claim.checks] == [
        LESS,
        HELD,
        BROKEN,
    ]
