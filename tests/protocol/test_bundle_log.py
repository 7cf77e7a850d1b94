# SPDX-License-Identifier: BSD-3-Clause
"""A card's log, followed by another card, gives all answers, DMA writes, frames and interrupts again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from device_model.igb.transmit import Transmit
from emulator.bundle.entries import HEAD, BundleDamaged, Kind, entries, parse_header
from emulator.bundle.log import Writer
from emulator.bundle.reader import Difference, Reader
from emulator.bundle.replay import Replay
from emulator.errors import UsageError
from tests.protocol.bundle_session import session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.bundle.entries import Entry

ROOT = Path(__file__).parents[2]
ENGINES = ("native", "python")
OUTCOMES = (Kind.RESULT, Kind.DMA_WRITE, Kind.FRAME_OUT, Kind.INTERRUPT)


@pytest.fixture(scope="module", params=ENGINES)
def log(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> bytes:
    """The log of a session with a card of one engine."""
    return session(tmp_path_factory.mktemp("session"), request.param, 0, 300).read_bytes()


def all_entries(log: bytes) -> list[Entry]:
    return list(entries(memoryview(log), parse_header(log)[1]))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_card_does_again_what_was_done_to_it(log: bytes, engine: str) -> None:
    found = Counter(entry.kind for entry in all_entries(log))
    assert all(found[kind] > 4 for kind in (*OUTCOMES, Kind.DMA_READ, Kind.FRAME_IN, Kind.TIMER, Kind.CONTROL)), found
    with Replay(memoryview(log), engine) as replay:
        account = replay.run()
    assert (account.steps, replay.log.lost_steps) == (sum(entry.is_step for entry in all_entries(log)), 0)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", [1, 3])
def test_in_other_sessions_too(tmp_path: Path, seed: int, engine: str) -> None:
    """Seed 3 is a card that interrupts by its line."""
    log = session(tmp_path, engine, seed, arguments=("--least-gap", "200")).read_bytes()
    for other in ENGINES:
        with Replay(memoryview(log), other) as replay:
            assert replay.run().steps > 100


def spoilt(log: bytes) -> Iterator[tuple[Entry, bytes]]:
    """Yield the log with one bit changed, here and there, in what the card did."""
    done = [entry for entry in all_entries(log) if entry.kind in OUTCOMES]
    for entry in done[:: len(done) // 20]:
        bad = bytearray(log)
        last = entry.at + HEAD.size + len(entry.body) - 1
        bad[entry.at + 2 if entry.kind is Kind.INTERRUPT else last] ^= 1
        yield entry, bytes(bad)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_first_difference_is_told(log: bytes, engine: str) -> None:
    for entry, bad in spoilt(log):
        with Replay(memoryview(bad), engine) as replay, pytest.raises(Difference) as told:
            replay.run()
        assert told.value.expected.at == entry.at
        assert told.value.found is not None
        assert (told.value.found.kind, told.value.found.body) == (entry.kind, entry.body)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_left_out_is_told(log: bytes, engine: str) -> None:
    """A log that holds one outcome more than the card has."""
    entry = [entry for entry in all_entries(log) if entry.kind is Kind.INTERRUPT][2]
    again = log[: entry.at] + log[entry.at : entry.at + HEAD.size] + log[entry.at :]
    with Replay(memoryview(again), engine) as replay, pytest.raises(Difference):
        replay.run()


def test_another_card_is_told_apart(log: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Transmit, "_write_back", lambda *_: None)
    with Replay(memoryview(log), "python") as replay, pytest.raises(Difference) as told:
        replay.run()
    assert told.value.expected.kind is Kind.DMA_WRITE


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("part", [0.3, 0.77])
def test_a_log_that_was_not_closed_ends_with_its_last_whole_step(log: bytes, engine: str, part: float) -> None:
    cut = log[: int(len(log) * part)]
    with Replay(memoryview(cut), engine) as replay:
        assert replay.run().steps > 50
    assert not replay.log.closed


@pytest.mark.parametrize("engine", ENGINES)
def test_a_full_log_keeps_its_beginning_and_says_how_much_is_lost(tmp_path: Path, engine: str) -> None:
    arguments = ("--bundle-limit", "1")
    log = session(tmp_path, engine, 2, 700, arguments=arguments).read_bytes()
    reader = Reader(memoryview(log))
    assert 1 << 20 <= len(log) < (1 << 20) + (1 << 17)
    assert (reader.closed, reader.lost_steps > 10, reader.lost_bytes > 1000) == (True, True, True)
    with Replay(memoryview(log), engine) as replay:
        assert replay.run().steps > 1000


def test_a_step_that_does_not_fit_is_forgotten(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log", 1000)
    for _ in range(2):
        writer.begin(Kind.FRAME_IN, 0, 0, bytes(40))
        for _ in range(70):
            writer.put(Kind.FRAME_OUT, 0, 0, bytes(1 << 20))
        writer.end()
    writer.close()
    data = (tmp_path / "log").read_bytes()
    [end] = entries(memoryview(data), 0)
    assert (end.kind, int.from_bytes(end.body[:8], "little"), int.from_bytes(end.body[8:16], "little")) == (64, 0, 2)


def test_other_bytes_are_refused(log: bytes) -> None:
    for bad, sentence in (
        (b"", "must begin as one does"),
        (b"PK" + bytes(50), "must begin as one does"),
        (log[:8] + b"\x63" + log[9:], "must be of version 1, not 99"),
        (log[:16] + b"x" + log[17:], "header of a card's log must be readable"),
    ):
        with pytest.raises(BundleDamaged, match=sentence):
            Replay(memoryview(bad))
    start = parse_header(log)[1]
    for bad in (b"\xc8" + bytes(7) + log[start:], HEAD.pack(Kind.READ, 0, 4, 3) + bytes(3) + log[start:]):
        with pytest.raises(BundleDamaged, match="of a known kind and size"):
            Replay(memoryview(log[:start] + bad))


def test_engines_that_do_not_exist_are_refused(log: bytes) -> None:
    with pytest.raises(UsageError, match=r"the engine must be one of native, python, not .steam"):
        Replay(memoryview(log), "steam")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--bundle-limit", "0"), "the limit of a log must be 1 to 65536 MiB, not 0"),
        (("--doorbells", "mmap"), "a card whose inputs are logged must have doorbells that trap"),
    ],
)
def test_what_cannot_be_logged_is_refused(tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    command = [sys.executable, "-m", "emulator", "--socket", str(tmp_path / "socket"), "--bundle-log"]
    command += [str(tmp_path / "log"), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr


@pytest.mark.parametrize("engine", ENGINES)
def test_a_card_that_is_killed_leaves_what_it_had_written(tmp_path: Path, engine: str) -> None:
    log = session(tmp_path, engine, 4, 40, end=lambda process: os.kill(process.pid, signal.SIGKILL)).read_bytes()
    with Replay(memoryview(log), engine) as replay:
        assert replay.run().steps > 50
    assert not replay.log.closed
