# SPDX-License-Identifier: BSD-3-Clause
"""Wires over real sockets. The far end is a bare socket that speaks the format as QEMU does."""

from __future__ import annotations

import select
import socket
import struct
import time
from typing import TYPE_CHECKING

import pytest

from emulator.errors import EnvironmentLacks, UsageError
from emulator.wires import WireEnd, open_wire
from emulator.wires.address import Address
from emulator.wires.partner import Listener
from emulator.wires.stream import StreamWire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FRAME = bytes(range(64))
OTHER = bytes(range(100, 200))
PATIENCE_S = 5.0


def take(wire: WireEnd, count: int) -> list[bytes]:
    """Run ``wire`` as the server's loop does, until it has given ``count`` frames."""
    found: list[bytes] = []
    end = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < end:
        found += run_once(wire)
    return found


def run_once(wire: WireEnd) -> list[bytes]:
    """Poll ``wire`` if its descriptor says so within 50 ms, and only then."""
    descriptor = wire.fileno()
    assert descriptor is not None
    readable, _, _ = select.select([descriptor], [], [], 0.05)
    return collected(wire) if readable else []


def collected(wire: WireEnd) -> list[bytes]:
    return list(wire.poll())


def until_connected(wire: WireEnd, wanted: bool = True) -> None:
    end = time.monotonic() + PATIENCE_S
    while wire.connected is not wanted and time.monotonic() < end:
        assert run_once(wire) == []
    assert wire.connected is wanted


def read_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        assert more, "the wire must not hang up"
        data += more
    return data


def read_frame(sock: socket.socket) -> bytes:
    (length,) = struct.unpack(">I", read_exactly(sock, 4))
    return read_exactly(sock, length)


def framed(frame: bytes) -> bytes:
    return struct.pack(">I", len(frame)) + frame


@pytest.fixture
def wires() -> Iterator[list[WireEnd]]:
    opened: list[WireEnd] = []
    yield opened
    for wire in opened:
        wire.close()


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    opened: list[socket.socket] = []
    yield opened
    for sock in opened:
        sock.close()


def stream_socket(sockets: list[socket.socket]) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(PATIENCE_S)
    sockets.append(sock)
    return sock


def listening(path: Path, sockets: list[socket.socket]) -> socket.socket:
    sock = stream_socket(sockets)
    sock.bind(str(path))
    sock.listen()
    return sock


# -- dgram ------------------------------------------------------------------------------------------------


def dgram(tmp_path: Path, wires: list[WireEnd], sockets: list[socket.socket]) -> tuple[WireEnd, socket.socket]:
    wire = open_wire(f"dgram:local={tmp_path}/card,remote={tmp_path}/peer")
    wires.append(wire)
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    peer.settimeout(PATIENCE_S)
    peer.bind(f"{tmp_path}/peer")
    sockets.append(peer)
    return wire, peer


def test_datagram_is_one_raw_frame_each_way(tmp_path: Path, wires: list[WireEnd], sockets: list[socket.socket]) -> None:
    wire, peer = dgram(tmp_path, wires, sockets)
    wire.emit(FRAME)
    assert peer.recv(65536) == FRAME
    peer.sendto(OTHER, f"{tmp_path}/card")
    peer.sendto(FRAME, f"{tmp_path}/card")
    assert take(wire, 2) == [OTHER, FRAME]
    assert (wire.counts.emitted, wire.counts.arrived, wire.counts.dropped) == (1, 2, 0)


def test_frame_for_an_absent_peer_is_dropped_and_counted(tmp_path: Path, wires: list[WireEnd]) -> None:
    wire = open_wire(f"dgram:local={tmp_path}/card,remote={tmp_path}/nobody")
    wires.append(wire)
    wire.emit(FRAME)
    assert (wire.counts.dropped, wire.counts.emitted, wire.connected) == (1, 0, False)


def test_peer_that_was_started_again_gets_and_sends_frames(
    tmp_path: Path, wires: list[WireEnd], sockets: list[socket.socket]
) -> None:
    wire, peer = dgram(tmp_path, wires, sockets)
    wire.emit(FRAME)
    peer.close()
    wire.emit(FRAME)
    (tmp_path / "peer").unlink()
    again = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sockets.append(again)
    again.settimeout(PATIENCE_S)
    again.bind(f"{tmp_path}/peer")
    again.sendto(OTHER, f"{tmp_path}/card")
    assert take(wire, 1) == [OTHER]
    wire.emit(OTHER)
    assert again.recv(65536) == OTHER
    assert wire.counts.dropped == 1


