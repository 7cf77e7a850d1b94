# SPDX-License-Identifier: BSD-3-Clause
"""``hilnic top`` on a card whose guest works: what it shows is what has happened, on both engines."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from guest_images.progress import Progress
from harness.deadline import Deadline, wait_until
from harness.emulator import CardOptions
from harness.setup.steps import tools
from harness.traffic import numbered_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.lab import Bound, Lab

ROOT = Path(__file__).parents[2]
TOP = (sys.executable, "-m", "harness.cli", "top")
STRANGER = bytes.fromhex("020000000099") + bytes(6) + b"\x88\xb5" + bytes(46)
COUNT = 120


def work(bound: Bound) -> Counter[str]:
    """Let frames pass both ways; return how many the card's events have on each queue, and its messages by vector."""
    agent = bound.guest.agent
    [flow] = bound.peer.flows(1)
    with bound.card.recording("FrameDelivered", "FrameEmitted", "FrameDropped", "InterruptSent") as seen:
        bound.peer.send(*numbered_frames(flow, COUNT), STRANGER, STRANGER)
        handle = agent.call("open_socket", kind="udp")
        agent.call("send_numbered", handle=handle, count=COUNT, size=100, address=["198.18.0.2", 9], cpus=[1])
        agent.call("close", handle=handle)
        seen.wait(COUNT, kind="FrameDelivered")
        seen.wait(COUNT, kind="FrameEmitted")
        seen.wait(2, kind="FrameDropped")
    names = {"FrameDelivered": "rx{queue}", "FrameEmitted": "tx{queue}", "InterruptSent": "vector{vector}"}
    names["FrameDropped"] = "{reason}"
    return Counter(names[event.kind].format(**event.fields) for event in seen.all())


def happened(looks: list[dict[str, Any]]) -> Counter[str]:
    """Return what rates over intervals come to."""
    found: Counter[str] = Counter()
    for look in looks:
        seconds = look["seconds"]
        for way in ("rx", "tx"):
            for queue in look[way]:
                found[f"{way}{queue['queue']}"] += round(queue["packets"] * seconds)
        for vector in look["vectors"]:
            found[f"vector{vector['vector']}"] += round(vector["sent"] * seconds)
        for reason, (rate, _total) in look["dropped"].items():
            found[reason] += round(rate * seconds)
    return found


@pytest.mark.parametrize("engine", ["native", "python"])
def test_the_rates_come_to_what_the_events_say(lab: Lab, engine: str) -> None:
    bound = lab.bound(CardOptions(engine=engine))
    command = [*TOP, "--control", bound.card.path, "--json", "--every", "0.4"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        looks: list[dict[str, Any]] = []
        try:
            first = json.loads(program.stdout.readline())
            expected = work(bound)
            deadline = Deadline.after(20)
            while not expected <= happened(looks):
                assert not deadline.passed, (expected, happened(looks))
                looks.append(json.loads(program.stdout.readline()))
        finally:
            program.send_signal(signal.SIGINT)
            program.wait(10)
        assert (program.returncode, program.stderr.read()) == (0, "")
    found = happened(looks)
    assert {name: found[name] for name in expected if name[:2] in ("rx", "ad")} == {
        name: count for name, count in expected.items() if name[:2] in ("rx", "ad")
    }
    assert expected["address"] == 2
    last = looks[-1]
    eitr = bound.card.registers("EITR[1]")["EITR[1]"]
    assert (last["vectors"][1]["interval_us"], last["link_mbps"]) == (eitr >> 2 & 0x1FFF, 1000)
    ring = bound.card.ring("rx", 0)
    assert (last["rx"][0]["owned"], last["rx"][0]["slots"]) == (
        (ring["tail"] - ring["head"]) % ring["count"], ring["count"],
    )  # fmt: skip
    assert first["interrupts"] == "msix"


@contextmanager
def terminal(folder: Path, command: list[str]) -> Iterator[Callable[..., str]]:
    """A tmux of our own, 110 columns by 40 lines, with ``command`` in it."""
    prefix = tools("tmux", ("tmux",), os.environ, Progress(sys.stderr))

    def tmux(*words: str) -> str:
        argv = prefix.argv("usr/bin/tmux", "-S", str(folder / "tmux"), "-f", "/dev/null", *words)
        return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True).stdout

    try:
        line = f"cd {ROOT}; {shlex.join(command)}; echo ended with $?; read wait"
        tmux("new-session", "-d", "-x", "110", "-y", "40", line)
        yield tmux
    finally:
        subprocess.run(
            prefix.argv("usr/bin/tmux", "-S", str(folder / "tmux"), "kill-server"), capture_output=True, check=False
        )


@pytest.mark.parametrize("key", ["q", "C-c"])
def test_the_screen_is_drawn_anew_until_it_is_ended(bound: Bound, tmp_path: Path, key: str) -> None:
    before = bound.card.totals()["dropped"].get("address", 0)
    with terminal(tmp_path, [*TOP, "--control", bound.card.path, "--every", "0.2"]) as tmux:

        def shows(*texts: str) -> str:
            def look() -> str | None:
                screen = tmux("capture-pane", "-p")
                return screen if all(text in screen for text in texts) else None

            return wait_until(look, Deadline.after(30), f"the screen showing {texts}")

        shows("link 1000 Mb/s  msix", "rx3", "tx3", "EITR")
        bound.peer.send(*[STRANGER] * 3)
        shows("dropped", f"{before + 3:>10}\n")
        tmux("send-keys", key)
        assert "ended with 0" in shows("ended with")


def test_a_guest_of_its_own_shows_its_byte_queue_limits() -> None:
    done = subprocess.run(
        [*TOP, "--once", "--every", "0.5"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("tx")]
    assert len(rows) == 4
    assert all(row[-1].isdigit() and row[-2].isdigit() for row in rows), rows
