# SPDX-License-Identifier: BSD-3-Clause
"""The HTML page, the verdicts behind it, the progress lines and the evidence files."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from harness.claims import State
from harness.errors import UsageError
from harness.evidence import Evidence, slug
from harness.report import html, results, terminal
from harness.report.results import Artefact, CheckResult, ClaimResult, ExitStatus, Outcome, RunResult, Verdict
from harness.spec.catalogue import Claim, KernelRange, Priority

if TYPE_CHECKING:
    from pathlib import Path

CLAIM = Claim("RSS-03", Priority.P0, "A <b> title", "States `a<b` & more.", "src", "guest?", "device?", "fault")
PASSED = CheckResult("t.py::test_a", Outcome.PASSED, 0.5, ("RSS-03",))
FAILED = replace(
    PASSED,
    nodeid="t.py::test_b",
    outcome=Outcome.FAILED,
    reason="assert '<script>' == '\"'",
    evidence=({"what": "polls", "guest": {"work": [64, 0]}, "device": "<img src=x>"},),
    artefacts=(Artefact("trace", "artefacts/b/trace.txt"),),
)


def claimed(*checks: CheckResult, claim: Claim = CLAIM, selected: bool = True) -> ClaimResult:
    verdict, reason = results.judge(claim, checks)
    return ClaimResult(claim, "Scaling", State.CHECKED, verdict, checks, selected, reason)


class Balance(HTMLParser):
    """Checks that elements close in order, and keeps the text and the links."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "input", "br", "link"}:
            self.open.append(tag)
        self.outside += [
            value for key, value in attrs if key in {"src", "href"} and value and not value.startswith("#")
        ]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text.append(data)


def parsed(run: RunResult) -> Balance:
    page = Balance()
    page.feed(html.render(run))
    page.close()
    assert page.open == []
    return page


def test_the_page_is_well_formed_and_needs_nothing_else() -> None:
    page = parsed(
        RunResult((claimed(PASSED, FAILED),), {"kernel": "6.12"}, ("RSS-09 (P0) must have <x>",), 2.0, (PASSED,))
    )
    assert set(page.outside) == {"artefacts/b/trace.txt"}
    assert not re.search(r"https?://|@import|url\(", html.render(RunResult((), {})))


def test_what_checks_say_is_text_and_never_markup() -> None:
    run = RunResult((claimed(FAILED),), {"host": "<i>"})
    text = "".join(parsed(run).text)
    for words in ("<img src=x>", "assert '<script>' == '\"'", "A <b> title", "work: [64, 0]", "<i>"):
        assert words in text


def test_a_broken_claim_is_open_and_a_held_one_is_not() -> None:
    assert 'data-verdict="broken" data-priority="P0" open>' in html.render(RunResult((claimed(FAILED),), {}))
    assert 'data-verdict="held" data-priority="P0">' in html.render(RunResult((claimed(PASSED),), {}))


def test_what_is_broken_is_listed_at_the_top_with_its_evidence() -> None:
    top = html.render(RunResult((claimed(FAILED),), {}, unclaimed=(replace(FAILED, nodeid="t.py::test_c"), PASSED)))
    top = top.partition('id="broken"')[2].partition("</section>")[0]
    assert top.count('href="artefacts/b/trace.txt"') == 2
    assert '<a href="#RSS-03">RSS-03</a>' in top
    assert "t.py::test_c" in top
    assert "t.py::test_a" not in top
    assert 'id="broken"' not in html.render(RunResult((claimed(PASSED),), {}, unclaimed=(PASSED,)))


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ([Outcome.PASSED], Verdict.HELD),
        ([Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED], Verdict.BROKEN),
        ([Outcome.PASSED, Outcome.SKIPPED], Verdict.NOT_RUN),
        ([Outcome.LAB_BROKEN, Outcome.PASSED], Verdict.NOT_RUN),
        ([], Verdict.NOT_RUN),
    ],
)
def test_all_checks_of_a_claim_must_pass(outcomes: list[Outcome], verdict: Verdict) -> None:
    assert results.judge(CLAIM, [replace(PASSED, outcome=outcome) for outcome in outcomes])[0] is verdict


def test_a_claim_about_other_kernels_is_waived_on_this_one() -> None:
    claim = replace(CLAIM, kernels=KernelRange(">=6.12,<7"))
    assert results.judge(claim, [FAILED], "7.3.4")[0] is Verdict.WAIVED
    assert results.judge(claim, [FAILED], "6.12.107+deb13")[0] is Verdict.BROKEN


