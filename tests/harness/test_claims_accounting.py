# SPDX-License-Identifier: BSD-3-Clause
"""Every claim is accounted for, and what a check cites is read off its source."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from harness import claims, docs
from harness.claims import State
from harness.errors import UsageError
from harness.spec import catalogue
from harness.spec.catalogue import Catalogue, Chapter, Claim, Priority

if TYPE_CHECKING:
    from pathlib import Path

P0 = Claim("RSS-03", Priority.P0, "title", "statement", "source", "guest", "device", "fault")
P1 = replace(P0, id="RSS-10", priority=Priority.P1)


def book(*entries: Claim) -> Catalogue:
    return Catalogue((Chapter("RSS", "Scaling", entries),))


def test_a_claim_is_checked_waived_todo_or_unaccounted() -> None:
    assert claims.state_of(P0, checked=True) is State.CHECKED
    assert claims.state_of(replace(P0, waived="why"), checked=False) is State.WAIVED
    assert claims.state_of(replace(P1, todo=True), checked=False) is State.TODO
    assert claims.state_of(P1, checked=False) is State.UNACCOUNTED


def test_a_must_claim_without_check_or_waiver_is_a_problem() -> None:
    [problem] = claims.accounting_problems(book(P0, replace(P1, todo=True)), {})
    assert problem == "RSS-03 (P0) must have a check or a waiver, and has none"
    assert claims.accounting_problems(book(P0), {"RSS-03": ["test_a"]}) == []


def test_a_claim_both_waived_and_checked_is_a_problem() -> None:
    [problem] = claims.accounting_problems(book(replace(P0, waived="why")), {"RSS-03": ["test_a"]})
    assert problem == "RSS-03 must be waived or checked, not both (test_a)"


def test_an_unknown_id_is_reported_with_the_check_and_the_nearest_id() -> None:
    [problem] = claims.unknown_ids(book(P0, P1), {"RSS-1": ["t.py::test_a"], "RSS-03": ["t.py::test_b"]})
    assert problem == "t.py::test_a: @claim must cite a known claim, not 'RSS-1' (nearest: RSS-10)"


def test_citations_are_read_without_importing(tmp_path: Path) -> None:
    source = tmp_path / "test_napi.py"
    source.write_text(
        "raise SystemExit\n"
        "pytestmark = claim('ROB-05')\n"
        "@claim('NAPI-02', 'NAPI-03')\n"
        "@pytest.mark.parametrize('n', [pytest.param(1, marks=claim('NAPI-07'))])\n"
        "def test_a(): ...\n"
        "@pytest.mark.claim('NAPI-01')\n"
        "def test_b(): ...\n"
        "def helper(): ...\n",
        encoding="utf-8",
    )
    found = [(citation.check, citation.claim_id) for citation in claims.citations([tmp_path])]
    assert found == [
        ("test_a", "ROB-05"), ("test_a", "NAPI-02"), ("test_a", "NAPI-03"), ("test_a", "NAPI-07"),
        ("test_b", "ROB-05"), ("test_b", "NAPI-01"),
    ]  # fmt: skip


def test_an_id_that_is_not_a_literal_is_refused_with_its_place(tmp_path: Path) -> None:
    source = tmp_path / "test_x.py"
    source.write_text("@claim(NAME)\ndef test_a(): ...\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"test_x\.py:1: @claim must name its ids literally, not NAME"):
        list(claims.citations_in(source))


@pytest.mark.parametrize("ids", [(), (3,)])
def test_the_mark_needs_ids(ids: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="must name one or more ids"):
        claims.claim(*ids)


def test_the_page_shows_state_and_checks_of_each_claim(tmp_path: Path) -> None:
    cited = [claims.Citation("RSS-03", tmp_path / "checks" / "test_rss.py", 7, "test_queue")]
    page = docs.claims_page(book(P0, replace(P1, waived="needs *two* cards")), cited, tmp_path)
    assert "- Checked by: `checks/test_rss.py::test_queue`" in page
    assert r"- State: waived, needs \*two\* cards" in page
    assert "| [RSS](#rss) | Scaling | 2 | 1 | 1 | 1 | 1 | 0 |" in page


def test_markdown_keeps_code_and_escapes_the_rest() -> None:
    assert docs.markdown("`a_*` __b_c <d>") == r"`a_*` \_\_b_c \<d\>"


def test_a_stale_page_is_told_and_rewritten(tmp_path: Path) -> None:
    page = docs.Page("docs/x.md", lambda: "new\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / page.path).write_text("old\n", encoding="utf-8")
    assert docs.stale(tmp_path, [page]) == [page]
    assert docs.regenerate(tmp_path, [page]) == ["docs/x.md"]
    assert docs.stale(tmp_path, [page]) == []


def test_the_generated_pages_are_what_hilnic_docs_writes() -> None:
    root = catalogue.SPEC_DIRECTORY.parent.parent
    assert [page.path for page in docs.stale(root, docs.pages(root, root / "harness" / "checks"))] == []


def test_no_check_of_the_repository_cites_an_unknown_claim() -> None:
    cited = {
        citation.claim_id: [citation.check]
        for citation in claims.citations([catalogue.SPEC_DIRECTORY.parent / "checks"])
    }
    assert claims.unknown_ids(catalogue.load(), cited) == []
