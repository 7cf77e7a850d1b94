# SPDX-License-Identifier: BSD-3-Clause
"""The verbs ``claims`` and ``explain``: what is claimed, how it is checked, and what the last run saw of it."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness import claims, run
from harness.errors import UsageError
from harness.options import last_report
from harness.report import results
from harness.report.results import ExitStatus
from harness.spec import catalogue
from harness.verb import Verb

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from harness.claims import Citation
    from harness.report.terminal import Progress
    from harness.spec.catalogue import Catalogue, Chapter, Claim

WIDTH = 100
MARGIN = 14
"""Columns of a label in front of its text."""

WITNESS_LINES = 20
"""Lines that a witness gets; results.json has all."""


@dataclass(frozen=True, slots=True)
class Known:
    """The claims, the checks that cite them, and what the last run found, by claim id; empty without a run."""

    book: Catalogue
    cited: Mapping[str, Sequence[Citation]]
    facts: Mapping[str, Any]
    found: Mapping[str, Mapping[str, Any]]

    def state(self, claim: Claim) -> str:
        """Return where the claim stands, whatever has run."""
        return claims.state_of(claim, checked=claim.id in self.cited).value

    def verdict(self, claim: Claim) -> str | None:
        """Return the verdict of the last run, or None when that did not mean to judge the claim."""
        found = self.found.get(claim.id)
        return str(found["verdict"]) if found else None


def known(book: Catalogue, report: Path) -> Known:
    """Put together what is known; ``report`` is the folder of the last run, which need not exist."""
    cited: dict[str, list[Citation]] = {}
    for citation in claims.citations([run.CHECKS]):
        cited.setdefault(citation.claim_id, []).append(citation)
    unknown = claims.unknown_ids(book, {claim_id: [each.node for each in checks] for claim_id, checks in cited.items()})
    if unknown:
        raise UsageError(unknown[0])
    path = report / "results.json"
    table = results.read(path) if path.is_file() else {"facts": {}, "claims": []}
    found = {entry["id"]: entry for entry in table["claims"] if entry["selected"]}
    return Known(book, cited, table["facts"], found)


def chosen(book: Catalogue, words: Sequence[str]) -> list[tuple[Chapter, list[Claim]]]:
    """Return the claims that ``words`` name, areas or ids in any case, by chapter; all without words."""
    areas = {chapter.area for chapter in book.chapters}
    wanted = [word.strip().upper() for part in words for word in part.split(",") if word.strip()]
    ids = {book.get(word).id for word in wanted if word not in areas and "-" in word}
    named = {book.chapter(word).area for word in wanted if "-" not in word}
    by_chapter = [
        (each, [claim for claim in each.claims if not wanted or each.area in named or claim.id in ids])
        for each in book.chapters
    ]
    return [(chapter, own) for chapter, own in by_chapter if own]


def as_json(claim: Claim, what: Known) -> dict[str, object]:
    """Return a claim as data; ``verdict`` and ``evidence`` are None where the last run did not judge it."""
    found = what.found.get(claim.id)
    return {
        "id": claim.id,
        "priority": claim.priority.value,
        "state": what.state(claim),
        "verdict": what.verdict(claim),
        "checks": [each.node for each in what.cited.get(claim.id, ())],
        "evidence": list(found["evidence"]) if found else None,
        "title": claim.title,
        "statement": claim.statement,
        "source": claim.source,
        "guest_witness": claim.guest_witness,
        "device_witness": claim.device_witness,
        "fault": claim.fault,
        "kernels": claim.kernels.text,
        "waived": claim.waived,
        "severity": claim.departure.severity.value if claim.departure else "",
        "peer": claim.departure.peer.value if claim.departure else "",
    }


def listing(words: Sequence[str], what: Known) -> Iterator[str]:
    """Yield the claims, a line each: priority, where it stands, what the last run found, title."""
    shown = chosen(what.book, words)
    for chapter, own in shown:
        yield f"{chapter.area}  {chapter.title}"
        for claim in own:
            verdict = what.verdict(claim) or ""
            yield f"  {claim.id:8} {claim.priority.value}  {what.state(claim):12} {verdict:8} {claim.title}"
    everything = [claim for _, own in shown for claim in own]
    must = [claim for claim in everything if claim.priority.value == "P0"]
    checked = sum(claim.id in what.cited for claim in must)
    yield f"{len(everything)} claims, {len(must)} of them P0; {checked} P0 claims have a check"


def in_json(words: Sequence[str], what: Known) -> str:
    """Return the claims as JSON."""
    return json.dumps([as_json(claim, what) for _, own in chosen(what.book, words) for claim in own], indent=1)


def explained(claim: Claim, what: Known) -> Iterator[str]:
    """Yield all there is to say of one claim: the specification, how it is checked, what the last run saw."""
    yield f"{claim.id} ({claim.priority.value}, {what.state(claim)})  {claim.title}"
    yield ""
    yield textwrap.fill(claim.statement, WIDTH)
    yield ""
    facts = {
        "Source": claim.source,
        "Guest": claim.guest_witness,
        "Device": claim.device_witness,
        "Turns it red": claim.fault,
        "Kernels": claim.kernels.text,
        "Waived": claim.waived,
        "Severity": claim.departure.severity.value if claim.departure else "",
        "QEMU's igb": claim.departure.peer.value if claim.departure else "",
    }
    yield from (_labelled(label, text) for label, text in facts.items() if text)
    for citation in what.cited.get(claim.id, ()):
        yield ""
        yield _labelled("Check", citation.node)
        for paragraph in citation.doc.split("\n\n"):
            yield from [_labelled("", " ".join(paragraph.split()))] if paragraph else []
    yield ""
    yield from _last_run(claim, what)


def _last_run(claim: Claim, what: Known) -> Iterator[str]:
    found = what.found.get(claim.id)
    if found is None:
        yield _labelled("Last run", "did not judge it" if what.facts else "there is none in the report's folder")
        return
    when = ", ".join(str(what.facts[key]) for key in ("started", "kernel") if key in what.facts)
    yield _labelled("Last run", f"{found['verdict']}" + (f" ({when})" if when else ""))
    if not found["checks"] and found["reason"]:
        yield _labelled("", found["reason"])
    for check in found["checks"]:
        yield _labelled("", f"{check['outcome']}  {check['nodeid'].rpartition('/')[2]}  {check['seconds']:.1f} s")
        yield from (_indented(line, 2) for line in check["reason"].splitlines())
        for note in check["evidence"]:
            yield from [_indented(f"{note['what']}:", 2)] if "what" in note else []
            yield from _witness("guest", note)
            yield from _witness("device", note)
        kept = [artefact["path"].rpartition("/") for artefact in check["artefacts"]]
        yield from [_indented(f"kept in {kept[0][0]}: {', '.join(name for *_, name in kept)}", 2)] if kept else []


def _witness(name: str, note: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a witness said, a line a key; long lines are folded and long tales are cut."""
    if name not in note:
        return
    said = note[name]
    entries = [f"{key}: {_text(value)}" for key, value in said.items()] if isinstance(said, dict) else [_text(said)]
    folded = [line for entry in entries for line in textwrap.wrap(entry, WIDTH - MARGIN - 10, subsequent_indent="  ")]
    if len(folded) > WITNESS_LINES:
        folded = [*folded[:WITNESS_LINES], f"… {len(folded) - WITNESS_LINES} lines more in results.json"]
    for label, line in zip([name, *[""] * len(folded)], folded, strict=False):
        yield _indented(f"{label:8}{line}", 2)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _labelled(label: str, text: str) -> str:
    head = f"{label + ':' if label else '':{MARGIN}}"
    return textwrap.fill(f"{head}{text}", WIDTH, subsequent_indent=" " * MARGIN)


