# SPDX-License-Identifier: BSD-3-Clause
"""The same script gives the same story: two cards, one after the other, without a guest."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.card import Card
from harness.checks.scripted import BASE, SIZE, VECTORS, ScriptedDriver
from harness.claims import claim
from harness.emulator import CardOptions, CardProcess, CardSockets
from harness.vfio_user import ScriptedHost

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.plugin import RunOptions

STEPS = 120
SEEDS = (7, 8)


def story(folder: Path, options: CardOptions, seed: int) -> tuple[list[str], list[list[int]]]:
    """Run the script of ``seed`` against a new card; return its events without times, and the messages of each step."""
    with tempfile.TemporaryDirectory(prefix="hilnic-") as short:
        sockets = CardSockets(*(Path(short) / name for name in ("vfio", "control", "wire", "peer")))
        with CardProcess(options, sockets, folder) as process:
            process.wait_ready()
            with Card(sockets.control) as card:
                return told(card, sockets, seed)


def told(card: Card, sockets: CardSockets, seed: int) -> tuple[list[str], list[list[int]]]:
    """Do the work of ``story``."""
    card.rate("unlimited")
    card.call("record", kinds=None)
    with card.recording() as seen, ScriptedHost(sockets.vfio_user, SIZE, BASE, VECTORS) as host:
        driver = ScriptedDriver(host, card, seen, seed)
        driver.up()
        for _ in range(STEPS):
            driver.step()
        events = [str(event).partition(" ")[2] for event in seen.all()]
    return events, driver.messages


@claim("ROB-07")
@pytest.mark.one_queue
def test_same_seed_gives_the_same_story(run_options: RunOptions, evidence: Evidence) -> None:
    """120 steps that receive, send, hold, withhold and release, as the seed picks; another seed must differ.

    Compared are all events of the card, DMA and register accesses too, but for their times, and the messages that came.
    """
    options = CardOptions(patches=(run_options.card_patch,) if run_options.card_patch else ())
    folder = run_options.report / "lab" / "scripted"
    shutil.rmtree(folder, ignore_errors=True)
    first, second, other = (
        story(folder / str(number), options, seed) for number, seed in enumerate((SEEDS[0], SEEDS[0], SEEDS[1]))
    )
    digests = [hashlib.sha256("\n".join(told).encode()).hexdigest()[:16] for told, _ in (first, second, other)]
    evidence.note(
        guest={"messages by vector": [sum(column) for column in zip(*first[1], strict=True)]},
        device={"events": len(first[0]), "digests": digests},
    )
    differing = [(at, pair) for at, pair in enumerate(zip(first[0], second[0], strict=False)) if len(set(pair)) > 1]
    assert differing[:1] == []
    assert first == second
    assert other[0] != first[0]
    assert len(first[0]) > 1000
    assert sum(sum(row) for row in first[1]) > STEPS // 2
