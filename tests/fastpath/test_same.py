# SPDX-License-Identifier: BSD-3-Clause
"""The native engine is the card that the model describes: same inputs, same memory, frames, interrupts and events."""

from __future__ import annotations

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
from harness.engine_build import Mistake, python_includes
from tests.fastpath.other_build import drive as drive_build
from tests.fastpath.pair import Differ, Pair, Step, next_step
from tests.fastpath.same import drive

if TYPE_CHECKING:
    from random import Random

ROOT = Path(__file__).parents[2]
CORPUS = [int(line) for line in Path(__file__).with_name("corpus.txt").read_text().splitlines() if line.isdigit()]


@pytest.mark.parametrize("seed", [*range(8), *CORPUS])
def test_chosen_steps_leave_both_cards_alike(seed: int) -> None:
    drive(seed, 500)


@pytest.mark.parametrize("seed", range(100, 106))
def test_so_they_do_at_the_guest_s_own_pace(seed: int) -> None:
    drive(seed, 500, paced=True)


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
    made = build.build(python_includes(), "address,undefined", tmp_path)
    asan = ["cc", "-print-file-name=libasan.so"]
    library = subprocess.run(asan, capture_output=True, text=True, check=True).stdout.strip()
    assert Path(library).is_absolute(), "the compiler must bring libasan"
    settings = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
    done = drive_build(made, 3000, {"LD_PRELOAD": library, **settings})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


MUTANTS = {
    "parse.c": ("(fragment & 0x3FFF) != 0", "(fragment & 0x1FFF) != 0"),
    "checksum.c": ("if (p->is_fragment || p->ex_source != NULL) {", "if (p->is_fragment) {"),
    "rss.c": ("byte & (0x80u >> bit)", "byte & (0x40u >> bit)"),
    "rx_status.c": ("status |= RXWRITEBACK_UDPCS_MASK;", ";"),
    "accept.c": ("{ 4, 3, 2, 0 }", "{ 4, 3, 1, 0 }"),
    "offload.c": ("(n > 0 ? CWR : 0)", "0"),
    "filters.c": ("1522 : 1518", "1522 : 1522"),
    "store.c": ("status |= RXWRITEBACK_VP_MASK;", ";"),
    "receive.c": ("delivered_bytes[queue] += f->stored_size", "delivered_bytes[queue] += f->size"),
    "transmit.c": ("if (q->done.count >= (e", "if (q->done.count > (e"),
    "interrupts.c": ("e->regs[SLOT_EIMS] &= ~bit;", ";"),
    "statistics.c": ("length <= 64 ? 0", "length < 64 ? 0"),
    "ring.c": ("if (tail < r->count) {", "if (tail <= r->count) {"),
    "note.c": ("if (n->first == n->last) {", "if (n->first >= n->last) {"),
    "registers.c": ("(value & rule->w1s)", "0"),
}
"""One wrong token for each part of the data path (memory.c has tests of its own)."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_token_anywhere_is_noticed(name: str, tmp_path: Path) -> None:
    done = drive_build(Mistake(name, *MUTANTS[name]).build(tmp_path, "-O0"), 12_000)
    assert "differ" in done.stdout, done.stdout[-500:] + done.stderr[-2000:]
