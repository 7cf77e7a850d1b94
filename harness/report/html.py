# SPDX-License-Identifier: BSD-3-Clause
"""The report as one HTML page that needs nothing else: no network, no library, readable in print and on a phone.

The page, its style and its script are files beside this one; everything put into them is escaped here.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from harness.report import claims_html, figures_html, terminal
from harness.report.claims_html import css, kind
from harness.report.results import ExitStatus, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from harness.report.figures_html import Picture
    from harness.report.results import CheckResult, ClaimResult, RunResult

PAGE = Path(__file__).parent / "page"
WORDS = ("held", "broken", "waived", "not run", "todo")


def write(run: RunResult, path: Path) -> None:
    """Write the page of ``run``; artefacts are linked relative to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(run), encoding="utf-8")


def render(run: RunResult) -> str:
    """Return the page."""
    sentence = terminal.sentence(run)
    status = {ExitStatus.HOLDS: "holds", ExitStatus.BROKEN: "broken"}.get(run.exit_status, "incomplete")
    chapters = list(_by_chapter(run.claims))
    pictures = figures_html.draw(run.claims, run.unclaimed)
    return Template((PAGE / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(f"hilnic: {sentence}"),
        style=(PAGE / "style.css").read_text(encoding="utf-8"),
        script=(PAGE / "script.js").read_text(encoding="utf-8"),
        sentence=escape(sentence),
        status=status,
        contents="\n".join(_contents(run, pictures)),
        counts="\n".join(_counts(run)),
        broken=_broken(run),
        problems=_problems(run.problems),
        facts="\n".join(_fact(key, value) for key, value in sorted(run.facts.items())),
        areas="".join(f"<option>{escape(claims[0].claim.area)}</option>" for _, claims in chapters),
        verdicts="".join(f"<option>{each}</option>" for each in WORDS),
        overview="\n".join(_overview(title, claims) for title, claims in chapters),
        gallery=_gallery(pictures),
        chapters="\n".join(_chapter(title, claims, pictures) for title, claims in chapters),
        unclaimed=_unclaimed(run.unclaimed, pictures),
        foot=f"{len(run.claims)} claims, {run.seconds:.0f} s. As data: results.json and junit.xml beside this page.",
    )


def _contents(run: RunResult, pictures: Mapping[str, Sequence[Picture]]) -> Iterator[str]:
    yield '<a href="#broken">Broken</a>' if _broken(run) else ""
    yield '<a href="#chapters">Chapters</a>'
    yield '<a href="#pictures">Pictures</a>' if pictures else ""
    yield '<a href="#claims">Claims</a>'
    yield '<a href="#environment">Environment</a>'


def _fact(key: str, value: object) -> str:
    return f"<dt>{escape(key)}</dt><dd>{escape(str(value))}</dd>"


def _by_chapter(claims: Iterable[ClaimResult]) -> Iterator[tuple[str, list[ClaimResult]]]:
    chapters: dict[str, list[ClaimResult]] = {}
    for claim in claims:
        chapters.setdefault(claim.chapter, []).append(claim)
    yield from chapters.items()


def _counts(run: RunResult) -> Iterator[str]:
    """Yield a button a verdict: how many, how many of them must hold; it filters the claims below."""
    for each in WORDS:
        counted = [claim for claim in run.claims if kind(claim) == each]
        must = sum(claim.claim.priority.value == "P0" for claim in counted)
        style = "not-run" if each == "todo" else css(each)
        yield (
            f'<button type="button" class="{style}{"" if counted else " none"}" data-verdict="{each}">'
            f'<span class="verdict {style}">{each}</span> <b>{len(counted)}</b> '
            f"<small>{must} of them P0</small></button>"
        )


def _broken(run: RunResult) -> str:
    """List what is broken with its evidence, so that nobody has to look for it."""
    items = []
    for claim in run.claims:
        if claim.verdict is Verdict.BROKEN:
            name = f'<a href="#{escape(claim.claim.id)}">{escape(claim.claim.id)}</a>'
            words = f'{name} <span class="priority">{claim.claim.priority.value}</span> {escape(claim.claim.title)}'
            items.append(_failure(words, [check for check in claim.checks if check.reason]))
    failed = [check for check in run.unclaimed if check.outcome is Outcome.FAILED]
    items += [_failure(f"<code>{escape(check.nodeid)}</code>", [check]) for check in failed]
    if not items:
        return ""
    return f'<section class="alarm" id="broken"><h2>Broken</h2><ul>{"".join(items)}</ul></section>'


def _failure(words: str, checks: Sequence[CheckResult]) -> str:
    told = "".join(f"<pre>{escape(check.reason)}</pre>{claims_html.artefacts(check.artefacts)}" for check in checks)
    return f"<li><p>{words}</p>{told}</li>"


def _problems(problems: Sequence[str]) -> str:
    if not problems:
        return ""
    items = "".join(f"<li>{escape(problem)}</li>" for problem in problems)
    return f'<section class="alarm"><h2>Claims without an account</h2><ul>{items}</ul></section>'


def _overview(title: str, claims: Sequence[ClaimResult]) -> str:
    """Return a row of the table of chapters: a bar of verdicts, and the numbers."""
    area = claims[0].claim.area
    numbers = {each: sum(kind(claim) == each for claim in claims) for each in WORDS}
    parts = "".join(
        f'<i class="{css(each)}" style="flex:{number}" title="{number} {each}"></i>'
        for each, number in numbers.items()
        if number
    )
    cells = "".join(f'<td class="number{"" if number else " zero"}">{number}</td>' for number in numbers.values())
    link = f'<a href="#{escape(area)}">{escape(area)}</a>'
    return f'<tr><td>{link}</td><td>{escape(title)}</td><td><div class="share">{parts}</div></td>{cells}</tr>'


def _gallery(pictures: Mapping[str, Sequence[Picture]]) -> str:
    if not pictures:
        return ""
    figures = "\n".join(picture.figure for drawn in pictures.values() for picture in drawn)
    return f'<section id="pictures"><h2>Pictures of this run</h2><div class="pictures">\n{figures}\n</div></section>'


def _chapter(title: str, claims: Sequence[ClaimResult], pictures: Mapping[str, Sequence[Picture]]) -> str:
    area = escape(claims[0].claim.area)
    body = "\n".join(claims_html.claim(claim, pictures) for claim in claims)
    return f'<section class="chapter" id="{area}"><h3>{area} <small>{escape(title)}</small></h3>\n{body}\n</section>'


def _unclaimed(checks: Sequence[CheckResult], pictures: Mapping[str, Sequence[Picture]]) -> str:
    if not checks:
        return ""
    body = "".join(claims_html.check(check, pictures.get(check.nodeid, ())) for check in checks)
    return f"<section><h2>Checks without a claim</h2>{body}</section>"
