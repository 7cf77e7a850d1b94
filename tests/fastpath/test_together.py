# SPDX-License-Identifier: BSD-3-Clause
"""A native card with helpers is the card without them; no two threads touch the same without an order."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from emulator.assembly import Options, assemble
from emulator.errors import UsageError
from emulator.families import FAMILIES
from emulator.fastpath import build
from emulator.fastpath.engine import Engine
from harness.engine_build import Mistake, python_includes
from tests.fastpath.other_build import drive as drive_build
from tests.fastpath.same import drive

if TYPE_CHECKING:
    from pathlib import Path

THREADS = 3
RACE = "WARNING: ThreadSanitizer: data race"


def sanitizer() -> dict[str, str]:
    """Return the environment in which Python runs an engine that was built with ThreadSanitizer."""
    asked = ["cc", "-print-file-name=libtsan.so"]
    library = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    assert library.startswith("/"), "the compiler must bring libtsan"
    return {"LD_PRELOAD": library, "TSAN_OPTIONS": "halt_on_error=1 exitcode=66"}


@pytest.mark.parametrize("seed", range(12))
def test_chosen_steps_leave_model_and_team_alike(seed: int) -> None:
    pair = drive(seed, 500, threads=THREADS)
    assert pair.native.engine.e.together > 0, "nothing was carried together"


def test_no_two_threads_race(tmp_path: Path) -> None:
    """Steps with maps and unmaps between them, on a build with ThreadSanitizer."""
    made = build.build(python_includes(), "thread", tmp_path)
    done = drive_build(made, 4000, sanitizer(), THREADS)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


RACES = {
    "a counter of one lane is every lane's": Mistake(
        "lanes.c", "lane->segmented += p->segmented;", "e->lanes[0].segmented += p->segmented;"
    ),
    "the caller does not wait": Mistake(
        "team.c", "&t->left, memory_order_acquire) != 0", "&t->left, memory_order_acquire) > 9"
    ),
}


@pytest.mark.parametrize("name", RACES)
def test_a_race_is_noticed(name: str, tmp_path: Path) -> None:
    made = RACES[name].build(tmp_path, sanitize="thread")
    done = drive_build(made, 12_000, sanitizer(), THREADS)
    assert RACE in done.stderr, done.stdout[-500:] + done.stderr[-2000:]


DIFFERENT = {
    "packets leave queue by queue": Mistake(
        "lanes.c", "if (lanes[n]->next < lanes[n]->count) {", "while (lanes[n]->next < lanes[n]->count) {"
    ),
    "room is counted once": Mistake("lanes.c", "lane->taken += fp_rx_buffers(e, f);", ";"),
    "short frames stay short": Mistake("lanes.c", "if (f->size < SHORTEST) {", "if (f->size < FP_FRAME_MIN) {"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_another_card_is_told_apart(name: str, tmp_path: Path) -> None:
    done = drive_build(DIFFERENT[name].build(tmp_path, "-O0"), 12_000, threads=THREADS)
    assert "differ" in done.stdout, done.stdout[-500:] + done.stderr[-2000:]


def test_helpers_come_and_go() -> None:
    engine = Engine()
    try:
        for threads in (2, 16, 1, 4, 4):
            assert engine.lib.fp_set_threads(engine.e, threads)
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("threads", "engine", "sentence"),
    [
        (0, "native", "threads must be 1 to 16, not 0"),
        (17, "native", "threads must be 1 to 16, not 17"),
        (2, "python", "threads must have the native engine, not python"),
    ],
)
def test_impossible_threads_are_refused(threads: int, engine: str, sentence: str, tmp_path: Path) -> None:
    options = Options(socket=tmp_path / "card", wire="null", engine=engine, threads=threads)
    with ExitStack() as undo, pytest.raises(UsageError, match=sentence):
        assemble(options, FAMILIES["82576"], undo)
