# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C at any moment: a sentence, the status 130, and neither guest nor card nor a traceback left behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.deadline import Deadline, wait_until
from tests.guest.terminal import started

if TYPE_CHECKING:
    import subprocess

END_S = 30.0
SAYS_SO = "print('here', flush=True); guest.run('sleep 60')"


def of_session(leader: int) -> list[str]:
    """Return the command lines of what still runs in a session."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            session = int((place / "stat").read_text().rpartition(")")[2].split()[3])
            if session == leader and (words := (place / "cmdline").read_bytes()):
                found.append(words.replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def interrupted(process: subprocess.Popen[str], at: str) -> str:
    """Press Ctrl-C once the program has said ``at``; return all that it said."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if at in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    rest, _ = process.communicate(timeout=END_S)
    return "".join([*said, rest])


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("here", ["shell", "-c", SAYS_SO]),
        ("no screen", ["debug"]),
        ("here", ["trace", "record", "-o", "{folder}/t.json", "-c", SAYS_SO]),
        ("exploring", ["explore", "--json", "{folder}/e.json", "--schedules", "50"]),
        ("EGR-16", ["run", "--claims", "EGR-16", "--report", "{folder}"]),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_ctrl_c_ends_everything_with_a_sentence(tmp_path: Path, at: str, words: list[str]) -> None:
    with started(*(word.format(folder=tmp_path) for word in words)) as process:
        said = interrupted(process, at)
        assert at in said, said
        assert "interrupted" in said.lower(), said
        assert "Traceback" not in said, said
        assert process.returncode == 130, said
        wait_until(lambda: not of_session(process.pid), Deadline.after(5), "the end of guest and card")
