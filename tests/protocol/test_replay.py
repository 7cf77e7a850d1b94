# SPDX-License-Identifier: BSD-3-Clause
"""``hilnic replay``: a bundle without a guest, replayed, looked at while it stands, and refused when it is none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from emulator.bundle.entries import HEAD, Kind, entries, parse_header
from harness import cli
from harness.bundle import archive
from harness.bundle.archive import Bundle
from harness.errors import UsageError
from tests.protocol.bundle_session import session

ROOT = Path(__file__).parents[2]
ENGINES = ("native", "python")
CARD = {"number": 1, "argv": []}


@pytest.fixture(scope="module", params=ENGINES)
def log(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    return session(tmp_path_factory.mktemp("session"), request.param, 6)


@pytest.fixture
def bundle(tmp_path: Path, log: Path) -> Path:
    return made(tmp_path / "bundle.zip", log)


def made(path: Path, log: Path) -> Path:
    archive.write(path, {"why": "a test", "cards": [CARD]}, {archive.log_name(1): log, "note.txt": "a text"})
    return path


def replay(bundle: Path, *arguments: str, lines: str = "") -> tuple[int, str, str]:
    argv = [sys.executable, "-m", "harness.cli", "replay", str(bundle), *arguments]
    done = subprocess.run(argv, cwd=ROOT, input=lines, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("engine", ENGINES)
def test_either_engine_does_it_again(bundle: Path, engine: str) -> None:
    status, out, err = replay(bundle, "--engine", engine)
    assert (status, err) == (0, "")
    assert out.startswith("the card does the same, byte for byte: ")
    assert f"({engine}; recorded by " in out


@pytest.mark.parametrize("engine", ENGINES)
def test_the_first_difference_is_shown(tmp_path: Path, log: Path, engine: str) -> None:
    data = bytearray(log.read_bytes())
    found = list(entries(memoryview(bytes(data)), parse_header(bytes(data))[1]))
    written = [entry for entry in found if entry.kind is Kind.DMA_WRITE][20]
    data[written.at + HEAD.size + 8] ^= 1
    (tmp_path / "other").write_bytes(data)
    status, out, _ = replay(made(tmp_path / "bundle.zip", tmp_path / "other"), "--engine", engine)
    assert status == 1
    lines = out.splitlines()
    assert lines[0].endswith(f", at entry {written.number}:")
    assert lines[0].startswith("the card does something else than the log has, in step ")
    assert f"  log has  {written.number:>6}   DMA write of " in out
    assert f"  card did {written.number:>6}   DMA write of " in out
    assert lines[-1].startswith("  first different byte: 8, 0x")


def test_it_stands_at_an_event_and_goes_on_from_there(bundle: Path) -> None:
    script = (
        "where\nevents 2\nregisters STATUS\nbreak before DmaWrite purpose=tx-write-back\ncontinue\nring tx 0\n"
        "step\nrules\ndelete\ncontinue\n"
    )
    told = []
    for engine in ENGINES:
        status, out, err = replay(bundle, "--engine", engine, "--until", "150", lines=script)
        assert (status, err) == (0, ""), out
        told.append(out.splitlines()[:-1])
    assert told[0] == told[1], "both engines stand at the same places"
    [first, again, _, newest, register, rule, stands, _ring, *slots, after, _rules] = [
        line for line in told[0] if not line.startswith("rule 1003")
    ]
    assert first == again
    assert first.startswith("at event 150: the card stands ")
    assert newest.startswith("   150 ")
    assert register.startswith("STATUS       ")
    assert rule == "rule 1002: stop when before DmaWrite purpose=tx-write-back"
    assert stands.startswith("after event ")
    assert "the card stands before " in stands
    assert len(slots) >= 8
    assert "the card stands after " in after


def test_memory_is_what_the_card_has_seen_of_it(bundle: Path) -> None:
    """The descriptor of the packet whose write-back is due; then the write-back itself."""
    script = "break DmaRead purpose=tx-payload\ncontinue\nmemory 0x100010000 16\nquit\n"
    status, out, _ = replay(bundle, "--until", "100", lines=script)
    assert status == 0
    line = out.splitlines()[-1]
    assert line.startswith("0x0100010000  ")
    assert line != "0x0100010000  " + " ".join(["00"] * 16)


def test_a_refused_line_makes_it_fail_in_the_end(bundle: Path) -> None:
    status, out, _ = replay(bundle, "--until", "10", lines="nonsense\nstep NoSuchEvent\ncard link state=down\nquit\n")
    assert status == 1
    assert "a line must begin with one of where, registers, " in out
    assert "an event must be * or one of " in out
    assert "error: link: the card stands " in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--until", "1000000"), "--until must be the number of an event of the bundle, 0 to "),
        (("--until", "-1"), "--until must be the number of an event, from 0 on, not -1"),
        (("--card", "3"), "the card must be one of the bundle's (1), not 3"),
    ],
)
def test_what_a_bundle_does_not_have_is_refused(bundle: Path, arguments: tuple[str, ...], sentence: str) -> None:
    status, out, err = replay(bundle, *arguments)
    assert (status, out) == (2, "")
    assert sentence in err


def rewritten(bundle: Path, version: int) -> None:
    with zipfile.ZipFile(bundle) as old:
        log, manifest = old.read(archive.log_name(1)), json.loads(old.read(archive.MANIFEST))
    with zipfile.ZipFile(bundle, "w") as new:
        new.writestr(archive.MANIFEST, json.dumps({**manifest, "version": version}))
        new.writestr(archive.log_name(1), log)


def test_what_is_no_bundle_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log").write_bytes(bytes(range(256)) * 50)
    whole = made(tmp_path / "bundle.zip", tmp_path / "log").read_bytes()
    cut, other, empty, text = (tmp_path / name for name in ("cut", "other", "empty.zip", "text"))
    cut.write_bytes(whole[: len(whole) // 2])
    other.write_bytes(whole)
    rewritten(other, 7)
    zipfile.ZipFile(empty, "w").close()
    text.write_text("no zip at all")
    for path, sentence in (
        (cut, "and '{}' is cut short"),
        (other, "a bundle must be of version 1, and '{}' is of 7"),
        (empty, "must have a manifest.json that can be read, and '{}' has none"),
        (text, "and '{}' is no zip"),
        (tmp_path / "absent", "must be a file that can be read, not '{}': No such file"),
        (tmp_path, "must be a file that can be read, not '{}': Is a directory"),
    ):
        assert cli.main(["replay", str(path)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert sentence.format(path) in err
        assert err.count("\n") == 1


def test_a_damaged_log_is_refused(tmp_path: Path, log: Path) -> None:
    (tmp_path / "log").write_bytes(b"something else")
    status, _, err = replay(made(tmp_path / "bundle.zip", tmp_path / "log"))
    assert (status, err) == (2, "hilnic: a card's log must begin as one does, and this one does not\n")
    path = made(tmp_path / "spoilt.zip", log)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"must be whole|can be read"):
        Bundle.read(path).extract(1, tmp_path)


def test_ctrl_c_ends_it_cleanly(bundle: Path) -> None:
    argv = [sys.executable, "-m", "harness.cli", "replay", str(bundle), "--until", "10"]
    with subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("at event 10: ")
        os.kill(running.pid, signal.SIGINT)
        _, err = running.communicate(timeout=20)
    assert running.returncode == 130
    assert "Traceback" not in err
