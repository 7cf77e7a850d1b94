# SPDX-License-Identifier: BSD-3-Clause
"""A card process with the remembering NIC behind a vfio-user socket."""

from __future__ import annotations

import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from tests.protocol.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_S = 20.0


def read_line(stream: IO[str], patience_s: float = PATIENCE_S) -> str:
    """Return the next line of ``stream``, "" at its end; fail if neither comes in time."""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        assert selector.select(patience_s), "the process must say something in time"
    return stream.readline()


class CardProcess:
    """A started ``python -m MODULE``; ``socket`` is where its card is."""

    def __init__(self, folder: Path, *arguments: str, module: str = "tests.protocol.serve_fake") -> None:
        self.socket = folder / "card.sock"
        self._stderr = folder / "stderr"
        with self._stderr.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, "--socket", str(self.socket), *arguments],
                cwd=REPOSITORY,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    def wait_ready(self) -> str:
        assert self.process.stdout is not None
        line = read_line(self.process.stdout)
        if not line:
            raise AssertionError(self.ended()[2])
        return line.strip()

    def connect(self, **arguments: bool | float) -> Client:
        return Client(self.socket, **arguments)  # type: ignore[arg-type]

    def alive(self) -> bool:
        return self.process.poll() is None

    def ended(self) -> tuple[int, str, str]:
        """Wait for the end and return status, stdout and stderr."""
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, self._stderr.read_text()

    def stop(self) -> tuple[int, str, str]:
        self.process.terminate()
        return self.ended()

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


def start(folder: Path, *arguments: str) -> CardProcess:
    card = CardProcess(folder, *arguments)
    card.wait_ready()
    return card


@pytest.fixture
def make_card(tmp_path: Path) -> Iterator[Callable[..., CardProcess]]:
    """Start card processes of the test's own; each must still be well at the end, or have been stopped by the test."""
    started: list[CardProcess] = []

    def make(*arguments: str) -> CardProcess:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        card = CardProcess(folder, *arguments)
        started.append(card)
        card.wait_ready()
        return card

    yield make
    for card in started:
        if card.alive():
            assert card.stop()[0] == 0
        elif not card.process.stdout or not card.process.stdout.closed:
            card.process.communicate()


@pytest.fixture(scope="module")
def shared_card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CardProcess]:
    card = start(tmp_path_factory.mktemp("card"))
    yield card
    status, _, err = card.stop()
    assert status == 0, err


@pytest.fixture
def card(shared_card: CardProcess) -> Iterator[CardProcess]:
    """The module's card; after the test it must still serve a client properly."""
    yield shared_card
    assert shared_card.alive(), shared_card.ended()[2]
    with shared_card.connect() as client:
        assert client.read(7, 0) == 0x10C9_8086


@pytest.fixture
def client(card: CardProcess) -> Iterator[Client]:
    """A client of the card, with BARs decoded and bus mastering on."""
    with card.connect() as connected:
        connected.enable()
        yield connected


def eventually(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> bool:
    """Ask ``condition`` until it holds or time is up."""
    end = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True
