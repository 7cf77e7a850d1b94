# SPDX-License-Identifier: BSD-3-Clause
"""``hilnic trace``: card and guest on one clock, while a guest's own driver receives and sends."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.timeline import perfetto
from harness.timeline.record import recorded
from harness.timeline.story import contradictions

if TYPE_CHECKING:
    from harness.lab import Lab

ROOT = Path(__file__).parents[2]
RUN_S = 150


def hilnic(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli", "trace", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S, check=False)


@pytest.mark.parametrize("engine", ["native", "python"])
def test_message_interrupt_softirq_poll_and_unmask_follow_each_other(lab: Lab, engine: str) -> None:
    bound = lab.bound(replace(lab.default, engine=engine))
    with bound.peer.answering(), recorded(bound, {"what": "ping"}) as recorder:
        bound.guest.run("ping -c5 -i0.2 198.18.0.2")
    line = recorder.line
    error = line.facts["error_ns"]
    assert line.facts["lost"] == {}
    assert error < 200_000
    assert list(contradictions(line)) == []
    polled = [arrow for arrow in line.arrows if not arrow.source.lane.title.endswith(" 0")]
    assert len(polled) >= 5
    for arrow in polled:
        message, hardirq = arrow.source, arrow.target
        assert message.begin_ns - error <= hardirq.begin_ns
        mine = [each for each in line.slices if each.lane == hardirq.lane and each.end_ns >= hardirq.end_ns]
        poll = next(each for each in mine if each.kind == "napi")
        around = [each for each in mine if each.name == "NET_RX" and each.begin_ns <= poll.begin_ns <= each.end_ns]
        assert len(around) == 1, "a poll lies in a softirq, which this interrupt or one just before it raised"
        assert poll.begin_ns - error <= message.end_ns, "EIMS is written in the poll, and the card hears of it later"


def test_a_card_that_loses_a_message_contradicts_nothing_and_one_that_invents_some_is_seen(lab: Lab) -> None:
    bound = lab.bound(lab.default)
    with recorded(bound, {"what": "spurious"}) as recorder:
        bound.card.spurious_interrupt(2)
        bound.guest.run("sleep 0.2")
    assert [each for each in contradictions(recorder.line) if "the card sent nothing" in each] != []


def test_a_command_is_recorded_shown_and_what_did_not_fit_is_told(tmp_path: Path) -> None:
    saved = tmp_path / "trace.json"
    done = hilnic("record", "-o", str(saved), "--buffer-kb", "64", "--", "sh", "-c", "ping -f -c400 198.18.0.2; exit 3")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "400 received" in done.stdout
    assert "exit status 3" in done.stdout
    assert "LOST, since buffers were full: CPU" in done.stdout
    assert "cannot be said: events were lost" in done.stdout
    assert json.loads(saved.read_text())["otherData"]["facts"]["lost"]
    shown = hilnic("show", str(saved), "--lane", "from the guest")
    assert shown.stdout.count("ICMP 198.18.0.1 → 198.18.0.2") >= 400
    assert len(perfetto.read(saved).marks) > 400


def test_nonsense_is_refused_before_a_guest_starts(tmp_path: Path) -> None:
    done = hilnic("record")
    assert (done.returncode, "must have a command of the guest after --, or Python" in done.stderr) == (2, True)
    done = hilnic("record", "--buffer-kb", "0", "--", "true")
    assert (done.returncode, "--buffer-kb must be 1 or more, not 0" in done.stderr) == (2, True)
    done = hilnic("show", str(tmp_path / "none.json"))
    assert (done.returncode, "must be a time line of hilnic trace record" in done.stderr) == (2, True)