def _indented(text: str, more: int) -> str:
    return " " * (MARGIN + more) + text


def declare_claims(verb: argparse.ArgumentParser) -> None:
    """Declare the options of ``claims``."""
    verb.add_argument("what", nargs="*", metavar="AREA|ID", help="only these, such as RSS or NAPI-02")
    verb.add_argument("--area", default="", help="only this area, such as RSS")
    verb.add_argument("--json", action="store_true", help="as JSON, with every field; verdict and evidence may be null")
    last_report(verb)


def list_claims(arguments: argparse.Namespace, _progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """List the claims that the options name."""
    book = catalogue.load()
    words = [*arguments.what, *([book.chapter(arguments.area).area] if arguments.area else [])]
    what = known(book, arguments.report)
    for line in [in_json(words, what)] if arguments.json else listing(words, what):
        say(line)
    return ExitStatus.HOLDS


def declare_explain(verb: argparse.ArgumentParser) -> None:
    """Declare the options of ``explain``."""
    verb.add_argument("claim", metavar="ID", help="such as RSS-03")
    last_report(verb)


def explain(arguments: argparse.Namespace, _progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """Print one claim in full."""
    book = catalogue.load()
    for line in explained(book.get(arguments.claim.upper()), known(book, arguments.report)):
        say(line)
    return ExitStatus.HOLDS


CLAIMS = Verb(
    "claims",
    "list the claims",
    "List the claims, where each stands, and what the last run found.",
    declare_claims,
    list_claims,
)
EXPLAIN = Verb(
    "explain",
    "explain one claim",
    "Print one claim in full, how it is checked, and what the last run saw of it.",
    declare_explain,
    explain,
)
