# SPDX-License-Identifier: BSD-3-Clause
"""The capture of a guest's traffic, as tshark reads it: each packet says what became of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from guest_images.progress import Progress
from harness.emulator import CardOptions
from harness.oracles import rss
from harness.setup.steps import tools
from harness.traffic import numbered_frames

if TYPE_CHECKING:
    from pathlib import Path

    from harness.lab import Lab
    from harness.seen import Seen

COUNT = 40
STRANGER = "02:00:00:00:00:99"
END_OF_PACKET = 1 << 24
"""In the dword of a transmit descriptor after the address (82576 7.2.2.3)."""

FIELDS = ("frame.comment", "eth.src", "eth.dst", "udp.dstport", "frame.len")


def read_by_tshark(path: Path) -> list[dict[str, str]]:
    """Return the packets' fields by name; tshark must have no complaint about the file."""
    prefix = tools("tshark", ("tshark",), os.environ, Progress(sys.stderr))
    words = [word for field in FIELDS for word in ("-e", field)]
    argv = prefix.argv("usr/bin/tshark", "-n", "-r", str(path), "-T", "fields", "-E", "separator=|", *words)
    environment = {**os.environ, "HOME": str(path.parent), "XDG_CONFIG_HOME": str(path.parent)}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "cut short" not in done.stderr, done.stderr
    return [dict(zip(FIELDS, line.split("|"), strict=True)) for line in done.stdout.splitlines()]


def received(events: list[Seen]) -> dict[str, list[str]]:
    """Return the comments that events promise, by queue."""
    found: dict[str, list[str]] = defaultdict(list)
    slot = 0
    for event in events:
        if event.kind == "RxWriteBack":
            slot = event.index
        elif event.kind == "FrameDelivered":
            queue = f"rx queue {event.queue}"
            found[queue].append(f"{queue}, descriptor {slot}, RSS hash {event.rss_hash:#010x} type {event.rss_type} (")
    return found


def sent(events: list[Seen]) -> dict[str, list[str]]:
    """Return the same for what is sent: a packet's descriptors end with the one that has EOP."""
    found: dict[str, list[str]] = defaultdict(list)
    begun: dict[int, int] = {}
    for event in events:
        if event.kind == "TxDescriptor":
            first = begun.setdefault(event.queue, event.index)
            if int.from_bytes(event.raw[8:12], "little") & END_OF_PACKET:
                del begun[event.queue]
                slots = f"descriptor {first}" if first == event.index else f"descriptors {first}-{event.index}"
                found[f"tx queue {event.queue}"].append(f"tx queue {event.queue}, {slots}")
    return found


def within(expected: list[str], comments: list[str]) -> bool:
    """Tell whether comments that begin as ``expected`` follow each other somewhere among ``comments``."""
    many = len(expected)
    return any(
        all(text.startswith(start) for start, text in zip(expected, comments[at:], strict=False))
        for at in range(len(comments) - many + 1)
    )


@pytest.mark.parametrize("engine", ["native", "python"])
def test_tshark_shows_queue_hash_and_descriptor_of_each_packet(lab: Lab, engine: str) -> None:
    bound = lab.bound(CardOptions(engine=engine))
    agent = bound.guest.agent
    [flow] = bound.peer.flows(1)
    stranger = bytes.fromhex(STRANGER.replace(":", "")) + bytes(6) + b"\x88\xb5" + bytes(46)
    with bound.card.recording("RxWriteBack", "FrameDelivered", "FrameDropped", "TxDescriptor", "FrameEmitted") as seen:
        bound.peer.send(*numbered_frames(flow, COUNT))
        bound.peer.send(stranger)
        handle = agent.call("open_socket", kind="udp")
        agent.call("send_numbered", handle=handle, count=COUNT, size=100, address=["198.18.0.2", 9], cpus=[1])
        agent.call("close", handle=handle)
        seen.wait(COUNT, kind="FrameDelivered")
        seen.wait(1, kind="FrameDropped")
        seen.wait(COUNT, kind="FrameEmitted")
    events = seen.all()
    packets = read_by_tshark(lab.card_folder / "wire.pcapng")
    comments = [packet["frame.comment"] for packet in packets]
    assert all(comments)
    for queue, expected in (*received(events).items(), *sent(events).items()):
        assert within(expected, [text for text in comments if text.startswith(f"{queue},")]), queue
    ours = [packet["frame.comment"] for packet in packets if packet["udp.dstport"] == "9"]
    assert len(ours) == COUNT
    assert all(text.startswith("tx queue ") for text in ours)
    strangers = [packet["frame.comment"] for packet in packets if packet["eth.dst"] == STRANGER]
    assert strangers == ["dropped: address"]
    key = bound.guest.proc.rss_key()[: rss.KEY_BYTES]
    rss_hash = rss.toeplitz(key, b"".join(flow.addresses))
    assert len([text for text in comments if f"RSS hash {rss_hash:#010x} type 2 (IPv4)" in text]) >= COUNT
