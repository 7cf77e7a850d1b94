# SPDX-License-Identifier: BSD-3-Clause
"""The wires that the engine moves by itself do as those of emulator.wires do."""

from __future__ import annotations

import socket
import struct
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from device_model.events import FrameArrived
from emulator.fastpath.wire import NativeWire, sockaddr
from emulator.wires.capture import CapturedWire, CaptureFile
from emulator.wires.end import FRAME_MAX
from emulator.wires.null import NullWire
from emulator.wires.spec import open_wire
from tests.fastpath.world import NativeWorld
from tests.protocol.pcapng_reader import read_pcapng

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from emulator.fastpath.engine import Engine
    from emulator.wires.end import WireEnd

FRAMES = [bytes([n]) * size for n, size in enumerate((14, 15, 59, 60, 61, 1514, 9000), start=1)]


class Bench:
    """A native card on a wire."""

    def __init__(self, wire: WireEnd) -> None:
        self.world = NativeWorld()
        self.engine: Engine = self.world.engine
        self.wire = NativeWire(self.engine, wire)
        self.events = self.world.events

    def emit(self, frame: bytes) -> None:
        self.wire.emit(frame)
        self.engine.lib.fp_wire_flush(self.engine.e)

    def poll(self) -> int:
        return int(self.engine.lib.fp_wire_poll(self.engine.e))

    def arrived(self) -> list[bytes]:
        return [event.frame for event in self.world.take(FrameArrived) if isinstance(event, FrameArrived)]


@pytest.fixture
def make_bench() -> Iterator[Callable[[WireEnd], Bench]]:
    made: list[Bench] = []

    def make(wire: WireEnd) -> Bench:
        made.append(Bench(wire))
        return made[-1]

    yield make
    for bench in made:
        bench.wire.close()


@pytest.fixture
def far(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "far"))
        sock.settimeout(5)
        yield sock


def test_datagrams_go_and_come_whole_and_in_order(
    tmp_path: Path, far: socket.socket, make_bench: Callable[[WireEnd], Bench]
) -> None:
    bench = make_bench(open_wire(f"dgram:local={tmp_path}/near,remote={tmp_path}/far"))
    for frame in FRAMES:
        bench.emit(frame)
    assert [far.recv(1 << 16) for _ in FRAMES] == FRAMES
    for frame in (*FRAMES, b"short", bytes(FRAME_MAX + 1)):
        far.sendto(frame, f"{tmp_path}/near")
    assert bench.poll() == len(FRAMES) + 2
    assert bench.arrived() == FRAMES
    assert bench.wire.counts.as_json() == {
        "emitted": len(FRAMES),
        "arrived": len(FRAMES),
        "dropped": 0,
        "malformed": 2,
    }


def test_datagrams_to_nobody_are_dropped_until_somebody_is_there(
    tmp_path: Path, make_bench: Callable[[WireEnd], Bench]
) -> None:
    bench = make_bench(open_wire(f"dgram:local={tmp_path}/near,remote={tmp_path}/far"))
    bench.emit(FRAMES[0])
    assert (bench.wire.counts.dropped, bench.wire.connected) == (1, False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "far"))
        sock.settimeout(5)
        bench.emit(FRAMES[1])
        assert sock.recv(1 << 16) == FRAMES[1]
    assert bench.wire.connected


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(str(tmp_path / "stream"))
        sock.listen(1)
        sock.settimeout(5)
        yield sock


@pytest.fixture
def accept() -> Iterator[Callable[[socket.socket], socket.socket]]:
    lines: list[socket.socket] = []

    def take(listener: socket.socket) -> socket.socket:
        lines.append(listener.accept()[0])
        lines[-1].settimeout(5)
        return lines[-1]

    yield take
    for line in lines:
        line.close()


def enframed(frame: bytes) -> bytes:
    return struct.pack(">I", len(frame)) + frame


def received(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data))
    return data


def test_a_stream_carries_frames_however_its_bytes_come(
    tmp_path: Path,
    partner: socket.socket,
    accept: Callable[[socket.socket], socket.socket],
    make_bench: Callable[[WireEnd], Bench],
) -> None:
    bench = make_bench(open_wire(f"stream:connect={tmp_path}/stream"))
    bench.wire.poll()
    line = accept(partner)
    for frame in FRAMES:
        bench.emit(frame)
    whole = b"".join(map(enframed, FRAMES))
    assert received(line, len(whole)) == whole
    for start in range(0, len(whole), 997):
        line.sendall(whole[start : start + 997])
        assert bench.poll() == 1
    assert bench.arrived() == FRAMES
    line.close()
    assert bench.poll() == 0, "the end of the connection is for Python to see"
    bench.wire.poll()
    bench.emit(FRAMES[0])
    assert (bench.wire.connected, bench.wire.counts.dropped) == (False, 1)


