# SPDX-License-Identifier: BSD-3-Clause
"""Decoding of ftrace's binary pages, from bytes put together by hand after include/linux/ring_buffer.h."""

from __future__ import annotations

import struct

import pytest

from harness.guest.ringbuffer import Decoder, Record, parse_comms, parse_format

NAPI_POLL = """name: napi_poll
ID: 1541
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:struct napi_struct * napi;\toffset:8;\tsize:8;\tsigned:0;
\tfield:__data_loc char[] dev_name;\toffset:16;\tsize:4;\tsigned:0;
\tfield:int work;\toffset:20;\tsize:4;\tsigned:1;
\tfield:u8 mac[6];\toffset:24;\tsize:6;\tsigned:0;
\tfield:char comm[4];\toffset:30;\tsize:4;\tsigned:0;

print fmt: "napi poll", REC->napi
"""
FORMAT = parse_format("napi:napi_poll", NAPI_POLL)


def event(work: int, *, pid: int = 7, flags: int = 0x10, number: int = 1541) -> bytes:
    head = struct.pack("<HBBi", number, flags, 0, pid)
    body = struct.pack("<QIi6s4s", 0xFFFF888000000000, 34 | 5 << 16, work, b"\1\2\3\4\5\6", b"ab\0c")
    return head + body + b"eth0\0\0"


def short(delta: int, data: bytes) -> bytes:
    data += bytes(-len(data) % 4)
    return struct.pack("<I", len(data) // 4 | delta << 5) + data


def long(delta: int, data: bytes) -> bytes:
    data += bytes(-len(data) % 4)
    return struct.pack("<II", delta << 5, len(data) + 4) + data


def page(stamp: int, *events: bytes, flags: int = 0) -> bytes:
    data = b"".join(events)
    return (struct.pack("<QQ", stamp, len(data) | flags) + data).ljust(4096, b"\xaa")


def decode(data: bytes, comms: dict[int, str] | None = None) -> list[Record]:
    return list(Decoder({FORMAT.number: FORMAT}, comms or {}).pages(3, data))


def test_fields_are_read_by_their_kind() -> None:
    (record,) = decode(page(1000, short(5, event(-2))), {7: "ksoftirqd/3"})
    assert (record.name, record.cpu, record.t, record.pid, record.comm) == ("napi:napi_poll", 3, 1005, 7, "ksoftirqd/3")
    assert record.fields == {
        "napi": 0xFFFF888000000000,
        "dev_name": "eth0",
        "work": -2,
        "mac": b"\1\2\3\4\5\6",
        "comm": "ab",
    }


@pytest.mark.parametrize(("flags", "hard", "soft"), [(0x08, True, False), (0x10, False, True), (0x81, False, False)])
def test_the_context_is_told_by_its_flags(flags: int, hard: bool, soft: bool) -> None:
    (record,) = decode(page(0, short(1, event(1, flags=flags))))
    assert (record.in_hardirq, record.in_softirq) == (hard, soft)


def test_times_add_up_over_events_and_extensions() -> None:
    extend = struct.pack("<II", 30 | 3 << 5, 2)
    data = page(10, short(1, event(1)), extend, short(4, event(2)), long(5, event(3)))
    jump = 3 + (2 << 27)
    assert [r.t for r in decode(data)] == [11, 11 + jump + 4, 11 + jump + 9]
    assert [r["work"] for r in decode(data)] == [1, 2, 3]


def test_an_absolute_time_replaces_what_was_added_up() -> None:
    absolute = struct.pack("<II", 31 | 6 << 5, 1)
    assert [r.t for r in decode(page(999, absolute, short(2, event(1))))] == [6 + (1 << 27) + 2]


def test_discarded_events_and_the_end_of_a_page_are_skipped() -> None:
    discarded = struct.pack("<II", 29 | 1 << 5, 12) + bytes(8)
    end = struct.pack("<I", 29) + b"\xff" * 16
    assert [r["work"] for r in decode(page(0, short(1, event(1)), discarded, short(1, event(2)), end))] == [1, 2]


def test_nothing_beyond_the_commit_is_read() -> None:
    data = page(0, short(1, event(1)))
    rest = short(1, event(9))
    assert [r["work"] for r in decode(data[: 16 + 44] + rest + data[16 + 44 + len(rest) :])] == [1]


def test_pages_follow_each_other_and_missed_events_are_counted() -> None:
    decoder = Decoder({FORMAT.number: FORMAT})
    data = page(0, short(1, event(1))) + page(50, short(1, event(2)), flags=1 << 31)
    assert [r.t for r in decoder.pages(0, data)] == [1, 51]
    assert decoder.lost == 1


def test_events_that_nobody_asked_for_are_left_out() -> None:
    assert [r["work"] for r in decode(page(0, short(1, event(1, number=3)), short(1, event(2))))] == [2]


def test_process_zero_is_the_idle_task_and_unknown_ones_are_marked() -> None:
    first, second = decode(page(0, short(1, event(1, pid=0)), short(1, event(1, pid=99))))
    assert (first.comm, second.comm) == ("<idle>", "<...>")


def test_saved_command_names_may_hold_blanks() -> None:
    assert parse_comms("1 init\n33 napi/eth0 x\n") == {1: "init", 33: "napi/eth0 x"}