def test_only_must_claims_decide_the_exit_status() -> None:
    p1 = replace(CLAIM, id="RSS-10", priority=Priority.P1)
    skipped = replace(PASSED, outcome=Outcome.SKIPPED)
    held = claimed(PASSED)
    assert RunResult((held, claimed(FAILED, claim=p1)), {}).exit_status is ExitStatus.HOLDS
    assert RunResult((held, claimed(FAILED)), {}).exit_status is ExitStatus.BROKEN
    assert RunResult((held, claimed(skipped)), {}).exit_status is ExitStatus.LACKS
    assert RunResult((claimed(skipped), claimed(FAILED)), {}).exit_status is ExitStatus.BROKEN
    assert RunResult((held, claimed(FAILED, selected=False)), {}).exit_status is ExitStatus.HOLDS
    assert RunResult((held,), {}, unclaimed=(FAILED,)).exit_status is ExitStatus.BROKEN
    assert RunResult((), {}).exit_status is ExitStatus.LACKS


def test_the_sentence_says_what_could_not_be_judged() -> None:
    skipped = claimed(replace(PASSED, outcome=Outcome.SKIPPED, reason="no /dev/kvm"))
    run = RunResult((claimed(PASSED, claim=replace(CLAIM, id="RSS-01")), skipped), {}, seconds=3.6)
    assert terminal.sentence(run) == "INCOMPLETE: 1 of 2 must-claims held; could not be judged: RSS-03 (4 s)."
    assert "             no /dev/kvm" in list(terminal.table(run))


class Screen:
    """A terminal that keeps what was written."""

    def __init__(self, *, is_tty: bool) -> None:
        self.is_tty = is_tty
        self.lines: list[str] = []
        self.rewritten: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def rewrite(self, text: str) -> None:
        self.rewritten.append(text)


class Clock:
    """A clock in seconds, turned by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def beaten(*, is_tty: bool, until: int) -> tuple[Screen, terminal.Progress]:
    screen, clock = Screen(is_tty=is_tty), Clock()
    progress = terminal.Progress(screen, clock)
    progress.start("RSS-03  title")
    progress.stage("booting the guest")
    for _ in range(until * 2):
        clock.now += 0.5
        progress.beat()
    return screen, progress


def test_without_a_tty_work_shows_after_two_seconds_and_then_seldom() -> None:
    screen, progress = beaten(is_tty=False, until=95)
    progress.finish("done")
    progress.close()
    assert [line.split("  ")[3] for line in screen.lines[:-1]] == ["2 s", "10 s", "30 s", "90 s"]
    assert screen.lines[0] == "  … RSS-03  title  2 s  booting the guest"
    assert screen.lines[-1] == "done"


def test_on_a_tty_one_line_is_rewritten_each_second() -> None:
    screen, progress = beaten(is_tty=True, until=3)
    progress.finish("done")
    progress.close()
    assert [text.split("  ")[3] for text in screen.rewritten if text] == ["1 s", "2 s", "3 s"]
    assert screen.lines == ["done"]


def test_evidence_keeps_texts_bytes_and_copies_of_files(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path / "r" / "artefacts" / "a", tmp_path / "r")
    capture = tmp_path / "wire.pcap"
    capture.write_bytes(b"\xd4\xc3")
    for name, content in (("QEMU argv", "qemu -M q35"), ("mem.bin", b"\x00\x01"), ("the wire", capture)):
        evidence.attach(name, content)
    kept = {artefact.name: artefact.path for artefact in evidence.artefacts}
    assert kept == {
        "QEMU argv": "artefacts/a/QEMU-argv.txt",
        "mem.bin": "artefacts/a/mem.bin",
        "the wire": "artefacts/a/the-wire.pcap",
    }
    assert (tmp_path / "r" / kept["the wire"]).read_bytes() == b"\xd4\xc3"


def test_evidence_refuses_what_it_cannot_keep(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path / "a", tmp_path)
    with pytest.raises(UsageError, match="must hold what JSON can hold"):
        evidence.note(guest={1, 2})
    with pytest.raises(UsageError, match="must be a file, not '/nonexistent'"):
        evidence.attach("x", tmp_path.__class__("/nonexistent"))


def test_a_note_of_zero_or_nothing_received_is_still_a_note(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path / "a", tmp_path)
    evidence.note(guest=0, device=[])
    assert evidence.notes == ({"guest": 0, "device": []},)


def test_names_of_artefacts_stay_below_their_directory() -> None:
    assert slug("../../etc/passwd") == "etc-passwd"
    assert slug("test_a[64-x/y]") == "test_a-64-x-y"
    assert slug("///") == "unnamed"
