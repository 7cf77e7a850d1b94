# SPDX-License-Identifier: BSD-3-Clause
"""A reader of pcapng written from the format's description alone; it shares nothing with the writer under test."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Captured:
    time_ns: int
    direction: str
    frame: bytes
    comment: str


def read_pcapng(data: bytes) -> list[Captured]:
    """Return the packets of a little-endian file with Ethernet interfaces; AssertionError for anything out of order."""
    packets: list[Captured] = []
    units: list[int] = []
    at = 0
    first = True
    while at < len(data):
        kind, length = le32(data, at), le32(data, at + 4)
        assert length % 4 == 0
        assert length >= 12
        assert at + length <= len(data)
        assert le32(data, at + length - 4) == length, "the two lengths of a block must agree"
        body = data[at + 8 : at + length - 4]
        if first:
            assert kind == 0x0A0D0D0A
            assert le32(body, 0) == 0x1A2B3C4D
            assert body[4:8] == bytes((1, 0, 0, 0))
            assert body[8:16] in (b"\xff" * 8, (len(data) - length).to_bytes(8, "little"))
            options(body[16:])
        elif kind == 1:
            assert body[:2] == b"\1\0", "link type must be Ethernet"
            resolution = options(body[8:]).get(9, b"\x06")
            assert resolution[0] < 128
            units.append(10 ** (9 - resolution[0]))
        elif kind == 6:
            interface, high, low, kept, size = (le32(body, n) for n in range(0, 20, 4))
            assert kept == size
            assert interface < len(units)
            padded = kept + -kept % 4
            extra = options(body[20 + padded :])
            flags = extra[2]
            direction = {0: "?", 1: "in", 2: "out"}[flags[0] & 3]
            packets.append(
                Captured(
                    (high << 32 | low) * units[interface], direction, body[20 : 20 + kept], extra.get(1, b"").decode()
                )
            )
        first = False
        at += length
    assert not first
    return packets


def options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        code, size = data[at] | data[at + 1] << 8, data[at + 2] | data[at + 3] << 8
        if code == 0:
            assert at + 4 == len(data), "nothing may follow the end of options"
            return found
        found[code] = data[at + 4 : at + 4 + size]
        at += 4 + size + -size % 4
    assert not found, "options must have an end"
    return found


def le32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")