def test_full_peer_costs_frames_not_time(tmp_path: Path, wires: list[WireEnd], sockets: list[socket.socket]) -> None:
    wire, peer = dgram(tmp_path, wires, sockets)
    for number in range(2000):
        wire.emit(number.to_bytes(4, "big") + bytes(56))
    assert wire.counts.dropped > 0
    peer.setblocking(False)
    for number in range(wire.counts.emitted):
        assert peer.recv(65536)[:4] == number.to_bytes(4, "big")
    with pytest.raises(BlockingIOError):
        peer.recv(65536)


@pytest.mark.parametrize(("size", "accepted"), [(13, False), (14, True), (9736, True), (9737, False)])
def test_frame_of_impossible_size_is_counted_as_malformed(
    tmp_path: Path, wires: list[WireEnd], sockets: list[socket.socket], size: int, accepted: bool
) -> None:
    wire, peer = dgram(tmp_path, wires, sockets)
    peer.sendto(bytes(size), f"{tmp_path}/card")
    peer.sendto(FRAME, f"{tmp_path}/card")
    assert take(wire, 1 + accepted) == [bytes(size)] * accepted + [FRAME]
    assert wire.counts.malformed == (not accepted)


def udp_pair(wires: list[WireEnd]) -> tuple[WireEnd, WireEnd]:
    probe = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for sock in probe:
        sock.bind(("127.0.0.1", 0))
    here, there = (f"127.0.0.1:{sock.getsockname()[1]}" for sock in probe)
    for sock in probe:
        sock.close()
    wires.append(open_wire(f"dgram:local={here},remote={there}"))
    wires.append(open_wire(f"dgram:local={there},remote={here}"))
    return wires[-2], wires[-1]


def test_udp_carries_frames_between_two_wires(wires: list[WireEnd]) -> None:
    left, right = udp_pair(wires)
    left.emit(FRAME)
    assert take(right, 1) == [FRAME]
    right.emit(OTHER)
    assert take(left, 1) == [OTHER]


def test_one_poll_is_a_bounded_batch(wires: list[WireEnd]) -> None:
    left, right = udp_pair(wires)
    for number in range(100):
        left.emit(bytes([number]) * 60)
    first = run_once(right)
    assert len(first) == 64
    assert first + take(right, 36) == [bytes([number]) * 60 for number in range(100)]


def test_closed_wire_leaves_no_path_and_takes_no_frame(
    tmp_path: Path, wires: list[WireEnd], sockets: list[socket.socket]
) -> None:
    wire, _ = dgram(tmp_path, wires, sockets)
    wire.close()
    wire.close()
    assert not (tmp_path / "card").exists()
    wire.emit(FRAME)
    assert collected(wire) == []
    assert wire.counts.dropped == 1


def test_file_at_the_path_is_kept_and_named(tmp_path: Path) -> None:
    (tmp_path / "card").write_text("precious")
    with pytest.raises(UsageError, match="card"):
        open_wire(f"dgram:local={tmp_path}/card,remote={tmp_path}/peer")
    assert (tmp_path / "card").read_text() == "precious"


def test_socket_of_a_dead_process_is_replaced(
    tmp_path: Path, wires: list[WireEnd], sockets: list[socket.socket]
) -> None:
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    dead.bind(f"{tmp_path}/card")
    dead.close()
    wire, peer = dgram(tmp_path, wires, sockets)
    peer.sendto(FRAME, f"{tmp_path}/card")
    assert take(wire, 1) == [FRAME]


def test_unknown_directory_is_the_worlds_fault() -> None:
    with pytest.raises(EnvironmentLacks, match="/nonexistent/card"):
        open_wire("dgram:local=/nonexistent/card,remote=/nonexistent/peer")


# -- stream -----------------------------------------------------------------------------------------------


def test_caller_prefixes_frames_with_their_length(
    tmp_path: Path, wires: list[WireEnd], sockets: list[socket.socket]
) -> None:
    door = listening(tmp_path / "s", sockets)
    wire = open_wire(f"stream:connect={tmp_path}/s")
    wires.append(wire)
    until_connected(wire)
    peer, _ = door.accept()
    sockets.append(peer)
    peer.settimeout(PATIENCE_S)
    wire.emit(FRAME)
    assert read_exactly(peer, 4 + len(FRAME)) == b"\0\0\0\x40" + FRAME
    data = framed(OTHER) + framed(FRAME)
    peer.sendall(data[:2])
    assert run_once(wire) == []
    peer.sendall(data[2:50])
    assert run_once(wire) == []
    peer.sendall(data[50:])
    assert take(wire, 2) == [OTHER, FRAME]


