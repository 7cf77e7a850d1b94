# SPDX-License-Identifier: BSD-3-Clause
"""Clients come and go; sockets are taken, stale, or in the wrong place."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.protocol.client import BAR0, CONFIG, Client
from tests.protocol.conftest import REPOSITORY, CardProcess, eventually, read_line
from tests.protocol.fakes import COMMAND, COUNT_RESETS, FAIL, RESULT

if TYPE_CHECKING:
    from collections.abc import Callable


def count_resets(client: Client) -> int:
    client.write(BAR0, COMMAND, COUNT_RESETS, 8)
    return client.read(BAR0, RESULT, 8)


def test_a_client_after_another_finds_a_fresh_device(card: CardProcess) -> None:
    with card.connect() as first:
        first.enable()
        first.write(CONFIG, 0x3C, 0x0A, 1)
        before = count_resets(first)
    with card.connect() as second:
        assert second.read(CONFIG, 0x04, 2) == 0
        assert second.read(CONFIG, 0x3C, 1) == 0
        second.enable()
        assert count_resets(second) == before + 1, "losing a client is a reset"


def test_many_clients_one_after_the_other(card: CardProcess) -> None:
    descriptors = card.descriptors()
    for turn in range(50):
        with card.connect() as client:
            client.enable()
            client.write(BAR0, 0x40, 0xA000 + turn)
            assert client.read(BAR0, 0x40) == 0xA000 + turn
    assert eventually(lambda: card.descriptors() <= descriptors), (
        "the client of the test before may have been among them"
    )


def test_a_second_client_waits_until_the_first_has_left(card: CardProcess) -> None:
    with card.connect() as first, card.connect(negotiate=False) as second:
        second.sock.settimeout(0.3)
        second.send(1, struct.pack("<HH", 0, 1))
        with pytest.raises(TimeoutError):
            second.receive()
        first.enable()
        assert first.read(CONFIG, 0x04, 2) == 7, "the first is still served"
        first.close()
        second.sock.settimeout(10)
        assert second.receive().command == 1
        assert second.read(CONFIG, 0x04, 2) == 0


def test_the_card_sleeps_while_nothing_happens(card: CardProcess) -> None:
    def ticks() -> int:
        fields = Path(f"/proc/{card.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    with card.connect() as client:
        client.enable()
        before = ticks()
        time.sleep(1.0)
        assert ticks() - before <= 5, "at most 50 ms of processor time in an idle second"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("connected", [False, True])
def test_a_signal_ends_the_card_cleanly(make_card: Callable[..., CardProcess], number: int, connected: bool) -> None:
    card = make_card()
    client = card.connect() if connected else None
    card.process.send_signal(number)
    status, _, err = card.ended()
    assert (status, err) == (0, "")
    assert not card.socket.exists()
    if client:
        assert client.hung_up()
        client.close()


def test_a_signal_ends_the_card_while_a_client_is_silent(make_card: Callable[..., CardProcess]) -> None:
    card = make_card()
    with card.connect(negotiate=False):
        time.sleep(0.2)
        card.process.terminate()
        assert card.ended()[0] == 0


def test_a_bug_of_ours_ends_the_card_with_its_traceback(make_card: Callable[..., CardProcess]) -> None:
    card = make_card()
    with card.connect() as client:
        client.enable()
        client.send(10, struct.pack("<QII", COMMAND, BAR0, 8) + FAIL.to_bytes(8, "little"))
        assert client.receive().errno == 5
        status, _, err = card.ended()
    assert status == 1
    assert "ZeroDivisionError: the fake was told to fail" in err
    assert not card.socket.exists()


def test_a_killed_servers_socket_is_taken_over(make_card: Callable[..., CardProcess], tmp_path: Path) -> None:
    dead = make_card()
    dead.process.kill()
    dead.process.communicate()
    assert dead.socket.exists()
    heir = CardProcess(tmp_path / "0")
    heir.wait_ready()
    with heir.connect() as client:
        assert client.read(CONFIG, 0) == 0x10C9_8086
    assert heir.stop()[0] == 0


@pytest.mark.parametrize("busy", [False, True])
def test_a_living_servers_socket_is_left_alone(
    make_card: Callable[..., CardProcess], tmp_path: Path, busy: bool
) -> None:
    living = make_card()
    client = living.connect() if busy else None
    status, out, err = CardProcess(tmp_path, "--socket", str(living.socket)).ended()
    assert (status, out) == (1, "")
    assert err == f"hilnic: the socket {living.socket} must be free, but another server listens on it\n"
    if client:
        client.close()
    with living.connect() as again:
        assert again.read(CONFIG, 0) == 0x10C9_8086


def test_a_file_in_the_sockets_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "card.sock").write_text("precious")
    status, _, err = CardProcess(tmp_path).ended()
    assert status == 2
    assert "must be free or a socket" in err
    assert (tmp_path / "card.sock").read_text() == "precious"


def test_a_datagram_socket_in_the_sockets_place_is_left_alone(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "card.sock"))
        status, _, err = CardProcess(tmp_path).ended()
    assert status == 1
    assert "must be usable" in err
    assert (tmp_path / "card.sock").exists()


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    card = CardProcess(tmp_path, "--socket", str(tmp_path / "no" / "card.sock"))
    assert card.ended()[::2] == (1, f"hilnic: the socket's folder must exist, and {tmp_path / 'no'} does not\n")


def test_a_path_that_no_socket_can_have_is_measured(tmp_path: Path) -> None:
    path = str(tmp_path / ("x" * 120))
    status, _, err = CardProcess(tmp_path, "--socket", path).ended()
    assert status == 2
    assert f"must have at most 107 bytes, not {len(os.fsencode(path))}" in err


def test_the_card_ends_with_its_parent(tmp_path: Path) -> None:
    """A shell starts the card and is killed; the card must go too."""
    path = tmp_path / "card.sock"
    parent = subprocess.Popen(
        ["/bin/sh", "-c", f'"{sys.executable}" -m tests.protocol.serve_fake --socket {path} --die-with-parent & wait'],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    assert read_line(parent.stdout).startswith("hilnic: ready")
    parent.kill()
    parent.wait()
    assert eventually(lambda: not path.exists())
    parent.stdout.close()
