# SPDX-License-Identifier: BSD-3-Clause
"""``python -m tests.fastpath.on_tap arrives|leaves [OPTION]``: a native card on a TAP interface.

test_tap.py runs it in a network namespace of its own. An AF_PACKET socket with virtio_net headers is the host.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import sys

from device_model.events import FrameArrived
from emulator.fastpath.wire import NativeWire
from emulator.wires.spec import open_wire
from tests.fastpath.world import NativeWorld
from tests.model.igb.driver import Driver
from tests.model.packet import frames

HEAD = struct.Struct("=BBHHHH")
"""struct virtio_net_hdr: flags, kind, length of the headers, of a segment's payload, where the checksum is."""

SOL_PACKET, PACKET_VNET_HDR = 263, 15
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40
V4 = (bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
V6 = (bytes(15) + b"\1", bytes(15) + b"\2")
GSO_TCPV4, GSO_TCPV6 = 1, 4
MSS = 1000
PAYLOAD = bytes(range(256)) * 20
PARTS = [MSS] * 5 + [120]
MARK = b"RT"
"""Frames of the host's own stack do not begin with it."""


class Bench:
    """The card, its wire and the host."""

    def __init__(self, option: str) -> None:
        self.world = NativeWorld()
        self.wire = NativeWire(self.world.engine, open_wire(f"tap:hiltap{option}"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", b"hiltap", IFF_UP | IFF_RUNNING))
        self.host = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.host.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self.host.bind(("hiltap", 3))
        self.host.settimeout(5)


def packet(addresses: tuple[bytes, bytes], length: int) -> tuple[bytes, int]:
    """Return a packet of PAYLOAD whose checksum is begun with ``length``, and where its TCP header is."""
    whole = MARK + frames.tcp_frame(PAYLOAD, *addresses, (80, 5000), flags=0x19)[2:]
    l4 = len(whole) - len(PAYLOAD) - 20
    begun = frames.word_sum(frames.pseudo_header(*addresses, frames.TCP, length))
    return whole[: l4 + 16] + begun.to_bytes(2, "big") + whole[l4 + 18 :], l4


def arrives(bench: Bench) -> None:
    """What the host has not cut up arrives as the frames of a wire."""
    for addresses, kind in ((V4, GSO_TCPV4), (V6, GSO_TCPV6)):
        whole, l4 = packet(addresses, 20 + len(PAYLOAD))
        bench.host.send(HEAD.pack(1, kind, l4 + 20, MSS, l4, 16) + whole)
        for _ in range(20):
            bench.world.engine.lib.fp_wire_poll(bench.world.engine.e)
        told = [event for event in bench.world.take(FrameArrived) if isinstance(event, FrameArrived)]
        got = [event.frame for event in told if event.frame.startswith(MARK)]
        assert [len(frame) - l4 - 20 for frame in got] == PARTS, [len(frame) for frame in got]
        assert b"".join(frame[l4 + 20 :] for frame in got) == PAYLOAD
        first = int.from_bytes(whole[l4 + 4 : l4 + 8], "big")
        for n, frame in enumerate(got):
            segment = frame[l4:]
            assert int.from_bytes(segment[4:8], "big") == first + n * MSS
            assert segment[13] == (0x19 if n == len(PARTS) - 1 else 0x10), "FIN and PSH are the last one's"
            assert frames.word_sum(frames.pseudo_header(*addresses, frames.TCP, len(segment)) + segment) == 0xFFFF
            assert kind != GSO_TCPV4 or frames.word_sum(frame[14:34]) == 0xFFFF


def leaves(bench: Bench, *, whole: bool) -> None:
    """What the card cuts up crosses in one piece, or in its frames."""
    driver = Driver(bench.world, 32, 1)
    driver.up()
    bench.world.engine.e.rate_mbps = 0
    for addresses, kind in ((V4, GSO_TCPV4), (V6, GSO_TCPV6)):
        data, l4 = packet(addresses, 0)
        if kind == GSO_TCPV4:  # as igb_tso leaves it: neither length nor checksum
            data = data[:16] + bytes(2) + data[18:24] + bytes(2) + data[26:]
        else:
            data = data[:18] + bytes(2) + data[20:]
        context = {"maclen": 14, "iplen": l4 - 14, "l4len": 20, "ipv4": int(kind == GSO_TCPV4), "l4t": 1, "mss": MSS}
        driver.send(0, data, context=context, tse=1, ixsm=1, txsm=1, paylen=len(PAYLOAD))
        bench.world.clock.advance(1_000_000)
        bench.world.engine.lib.fp_wire_flush(bench.world.engine.e)
        got: list[bytes] = []
        while sum(len(each) - HEAD.size - l4 - 20 for each in got) < len(PAYLOAD):
            each = bench.host.recv(1 << 17)
            if each[HEAD.size :].startswith(MARK):
                got.append(each)
        bodies = [each[HEAD.size :] for each in got]
        assert b"".join(body[l4 + 20 :] for body in bodies) == PAYLOAD
        if whole:
            [each] = got
            flags, gso, _, size, _, _ = HEAD.unpack(each[: HEAD.size])
            assert (flags, gso, size) == (1, kind, MSS)
            assert bodies[0][l4 + 13] == 0x19, "FIN and PSH of the packet's end must be there"
        else:
            assert [len(body) - l4 - 20 for body in bodies] == PARTS
    assert bench.wire.counts.emitted == 2 * len(PARTS)


if __name__ == "__main__":
    what, *options = sys.argv[1:]
    made = Bench("".join(options))
    if what == "arrives":
        arrives(made)
    else:
        leaves(made, whole=not options)
    made.wire.close()