def test_caller_finds_a_partner_that_comes_late_and_one_that_comes_back(
    tmp_path: Path, wires: list[WireEnd], sockets: list[socket.socket]
) -> None:
    wire = open_wire(f"stream:connect={tmp_path}/s")
    wires.append(wire)
    wire.emit(FRAME)
    assert (wire.connected, wire.counts.dropped) == (False, 1)
    descriptor = wire.fileno()
    for _ in range(2):
        door = listening(tmp_path / "s", sockets)
        until_connected(wire)
        peer, _ = door.accept()
        sockets.append(peer)
        peer.settimeout(PATIENCE_S)
        peer.sendall(framed(OTHER))
        assert take(wire, 1) == [OTHER]
        wire.emit(FRAME)
        assert read_frame(peer) == FRAME
        peer.close()
        door.close()
        (tmp_path / "s").unlink()
        until_connected(wire, wanted=False)
    assert wire.fileno() == descriptor


def test_listener_serves_one_partner_after_another(
    tmp_path: Path, wires: list[WireEnd], sockets: list[socket.socket]
) -> None:
    wire = open_wire(f"stream:listen={tmp_path}/s")
    wires.append(wire)
    first, second = stream_socket(sockets), stream_socket(sockets)
    first.connect(f"{tmp_path}/s")
    until_connected(wire)
    second.connect(f"{tmp_path}/s")
    first.sendall(framed(FRAME) + framed(OTHER)[:30])
    assert take(wire, 1) == [FRAME]
    first.close()
    until_connected(wire, wanted=False)
    second.sendall(framed(OTHER))
    assert take(wire, 1) == [OTHER], "half a frame of the first partner must not reach into the second's"
    wire.emit(FRAME)
    assert read_frame(second) == FRAME


def test_absurd_length_ends_the_connection_with_a_sentence(
    tmp_path: Path, wires: list[WireEnd], sockets: list[socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    wire = open_wire(f"stream:listen={tmp_path}/s")
    wires.append(wire)
    peer = stream_socket(sockets)
    peer.connect(f"{tmp_path}/s")
    until_connected(wire)
    peer.sendall(struct.pack(">I", 0x47455420) + b"/ HTTP/1.1")
    until_connected(wire, wanted=False)
    assert str(0x47455420) in caplog.text
    again = stream_socket(sockets)
    again.connect(f"{tmp_path}/s")
    again.sendall(framed(FRAME))
    assert take(wire, 1) == [FRAME]


def test_slow_partner_gets_whole_frames_or_none(wires: list[WireEnd], sockets: list[socket.socket]) -> None:
    listener = Listener(Address(host="127.0.0.1", port=0))
    wire = StreamWire(listener)
    wires.append(wire)
    peer = socket.create_connection(("127.0.0.1", listener.port), PATIENCE_S)
    sockets.append(peer)
    until_connected(wire)
    taken: list[bytes] = []
    for number in range(10_000):
        frame = number.to_bytes(4, "big") * 2000
        before = wire.counts.emitted
        wire.emit(frame)
        if wire.counts.emitted != before:
            taken.append(frame)
    assert 0 < len(taken) < 10_000
    assert wire.counts.dropped == 10_000 - len(taken)
    for frame in taken[:-1]:
        assert read_frame(peer) == frame
    assert run_once(wire) == []  # this sends the rest of a frame that went out in part
    assert read_frame(peer) == taken[-1]
    wire.emit(OTHER)
    assert read_frame(peer) == OTHER


def test_tcp_partner_is_accepted_and_called(wires: list[WireEnd]) -> None:
    listener = Listener(Address(host="127.0.0.1", port=0))
    called = StreamWire(listener)
    wires.append(called)
    caller = open_wire(f"stream:connect=127.0.0.1:{listener.port}")
    wires.append(caller)
    until_connected(caller)
    until_connected(called)
    caller.emit(FRAME)
    assert take(called, 1) == [FRAME]
    called.emit(OTHER)
    assert take(caller, 1) == [OTHER]
    called.close()
    until_connected(caller, wanted=False)
    caller.emit(FRAME)
    assert caller.counts.dropped == 1
