# SPDX-License-Identifier: BSD-3-Clause
"""The native engine is the card that the model describes: same inputs, same memory, frames, interrupts and events."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device_model.igb.spec.interrupts import EIMC, EIMS
from device_model.ports import InterruptMode
from emulator.fastpath import build, generate
from tests.fastpath.pair import Differ, Pair, Step, next_step
from tests.fastpath.same import drive

if TYPE_CHECKING:
    from random import Random

ROOT = Path(__file__).parents[2]
CORPUS = [int(line) for line in Path(__file__).with_name("corpus.txt").read_text().splitlines() if line.isdigit()]


@pytest.mark.parametrize("seed", [*range(8), *CORPUS])
def test_chosen_steps_leave_both_cards_alike(seed: int) -> None:
    drive(seed, 500)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.randoms(use_true_random=False), st.sampled_from(list(InterruptMode)))
def test_any_steps_leave_both_cards_alike(choose: Random, mode: InterruptMode) -> None:
    pair = Pair(mode)
    for _ in range(25):
        pair.step(next_step(pair, choose))
    pair.compare_registers()


def test_another_card_is_told_apart() -> None:
    """Let one native register keep one bit less."""
    pair = Pair()
    native = pair.worlds[1]
    engine = native.engine  # type: ignore[attr-defined]
    engine.e.rules[engine.slots[EIMS]].w1s &= ~4
    pair.step(Step(("disarm",), lambda world: world.write(EIMC.at, 4)))
    pair.step(Step(("arm",), lambda world: world.write(EIMS.at, 4)))
    with pytest.raises(Differ, match="answers differ"):
        pair.step(Step(("look",), lambda world: world.read(EIMS.at)))


def test_the_model_s_own_tests_hold_for_the_native_engine() -> None:
    """Left out are those that watch each store in a memory of Python's."""
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.fastpath.on_native",
        "tests/model/igb",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


def test_the_generated_header_is_fresh() -> None:
    assert generate.HEADER.read_text() == generate.text(), "make docs"


def test_no_byte_is_touched_that_is_not_ours(tmp_path: Path) -> None:
    """The same steps on a build with AddressSanitizer and UndefinedBehaviorSanitizer."""
    includes = [Path(line) for line in (ROOT / "build" / "engine" / "python-include").read_text().splitlines()]
    made = build.build(includes, "address,undefined", tmp_path / "emulator" / "fastpath")
    library = subprocess.run(
        ["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert Path(library).is_absolute(), "the compiler must bring libasan"
    program = (
        "import importlib.util, sys; import emulator.fastpath as package;"
        f"spec = importlib.util.spec_from_file_location('emulator.fastpath._engine', {str(made)!r});"
        "module = importlib.util.module_from_spec(spec); sys.modules['emulator.fastpath._engine'] = module;"
        "package._engine = module; spec.loader.exec_module(module);"
        "from tests.fastpath.same import main; sys.exit(main(['--steps', '3000']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={
            **os.environ,
            "LD_PRELOAD": library,
            "ASAN_OPTIONS": "detect_leaks=0",
            "UBSAN_OPTIONS": "print_stacktrace=1",
        },
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
