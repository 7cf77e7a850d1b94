# SPDX-License-Identifier: BSD-3-Clause
"""The byte formats of wires, with no socket in sight: the stream's framing, pcapng, the grammar of --wire."""

from __future__ import annotations

import select
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import UsageError
from emulator.wires import open_wire
from emulator.wires.address import Address, parse_address
from emulator.wires.capture import CapturedWire, CaptureFile
from emulator.wires.framing import LENGTH_MAX, Deframer, FramingLost, enframe
from emulator.wires.loopback import LoopbackWire
from tests.protocol.pcapng_reader import read_pcapng

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

FRAMES = st.lists(st.binary(min_size=0, max_size=70), max_size=12)


@given(FRAMES, st.randoms(use_true_random=False))
def test_frames_survive_any_cutting_of_the_stream(frames: list[bytes], random: Random) -> None:
    stream = b"".join(struct.pack(">I", len(frame)) + frame for frame in frames)
    deframer = Deframer()
    found = []
    while stream:
        size = random.randint(1, 30)
        found += deframer.feed(stream[:size])
        stream = stream[size:]
    assert found == frames


def test_length_is_four_bytes_big_endian() -> None:
    assert enframe(b"\xaa" * 0x102) == b"\0\0\1\2" + b"\xaa" * 0x102


def test_absurd_length_is_refused_with_its_value() -> None:
    deframer = Deframer()
    with pytest.raises(FramingLost, match=f"not {LENGTH_MAX + 1}"):
        deframer.feed(struct.pack(">I", LENGTH_MAX + 1))


def test_greatest_length_is_accepted() -> None:
    frame = bytes(range(256)) * 272
    assert len(frame) == LENGTH_MAX
    assert Deframer().feed(enframe(frame)) == [frame]


def test_capture_tells_direction_time_and_bytes(tmp_path: Path) -> None:
    times = iter((5_000_000_007, 1_700_000_000_123_456_789, 1_700_000_000_123_456_790))
    file = CaptureFile(tmp_path / "wire.pcapng", now_ns=lambda: next(times))
    wire = CapturedWire(LoopbackWire(), file)
    frame = bytes(range(61))
    wire.emit(frame)
    before_close = read_pcapng((tmp_path / "wire.pcapng").read_bytes())
    assert wire.poll() == [frame]
    with wire.taken(frame):
        wire.emit(frame)
    wire.close()
    assert [(p.time_ns, p.direction, p.frame) for p in before_close] == [(5_000_000_007, "out", frame)]
    [out, back, answer] = read_pcapng((tmp_path / "wire.pcapng").read_bytes())
    assert (back.time_ns, back.direction, back.frame) == (1_700_000_000_123_456_789, "in", frame)
    assert (answer.time_ns, answer.direction) == (1_700_000_000_123_456_790, "out"), "what leaves meanwhile comes after"
    assert out == before_close[0]


class Said:
    def received_note(self) -> str:
        return "rx queue 3, descriptor 7"

    def sent_note(self) -> str:
        return "tx é"


def test_capture_says_what_became_of_each_frame(tmp_path: Path) -> None:
    wire = CapturedWire(LoopbackWire(), CaptureFile(tmp_path / "wire.pcapng"))
    wire.explained_by(Said())
    wire.emit(bytes(61))
    for frame in wire.poll():
        with wire.taken(frame):
            pass
    wire.close()
    found = read_pcapng((tmp_path / "wire.pcapng").read_bytes())
    assert [packet.comment for packet in found] == ["tx é", "rx queue 3, descriptor 7"]


def test_dropped_frame_is_not_in_the_capture(tmp_path: Path) -> None:
    inner = LoopbackWire()
    wire = CapturedWire(inner, CaptureFile(tmp_path / "wire.pcapng"))
    inner.close()
    wire.emit(bytes(60))
    wire.close()
    assert wire.counts.dropped == 1
    assert read_pcapng((tmp_path / "wire.pcapng").read_bytes()) == []


@given(st.lists(st.binary(min_size=14, max_size=90), max_size=6))
def test_capture_is_readable_whatever_the_lengths(
    tmp_path_factory: pytest.TempPathFactory, frames: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("capture") / "wire.pcapng"
    file = CaptureFile(path)
    for frame in frames:
        file.add(frame, 1)
    file.close()
    assert [packet.frame for packet in read_pcapng(path.read_bytes())] == frames


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("/run/a:1", Address(path="/run/a:1")),
        ("card.sock", Address(path="card.sock")),
        ("10.1.2.3:4567", Address(host="10.1.2.3", port=4567)),
        ("[fd00::7]:80", Address(host="fd00::7", port=80)),
        (":70", Address(path=":70")),
    ],
)
def test_address_with_slash_or_without_port_is_a_path(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("tun:tap0", "tun:tap0"),
        ("tap:", "tap:"),
        ("tap:a-name-of-16-byt", "a-name-of-16-byt"),
        ("tap:a/b", "a/b"),
        ("dgram:local=/tmp/a", "remote is missing"),
        ("dgram:local=/tmp/a,remote=/tmp/b,remote=/tmp/c", "remote=/tmp/c"),
        ("dgram:local=/tmp/a,remote=1.2.3.4:5", "1.2.3.4:5"),
        ("dgram:local=,remote=/tmp/b", "local="),
        ("stream:/tmp/a", "stream:/tmp/a"),
        ("stream:connect=/tmp/a,listen=/tmp/b", "listen=/tmp/b"),
        ("stream:connect=1.2.3.4:70000", "70000"),
        ("stream:listen=/" + "x" * 107, "107 bytes"),
        ("loopback:x", "loopback:x"),
        ("null:", "null:"),
        ("", "''"),
    ],
)
def test_bad_spec_is_refused_with_the_value_in_the_sentence(spec: str, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_wire(spec)
    assert named in str(caught.value)


def test_loopback_gives_back_in_order_and_wakes_the_loop() -> None:
    wire = open_wire("loopback")
    frames = [bytes([n]) * 60 for n in range(150)]
    for frame in frames:
        wire.emit(frame)
    found: list[bytes] = []
    descriptor = wire.fileno()
    assert descriptor is not None
    while select.select([descriptor], [], [], 0)[0]:
        found += wire.poll()
    assert found == frames
    assert wire.poll() == []
    wire.close()


def test_null_takes_everything_and_never_wakes_the_loop() -> None:
    wire = open_wire("null")
    wire.emit(bytes(60))
    assert (wire.fileno(), wire.poll(), wire.counts.emitted) == (None, [], 1)