def test_a_full_stream_drops_whole_frames_and_keeps_its_framing(
    tmp_path: Path,
    partner: socket.socket,
    accept: Callable[[socket.socket], socket.socket],
    make_bench: Callable[[WireEnd], Bench],
) -> None:
    bench = make_bench(open_wire(f"stream:connect={tmp_path}/stream"))
    bench.wire.poll()
    line = accept(partner)
    frame = bytes(range(256)) * 5
    sent = 0
    while not bench.wire.counts.dropped:
        bench.emit(frame)
        sent += 1
    went = bench.wire.counts.emitted
    assert went + bench.wire.counts.dropped == sent
    data = b""
    while len(data) < went * len(enframed(frame)):
        data += line.recv(1 << 16)
        bench.poll()  # sends the rest of the last frame
    assert data == enframed(frame) * went


def test_a_stream_that_loses_its_framing_is_ended(
    tmp_path: Path,
    partner: socket.socket,
    accept: Callable[[socket.socket], socket.socket],
    make_bench: Callable[[WireEnd], Bench],
) -> None:
    bench = make_bench(open_wire(f"stream:connect={tmp_path}/stream"))
    bench.wire.poll()
    line = accept(partner)
    line.sendall(enframed(FRAMES[3]) + b"\xff" * 8)
    assert bench.poll() == 0
    assert bench.arrived() == [FRAMES[3]]
    bench.wire.poll()
    assert line.recv(1) == b""


def test_the_capture_holds_what_passed_in_both_directions(
    tmp_path: Path, make_bench: Callable[[WireEnd], Bench]
) -> None:
    path = tmp_path / "wire.pcapng"
    bench = make_bench(CapturedWire(NullWire(), CaptureFile(path)))
    for frame in FRAMES:
        bench.emit(frame)
    found = read_pcapng(path.read_bytes())
    assert [(packet.frame, packet.direction) for packet in found] == [(frame, "out") for frame in FRAMES]


def test_what_leaves_while_a_frame_arrives_stands_behind_it(
    tmp_path: Path, make_bench: Callable[[WireEnd], Bench]
) -> None:
    """A frame that has arrived is written when it is placed, with the time of its arrival, at its place."""
    path = tmp_path / "wire.pcapng"
    bench = make_bench(CapturedWire(NullWire(), CaptureFile(path)))
    engine, lib = bench.engine, bench.engine.lib
    wire, note = engine.ffi.addressof(engine.e.wire), engine.ffi.addressof(engine.e.placed)
    many = 40
    for n in range(many):
        came, answers = bytes([n]) * 9000, [bytes([n, k]) * (30 + k) for k in range(n % 4)]
        lib.fp_capture_arrives(wire, came, len(came))
        for answer in answers:
            lib.fp_capture_sent(wire, answer, len(answer), note)
        lib.fp_capture_placed(wire, note)
    lib.fp_capture_placed(wire, note)
    lib.fp_wire_flush(engine.e)
    found = read_pcapng(path.read_bytes())
    expected = []
    for n in range(many):
        expected.append((bytes([n]) * 9000, "in"))
        expected += [(bytes([n, k]) * (30 + k), "out") for k in range(n % 4)]
    assert sorted((p.frame, p.direction) for p in found) == sorted(expected)
    times = [packet.time_ns for packet in found]
    assert sum(one > other for one, other in pairwise(times)) <= 2, "out of order only where the buffer was full"
    assert {packet.comment for packet in found} == {"from the card itself"}


def test_addresses_are_those_of_the_system() -> None:
    assert sockaddr("/run/x") == b"\x01\0/run/x\0"
    assert sockaddr(("127.0.0.1", 0x1234)) == bytes.fromhex("0200 1234 7f000001") + bytes(8)
    assert sockaddr(("::1", 0x1234, 0, 0)) == bytes.fromhex("0a00 1234 00000000") + bytes(15) + b"\1" + bytes(4)
