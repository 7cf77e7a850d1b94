# SPDX-License-Identifier: BSD-3-Clause
"""The report as one HTML page that needs nothing else: no network, no library, readable in print and on a phone.

The page, its style and its script are files beside this one; everything put into them is escaped here.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from harness.claims import State
from harness.report import terminal
from harness.report.results import ExitStatus, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from harness.report.results import Artefact, CheckResult, ClaimResult, RunResult

PAGE = Path(__file__).parent / "page"


def write(run: RunResult, path: Path) -> None:
    """Write the page of ``run``; artefacts are linked relative to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(run), encoding="utf-8")


def render(run: RunResult) -> str:
    """Return the page."""
    sentence = terminal.sentence(run)
    status = {ExitStatus.HOLDS: "holds", ExitStatus.BROKEN: "broken"}.get(run.exit_status, "incomplete")
    chapters = list(_by_chapter(run.claims))
    return Template((PAGE / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(f"hilnic: {sentence}"),
        style=(PAGE / "style.css").read_text(encoding="utf-8"),
        script=(PAGE / "script.js").read_text(encoding="utf-8"),
        sentence=escape(sentence),
        status=status,
        counts="\n".join(_counts(run)),
        problems=_problems(run.problems),
        facts="\n".join(_fact(key, value) for key, value in sorted(run.facts.items())),
        areas="".join(f"<option>{escape(claims[0].claim.area)}</option>" for _, claims in chapters),
        verdicts="".join(f"<option>{verdict.value}</option>" for verdict in Verdict) + "<option>todo</option>",
        overview="\n".join(_overview(title, claims) for title, claims in chapters),
        chapters="\n".join(_chapter(title, claims) for title, claims in chapters),
        unclaimed=_unclaimed(run.unclaimed),
        foot=f"{len(run.claims)} claims, {run.seconds:.0f} s. As data: results.json and junit.xml beside this page.",
    )


def _fact(key: str, value: object) -> str:
    return f"<dt>{escape(key)}</dt><dd>{escape(str(value))}</dd>"


def _by_chapter(claims: Iterable[ClaimResult]) -> Iterator[tuple[str, list[ClaimResult]]]:
    chapters: dict[str, list[ClaimResult]] = {}
    for claim in claims:
        chapters.setdefault(claim.chapter, []).append(claim)
    yield from chapters.items()


def _counts(run: RunResult) -> Iterator[str]:
    for verdict in Verdict:
        words = f'<dt class="verdict {_css(verdict.value)}">{verdict.value}</dt>'
        number = run.count(verdict)
        must = run.count(verdict, must_only=True)
        yield f"<div>{words}<dd>{number}</dd><dt>{must} of them must-claims</dt></div>"


def _problems(problems: Sequence[str]) -> str:
    if not problems:
        return ""
    items = "".join(f"<li>{escape(problem)}</li>" for problem in problems)
    return f'<section class="problems"><h2>Claims without an account</h2><ul>{items}</ul></section>'


def _overview(title: str, claims: Sequence[ClaimResult]) -> str:
    area = claims[0].claim.area
    words = (("held",), ("broken",), ("waived",), ("not run", "not comparable"), ("todo",))
    numbers = [sum(_word(claim) in alike for claim in claims) for alike in words]
    cells = "".join(f'<td class="number{"" if number else " zero"}">{number}</td>' for number in numbers)
    return f'<tr><td><a href="#{escape(area)}">{escape(area)}</a></td><td>{escape(title)}</td>{cells}</tr>'


def _chapter(title: str, claims: Sequence[ClaimResult]) -> str:
    area = escape(claims[0].claim.area)
    body = "\n".join(_claim(claim) for claim in claims)
    return f'<section class="chapter" id="{area}"><h2>{area} <small>{escape(title)}</small></h2>\n{body}\n</section>'


def _word(result: ClaimResult) -> str:
    """Return the word for a claim: its verdict, or "todo" where there is no check yet."""
    return "todo" if result.state is State.TODO else result.verdict.value


def _claim(result: ClaimResult) -> str:
    claim, word = result.claim, _word(result)
    seconds = sum(check.seconds for check in result.checks)
    summary = (
        f'<span class="verdict {_css(result.verdict.value)}">{escape(word)}</span>'
        f'<span class="id">{escape(claim.id)}</span>'
        f'<span class="priority">{claim.priority.value}</span><span class="title">{escape(claim.title)}</span>'
        f'<span class="time">{f"{seconds:.1f} s" if result.checks else ""}</span>'
    )
    kernels = f" · kernels {escape(claim.kernels.text)}" if claim.kernels.text else ""
    parts = [
        f'<p class="statement">{_code(claim.statement)}</p>',
        f'<p class="source">Source: {_code(claim.source)}{kernels}</p>',
    ]
    if result.reason and result.state is not State.TODO and not any(check.reason for check in result.checks):
        quiet = "" if result.verdict is Verdict.BROKEN else " quiet"
        parts.append(f'<div class="reason{quiet}"><pre>{escape(result.reason)}</pre></div>')
    parts += [
        '<div class="pair">',
        f"<div><h3>Guest is asked</h3><p>{_code(claim.guest_witness)}</p></div>",
        f"<div><h3>Device is asked</h3><p>{_code(claim.device_witness)}</p></div>",
        "</div>",
        f'<p class="source">Must turn it red: {_code(claim.fault)}</p>',
        *(_check(check) for check in result.checks),
    ]
    is_open = " open" if result.verdict is Verdict.BROKEN else ""
    data = f'data-area="{escape(claim.area)}" data-verdict="{escape(word)}" data-priority="{claim.priority.value}"'
    body = "\n".join(parts)
    opening = f'<details class="claim" id="{escape(claim.id)}" {data}{is_open}><summary>{summary}</summary>'
    return f'{opening}<div class="body">\n{body}\n</div></details>'


def _check(check: CheckResult) -> str:
    outcome = {"passed": "held", "failed": "broken"}.get(check.outcome.value, "not-run")
    parts = [
        f'<p><span class="verdict {outcome}">{escape(check.outcome.value)}</span>',
        f' <code>{escape(check.nodeid)}</code> <span class="time">{check.seconds:.1f} s</span></p>',
    ]
    if check.reason:
        quiet = "" if outcome == "broken" else " quiet"
        parts.append(f'<div class="reason{quiet}"><pre>{escape(check.reason)}</pre></div>')
    parts += [_note(note) for note in check.evidence]
    parts.append(_artefacts(check.artefacts))
    return f'<div class="checkrun">{"".join(parts)}</div>'


def _note(note: Mapping[str, Any]) -> str:
    what = f'<p class="what">{escape(str(note["what"]))}</p>' if note.get("what") else ""
    sides = "".join(
        f"<div><h3>{label}</h3><pre>{escape(_value(note[key])) if key in note else '—'}</pre></div>"
        for key, label in (("guest", "Guest says"), ("device", "Device saw"))
    )
    return f'{what}<div class="pair">{sides}</div>'


def _value(value: object) -> str:
    """Return a witness's words: a line a key, a line an entry of a list of records, else JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "\n".join(f"{key}: {entry if isinstance(entry, str) else _json(entry)}" for key, entry in value.items())
    if isinstance(value, list) and any(isinstance(entry, (dict, list)) for entry in value):
        return "\n".join(_json(entry) for entry in value)
    return _json(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _artefacts(artefacts: Sequence[Artefact]) -> str:
    if not artefacts:
        return ""
    items = "".join(f'<li><a href="{escape(item.path)}">{escape(item.name)}</a></li>' for item in artefacts)
    return f'<ul class="artefacts">{items}</ul>'


def _unclaimed(checks: Sequence[CheckResult]) -> str:
    if not checks:
        return ""
    return "<section><h2>Checks without a claim</h2>" + "".join(_check(check) for check in checks) + "</section>"


def _code(text: str) -> str:
    """Escape ``text`` and set its spans between backquotes as code."""
    parts = text.split("`")
    return "".join(f"<code>{escape(part)}</code>" if index % 2 else escape(part) for index, part in enumerate(parts))


def _css(word: str) -> str:
    return word.replace(" ", "-")
