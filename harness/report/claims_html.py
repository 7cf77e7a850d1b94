# SPDX-License-Identifier: BSD-3-Clause
"""One claim on the page: what it says, what both witnesses were asked and said, pictures, the evidence of a failure."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

from harness.claims import State
from harness.report.results import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.report.figures_html import Picture
    from harness.report.results import Artefact, CheckResult, ClaimResult

FIRST_ARTEFACTS = ("traceback-call", "bundle.zip", "console", "events", "rings", "wire.pcapng", "dmesg")
"""What a reader of a failure wants first."""

MARKS = {Outcome.PASSED: "held", Outcome.FAILED: "broken"}


def word(result: ClaimResult) -> str:
    """Return the word for a claim: its verdict, or "todo" where there is no check yet."""
    return "todo" if result.state is State.TODO else result.verdict.value


def kind(result: ClaimResult) -> str:
    """Return the word under which a claim is counted: one that the plugged card cannot answer was not run."""
    return Verdict.NOT_RUN.value if result.verdict is Verdict.NOT_COMPARABLE else word(result)


def claim(result: ClaimResult, pictures: Mapping[str, Sequence[Picture]]) -> str:
    """Return the claim as an element that folds."""
    own, verdict = result.claim, word(result)
    seconds = sum(check.seconds for check in result.checks)
    drawn = sum(len(pictures.get(check.nodeid, ())) for check in result.checks)
    summary = (
        f'<span class="verdict {css(result.verdict.value)}">{escape(verdict)}</span>'
        f'<span class="id">{escape(own.id)}</span>'
        f'<span class="priority">{own.priority.value}</span><span class="title">{escape(own.title)}</span>'
        f'<span class="drawn">{_counted(drawn)}</span>'
        f'<span class="time">{f"{seconds:.1f} s" if result.checks else ""}</span>'
    )
    facts = [("Source", own.source), ("Must turn it red", own.fault)]
    facts += [("Kernels", own.kernels.text)] if own.kernels.text else []
    parts = [f'<p class="statement">{code(own.statement)}</p>']
    if result.reason and result.state is not State.TODO and not any(check.reason for check in result.checks):
        parts.append(_reason(result.reason, broken=result.verdict is Verdict.BROKEN))
    parts += [
        '<dl class="about">' + "".join(f"<dt>{name}</dt><dd>{code(text)}</dd>" for name, text in facts) + "</dl>",
        _pair("is asked", f"<p>{code(own.guest_witness)}</p>", f"<p>{code(own.device_witness)}</p>", "asked"),
        *(check(each, pictures.get(each.nodeid, ())) for each in result.checks),
    ]
    is_open = " open" if result.verdict is Verdict.BROKEN else ""
    data = f'data-area="{escape(own.area)}" data-verdict="{escape(kind(result))}" data-priority="{own.priority.value}"'
    opening = f'<details class="claim" id="{escape(own.id)}" {data}{is_open}><summary>{summary}</summary>'
    body = "\n".join(parts)
    return f'{opening}<div class="body">\n{body}\n</div></details>'


def check(result: CheckResult, pictures: Sequence[Picture] = ()) -> str:
    """Return one check: how it looks, how it ended, what was said, what was drawn, what was kept."""
    mark = MARKS.get(result.outcome, "not-run")
    parts = [
        f'<p class="run"><span class="verdict {mark}">{escape(result.outcome.value)}</span>',
        f" <code>{escape(result.nodeid.rpartition('/')[2])}</code>",
        f' <span class="time">{result.seconds:.1f} s</span></p>',
    ]
    parts += [f'<p class="how">{code(" ".join(part.split()))}</p>' for part in result.how.split("\n\n") if part]
    if result.reason:
        parts.append(_reason(result.reason, broken=mark == "broken"))
    parts.append(artefacts(result.artefacts))
    parts += [_note(note) for note in result.evidence]
    if pictures:
        parts.append('<div class="pictures">' + "".join(picture.reference for picture in pictures) + "</div>")
    return f'<div class="checkrun">{"".join(parts)}</div>'


def artefacts(kept: Sequence[Artefact]) -> str:
    """Return links to what was kept, what helps most first."""
    if not kept:
        return ""
    order = {name: place for place, name in enumerate(FIRST_ARTEFACTS)}
    ordered = sorted(kept, key=lambda item: order.get(item.name, len(order)))
    items = "".join(f'<li><a href="{escape(item.path)}">{escape(item.name)}</a></li>' for item in ordered)
    return f'<ul class="artefacts">{items}</ul>'


def code(text: str) -> str:
    """Escape ``text`` and set its spans between backquotes as code."""
    parts = text.replace("``", "`").split("`")
    return "".join(f"<code>{escape(part)}</code>" if index % 2 else escape(part) for index, part in enumerate(parts))


def css(text: str) -> str:
    """Return words as the name of a class."""
    return text.replace(" ", "-")


def _counted(pictures: int) -> str:
    return "" if not pictures else "1 picture" if pictures == 1 else f"{pictures} pictures"


def _reason(text: str, *, broken: bool) -> str:
    return f'<div class="reason{"" if broken else " quiet"}"><pre>{escape(text)}</pre></div>'


def _note(note: Mapping[str, Any]) -> str:
    what = f'<p class="what">{escape(str(note["what"]))}</p>' if note.get("what") else ""
    sides = [f"<pre>{escape(_value(note[key])) if key in note else '—'}</pre>" for key in ("guest", "device")]
    return what + _pair("says", *sides)


def _pair(verb: str, guest: str, device: str, kind: str = "said") -> str:
    """Return both witnesses side by side, each under its name."""
    sides = "".join(
        f'<div class="{witness.lower()}"><h4>{witness} {verb}</h4>{words}</div>'
        for witness, words in (("Guest", guest), ("Device", device))
    )
    return f'<div class="pair {kind}">{sides}</div>'


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
