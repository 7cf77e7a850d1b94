# SPDX-License-Identifier: BSD-3-Clause
"""A check that fails is run once more for its bundle, and nobody counts that; in a lab made of files."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.test_report_run import Finished, start

if TYPE_CHECKING:
    from pathlib import Path

CHECKS = """
import contextlib, dataclasses
import pytest
from harness.bundle.again import AGAIN
from harness.claims import claim
from harness.emulator import CardOptions

class FakeLab:
    def __init__(self, folder):
        self.folder, self.default, self.cards, self.guests, self.shut_times = folder, CardOptions(), 0, 0, 0

    def shut(self):
        self.shut_times += 1

    def facts(self):
        return {"kernel": "6.12"}

    def plug(self):
        self.cards += 1
        place = self.folder / f"card-{self.cards}"
        place.mkdir()
        (place / "emulator.argv").write_text("python")
        if self.default.log:
            (place / "bundle.log").write_bytes(b"a log")

@pytest.fixture(scope="session")
def session_lab(tmp_path_factory):
    return FakeLab(tmp_path_factory.mktemp("lab"))

@pytest.fixture
def lab(session_lab, run_facts, request):
    again = request.node.stash.get(AGAIN, None)
    with again.recorded(session_lab, run_facts) if again else contextlib.nullcontext():
        yield session_lab

@claim("RSS-03")
def test_fails(lab, evidence):
    lab.plug()
    evidence.on_failure("what", lambda: "words")
    assert lab.default.log == 7

RUNS = []

@claim("TX-01")
def test_fails_once(lab):
    lab.plug()
    RUNS.append(1)
    assert len(RUNS) > 1

@claim("NAPI-02")
def test_uses_no_lab():
    raise AssertionError("of its own")

@claim("TX-02")
def test_has_a_card_without_a_log(lab):
    raise AssertionError("no card at all")

@claim("NAPI-03")
def test_holds(lab):
    lab.plug()
    assert not lab.default.log
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return start(tmp_path_factory.mktemp("run"), CHECKS, every_claim=True, bundles=True)


def kept(finished: Finished, claim_id: str) -> dict[str, Path]:
    [check] = finished.claim(claim_id)["checks"]
    return {item["name"]: finished.report / item["path"] for item in check["artefacts"]}


def manifest(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as found:
        told: dict[str, Any] = json.loads(found.read("manifest.json"))
    return told


def test_the_bundle_lies_beside_what_the_check_left_behind(finished: Finished) -> None:
    found = kept(finished, "RSS-03")
    assert set(found) == {"what", "traceback-call", "bundle.zip"}
    told = manifest(found["bundle.zip"])
    assert (told["check"]["claims"], told["check"]["repetition"]) == (["RSS-03"], "failed")
    assert told["check"]["reason"].startswith("AssertionError: assert False == 7")
    assert (told["cards"], told["versions"]["kernel"]) == ([{"number": 2, "argv": ["python"]}], "6.12")
    with zipfile.ZipFile(found["bundle.zip"]) as zipped:
        assert zipped.read("card-2/card.log") == b"a log"
        assert zipped.read("again/what.txt") == zipped.read("check/what.txt") == b"words"
    assert not (found["bundle.zip"].parent / "again").exists()


def test_a_repetition_that_passes_is_named_so(finished: Finished) -> None:
    found = kept(finished, "TX-01")
    assert manifest(found["bundle-of-a-repetition-that-passed.zip"])["check"]["repetition"] == "passed"
    assert finished.claim("TX-01")["verdict"] == "broken", "the first time counts"


def test_why_there_is_none_is_said(finished: Finished) -> None:
    assert "the check uses no card of the lab" in kept(finished, "NAPI-02")["no-bundle"].read_text()
    assert "no card at all" in kept(finished, "TX-02")["no-bundle"].read_text()


def test_a_check_that_holds_has_none_and_is_not_recorded(finished: Finished) -> None:
    assert finished.claim("NAPI-03")["verdict"] == "held"
    assert kept(finished, "NAPI-03") == {}


def test_nobody_counts_the_repetition(finished: Finished) -> None:
    suite = ET.parse(finished.report / "junit.xml").getroot().find("testsuite")  # noqa: S314 - our own file
    assert suite is not None
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("5", "4")
    assert finished.output.count("= FAILURES =") == 1
    assert "4 failed, 1 passed" in finished.output


def test_the_table_and_the_page_name_it(finished: Finished) -> None:
    assert "test_fails/bundle.zip" in finished.output
    assert 'bundle.zip">bundle.zip</a>' in (finished.report / "index.html").read_text()


def test_without_being_asked_for_there_is_none(tmp_path: Path) -> None:
    done = start(tmp_path, CHECKS, every_claim=True)
    assert "bundle" not in " ".join(kept(done, "RSS-03"))
