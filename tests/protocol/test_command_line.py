# SPDX-License-Identifier: BSD-3-Clause
"""``python -m emulator``: what it says, what it refuses, and what its options change."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from emulator.__main__ import parser
from tests.protocol.client import BAR0, CONFIG, MSI, MSIX, Client, Refused
from tests.protocol.conftest import PATIENCE_S, REPOSITORY, CardProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MSI_ID, MSIX_ID = 0x05, 0x11


def capabilities(client: Client) -> dict[int, int]:
    """Walk the list of capabilities: offset by number."""
    found = {}
    at = client.read(CONFIG, 0x34, 1)
    while at:
        found[client.read(CONFIG, at, 1)] = at
        at = client.read(CONFIG, at + 1, 1)
    return found


def refusal(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    status, out, err = CardProcess(tmp_path, *arguments).ended()
    assert out == ""
    return status, err


def test_readiness_is_one_line_with_both_sockets(tmp_path: Path) -> None:
    card = CardProcess(tmp_path, "--control", str(tmp_path / "control"))
    assert card.wait_ready() == f"hilnic: ready socket={tmp_path}/card.sock control={tmp_path}/control"
    status, out, err = card.stop()
    assert (status, out, err) == (0, "", "")
    assert not list(tmp_path.glob("c*")), "both sockets must have gone"


def test_help_explains_every_option() -> None:
    text = parser(["82576"]).format_help()
    for action in parser(["82576"])._actions:
        assert action.help, action.option_strings
        assert action.option_strings[-1] in text
    assert "tap:NAME" in text


def test_help_and_a_missing_socket_need_no_card() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "emulator"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 2
    assert "--socket" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--nic", "82599"), "the NIC must be one of 82576, not '82599'"),
        (("--irq", "smoke"), "the interrupt scheme must be msix, msi or intx, not 'smoke'"),
        (("--msix-vectors", "0"), "the number of MSI-X vectors must be 1 to 512, not 0"),
        (("--msix-vectors", "513"), "the number of MSI-X vectors must be 1 to 512, not 513"),
        (("--mac", "52:54:00:82:57"), "must be six hexadecimal bytes as 52:54:00:82:57:60, not '52:54:00:82:57'"),
        (("--mac", "52:54:00:82:57:zz"), "must be six hexadecimal bytes"),
        (("--mac", "53:54:00:82:57:60"), "must be unicast and not zero"),
        (("--mac", "00:00:00:00:00:00"), "must be unicast and not zero"),
        (("--rate", "9600"), "the rate must be auto, 10, 100, 1000 or unlimited, not '9600'"),
        (("--wire", "string"), "wire must be one of the following, not 'string'"),
        (("--patch", "nothing"), "a patch must be FILE.py:FUNCTION, not 'nothing'"),
        (("--patch", "/nowhere/p.py:f"), "the patch's file must exist, and /nowhere/p.py does not"),
        (("--engine", "steam"), "the engine must be one of"),
        (("--surprise",), "unrecognized arguments: --surprise"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    status, err = refusal(tmp_path, *arguments)
    assert status == 2
    assert sentence in err
    assert "Traceback" not in err
    assert not (tmp_path / "card.sock").exists()


def test_an_nvm_image_must_exist_and_have_a_possible_size(tmp_path: Path) -> None:
    image = tmp_path / "nvm"
    assert refusal(tmp_path, "--nvm", str(image)) == (
        1,
        f"hilnic: the NVM image {image} must be readable, and is not: No such file or directory\n",
    )
    image.write_bytes(bytes(127))
    assert refusal(tmp_path, "--nvm", str(image))[0] == 2


def test_a_capture_that_cannot_be_written_is_the_worlds_fault(tmp_path: Path) -> None:
    status, err = refusal(tmp_path, "--capture", str(tmp_path / "no" / "file"))
    assert status == 1
    assert "must be writable" in err


@pytest.mark.parametrize(
    ("irq", "present", "counts"),
    [
        ("msix", {0x01, MSI_ID, MSIX_ID, 0x10}, (1, 10)),
        ("msi", {0x01, MSI_ID, 0x10}, (1, 0)),
        ("intx", {0x01, 0x10}, (0, 0)),
    ],
)
def test_irq_hides_the_better_schemes(
    make_card: Callable[..., CardProcess], irq: str, present: set[int], counts: tuple[int, int]
) -> None:
    with make_card("--irq", irq).connect() as client:
        assert set(capabilities(client)) == present
        assert (client.irq_info(MSI)[1], client.irq_info(MSIX)[1]) == counts
        assert client.irq_info(0)[1] == 1
        assert client.read(CONFIG, 0x3D, 1) == 1


@pytest.mark.parametrize("vectors", [1, 8, 25])
def test_the_size_of_the_msix_table_can_be_chosen(make_card: Callable[..., CardProcess], vectors: int) -> None:
    with make_card("--msix-vectors", str(vectors)).connect() as client:
        assert client.read(CONFIG, capabilities(client)[MSIX_ID] + 2, 2) & 0x7FF == vectors - 1
        assert client.irq_info(MSIX)[1] == vectors
        with pytest.raises(Refused):
            client.unmask(MSIX, start=vectors)


def test_the_mac_address_is_in_the_serial_number(make_card: Callable[..., CardProcess]) -> None:
    with make_card("--mac", "a2-b4-c6-01-23-45").connect() as client:
        assert client.read(CONFIG, 0x140) & 0xFFFF == 3
        serial = client.read_bytes(CONFIG, 0x144, 8)[::-1]
    assert serial.hex("-") == "a2-b4-c6-ff-ff-01-23-45"


def test_patches_are_called_in_order_before_the_first_client(
    make_card: Callable[..., CardProcess], tmp_path: Path
) -> None:
    patch = tmp_path / "patch.py"
    patch.write_text(
        "def first(card):\n    card.nic.bars[0][64:68] = b'1...'\n"
        "def second(card):\n    card.nic.bars[0][65:68] = b'2' + bytes(card.nic.bars[0][64:65]) + b'.'\n"
    )
    with make_card("--patch", f"{patch}:first", "--patch", f"{patch}:second").connect() as client:
        client.enable()
        assert client.read_bytes(BAR0, 64, 4) == b"121."


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("def other(card): pass\n", "must have a function wanted, and has other"), ("1/0\n", "raises ZeroDivisionError")],
)
def test_a_patch_that_cannot_be_used_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    patch = tmp_path / "patch.py"
    patch.write_text(text)
    status, err = refusal(tmp_path, "--patch", f"{patch}:wanted")
    assert status == 2
    assert sentence in err


def test_frames_from_the_wire_reach_the_nic_while_a_client_is_busy(
    make_card: Callable[..., CardProcess], tmp_path: Path
) -> None:
    patch = tmp_path / "patch.py"
    patch.write_text(
        "def count(card):\n"
        "    nic = card.nic\n"
        "    def receive(frame):\n"
        "        nic.frames.append(frame)\n"
        "        nic._set(0x200, len(nic.frames))\n"
        "    nic.receive = receive\n"
    )
    local, remote = tmp_path / "local", tmp_path / "remote"
    card = make_card("--patch", f"{patch}:count", "--wire", f"dgram:local={local},remote={remote}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer, card.connect() as client:
        peer.bind(str(remote))
        client.enable()
        for number in range(20):
            peer.sendto(struct.pack("<H", number) + bytes(62), str(local))
            for value in range(200):
                client.post(BAR0, 0x300, struct.pack("<I", value))
        for _ in range(200):
            if client.read(BAR0, 0x200) == 20:
                break
        assert client.read(BAR0, 0x200) == 20


def test_the_control_socket_is_served_while_a_client_is_connected(
    make_card: Callable[..., CardProcess], tmp_path: Path
) -> None:
    path = tmp_path / "control"
    card = make_card("--control", str(path))
    with card.connect() as client, socket.socket(socket.AF_UNIX) as control:
        client.enable()
        control.settimeout(PATIENCE_S)
        control.connect(str(path))
        control.sendall(json.dumps({"id": 7, "command": "describe"}).encode() + b"\n")
        answer = json.loads(control.makefile().readline())
    assert answer["result"]["nic"] == "RememberingNic", answer
