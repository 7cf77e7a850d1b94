# SPDX-License-Identifier: BSD-3-Clause
"""The catalogue of claims is whole, and its loader refuses what is not well formed with the file and the value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.errors import UsageError
from harness.spec import catalogue
from harness.spec.catalogue import Departure, KernelRange, Peer, Priority, Severity

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = {
    "id": "RSS-03", "priority": "P0", "title": "t", "statement": "s", "source": "f",
    "guest_witness": "g", "device_witness": "d", "fault": "x",
}  # fmt: skip


def spec(
    directory: Path, *entries: dict[str, str], head: str = 'area = "RSS"\nchapter = "c"\n', name: str = "rss"
) -> Path:
    tables = ["[[claim]]\n" + "".join(f'{key} = "{value}"\n' for key, value in entry.items()) for entry in entries]
    (directory / f"{name}.toml").write_text(head + "\n".join(tables), encoding="utf-8")
    return directory


def test_all_claims_are_there_with_their_priorities() -> None:
    book = catalogue.load()
    counts = {chapter.area: len(chapter.claims) for chapter in book.chapters}
    assert len(book) == sum(counts.values()) == 251
    assert [sum(claim.priority is priority for claim in book) for priority in Priority] == [80, 140, 31]
    assert tuple(counts) == catalogue.AREAS
    assert (counts["IRQ"], counts["BQL"], counts["EGR"], counts["DEV"]) == (22, 20, 24, 25)


def test_every_statement_is_one_sentence_and_no_two_are_alike() -> None:
    statements = [claim.statement for claim in catalogue.load()]
    assert len(set(statements)) == len(statements)
    assert [text for text in statements if not text.endswith(".") or ". " in text] == []


def test_a_well_formed_entry_is_read_whole(tmp_path: Path) -> None:
    [claim] = catalogue.load(spec(tmp_path, ENTRY | {"kernels": ">=6.12,<7", "waived": "no card"}))
    assert (claim.id, claim.area, claim.priority, claim.fault) == ("RSS-03", "RSS", Priority.P0, "x")
    assert (claim.kernels.text, claim.waived, claim.todo) == (">=6.12,<7", "no card", False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prio": "P0"}, "key must be one of .*, not 'prio'"),
        ({"priority": "P7"}, "priority must be P0, P1 or P2, not 'P7'"),
        ({"id": "NAPI-03"}, "id must look like RSS-07, not 'NAPI-03'"),
        ({"id": "RSS-3"}, "id must look like RSS-07, not 'RSS-3'"),
        ({"fault": " "}, "fault must be a text that is not empty, not ' '"),
        ({"state": "done"}, "state must be 'todo' or absent, not 'done'"),
        ({"state": "todo"}, "state of a P0 claim must be absent .*, not 'todo'"),
        ({"priority": "P1", "state": "todo", "waived": "w"}, r"must be todo or waived, not both \('w'\)"),
        ({"kernels": "6.12+"}, r"kernels: a kernel bound must look like >=6.12, not '6.12\+'"),
    ],
)
def test_a_malformed_entry_is_refused_with_file_and_value(tmp_path: Path, change: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=rf"rss\.toml: .*{message}"):
        catalogue.load(spec(tmp_path, ENTRY | change))


DEPARTURE = ENTRY | {"id": "DEV-03", "priority": "P1", "severity": "H", "peer": "fails"}
DEV = 'area = "DEV"\nchapter = "c"\n'


def test_a_departure_says_who_sees_it_and_how_the_peer_comes_out(tmp_path: Path) -> None:
    [claim] = catalogue.load(spec(tmp_path, DEPARTURE, head=DEV, name="dev"))
    assert claim.departure == Departure(Severity.HIGH, Peer.FAILS)


@pytest.mark.parametrize(
    ("severity", "peer", "must"),
    [("H", "fails", True), ("H", "holds", False), ("H", "cannot be told", False), ("M", "fails", False)],
)
def test_only_what_linux_sees_of_a_peer_that_fails_must_be_told(severity: str, peer: str, must: bool) -> None:
    assert Departure(Severity(severity), Peer(peer)).must_be_told is must


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"severity": "X"}, "severity must be one of H, M, L, not 'X'"),
        ({"severity": ""}, "severity must be a text that is not empty, not ''"),
        ({"peer": "wins"}, "peer must be one of fails, holds, cannot be told, not 'wins'"),
        ({"peer": None}, "peer must be one of fails, holds, cannot be told, not ''"),
        ({"peer": None, "severity": None}, "severity and peer must be in DEV, and nowhere else"),
    ],
)
def test_a_malformed_departure_is_refused(tmp_path: Path, change: dict[str, str | None], message: str) -> None:
    entry = {key: value for key, value in (DEPARTURE | change).items() if value is not None}
    with pytest.raises(UsageError, match=rf"dev\.toml: DEV-03: {message}"):
        catalogue.load(spec(tmp_path, entry, head=DEV, name="dev"))


def test_a_departure_outside_its_area_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="RSS-03: severity and peer must be in DEV, and nowhere else"):
        catalogue.load(spec(tmp_path, ENTRY | {"severity": "H", "peer": "fails"}))


def test_every_departure_of_the_review_is_a_claim() -> None:
    chapter = catalogue.load().chapter("DEV")
    assert [claim.id for claim in chapter.claims] == [f"DEV-{number:02}" for number in range(1, 26)]
    assert {claim.id for claim in chapter.claims if claim.waived} == {"DEV-10", "DEV-20"}


def test_an_id_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be unique, not 'RSS-03' again"):
        catalogue.load(spec(tmp_path, ENTRY, ENTRY))


def test_a_missing_field_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="RSS-03: source must be a text that is not empty, not None"):
        catalogue.load(spec(tmp_path, {key: value for key, value in ENTRY.items() if key != "source"}))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ('area = "RSX"\nchapter = "c"\n', "area must be one of .*, not 'RSX'"),
        ('area = "TX"\nchapter = "c"\n', "area must be 'RSS' as the file is named, not 'TX'"),
        ('area = "RSS"\nchapter = "c"\nversion = 1\n', "not 'version'"),
        ('area = "RSS\n', "must be a readable TOML file"),
    ],
)
def test_a_malformed_head_is_refused(tmp_path: Path, head: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        catalogue.load(spec(tmp_path, ENTRY, head=head))


def test_an_empty_directory_is_no_catalogue(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must hold at least one"):
        catalogue.load(tmp_path)


@pytest.mark.parametrize(("wrong", "nearest"), [("RSS-3", "RSS-03"), ("rss-03", "RSS-03"), ("NAPY-02", "NAPI-02")])
def test_an_unknown_id_is_answered_with_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=f"not '{wrong}' \\(nearest: {nearest}\\)"):
        catalogue.load().get(wrong)


@pytest.mark.parametrize(
    ("bounds", "release", "admitted"),
    [
        (">=6.12,<7", "6.12.107+deb13-amd64", True),
        (">=6.12,<7", "7.3.4-1~bpo13+1", False),
        (">=6.12,<7", "6.11.2", False),
        (">6.12", "6.12.107", False),
        ("<=6.12", "6.12.107", True),
        ("==6.12", "6.12.1", True),
        ("", "5.10.0", True),
    ],
)
def test_kernel_bounds_compare_the_digits_they_state(bounds: str, release: str, admitted: bool) -> None:
    assert KernelRange(bounds).admits(release) is admitted


def test_a_release_without_a_number_is_refused() -> None:
    with pytest.raises(UsageError, match="must begin with a number, not 'next'"):
        KernelRange(">=6").admits("next")
