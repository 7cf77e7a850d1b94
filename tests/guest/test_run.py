# SPDX-License-Identifier: BSD-3-Clause
"""The main job as a user starts it: every must-claim on a real guest, its verdicts, its report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from guest_images.progress import Progress
from harness.setup.steps import browser
from tests.page.chromium import browsing

ROOT = Path(__file__).parents[2]
PHONE = (360, 740)
RUN_S = 1200


@pytest.mark.timeout(RUN_S + 60)
def test_every_must_claim_holds_and_the_report_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness.cli", "run", "--report", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    table = json.loads((tmp_path / "results.json").read_text())
    must = [claim for claim in table["claims"] if claim["priority"] == "P0"]
    assert len(must) == 80
    assert [claim["id"] for claim in must if claim["verdict"] != "held"] == []
    assert [claim["id"] for claim in must if not claim["evidence"]] == [], "both witnesses are on record"
    page = (tmp_path / "index.html").read_text()
    assert all(claim["id"] in page for claim in must)
    drawn = {claim["id"] for claim in must if any(check["plots"] for check in claim["checks"])}
    assert drawn >= {"ING-01", "TXC-01", "RSS-07", "BQL-02", "BQL-08", "NAPI-02", "NAPI-10"}
    assert page.count("<figure id=") == sum(len(check["plots"]) for claim in must for check in claim["checks"])
    with browsing(browser(os.environ, Progress(sys.stderr)), tmp_path) as tab:
        tab.resize(*PHONE, phone=True)
        tab.open(tmp_path / "index.html")
        assert tab.ask("document.documentElement.scrollWidth") == PHONE[0], "no sideways scrolling"
        assert tab.complaints == []
    suite = ET.parse(tmp_path / "junit.xml").getroot()  # noqa: S314 - our own file
    assert int(next(suite.iter("testsuite")).attrib["tests"]) >= len(must)
