# SPDX-License-Identifier: BSD-3-Clause
"""Wires against a real QEMU without a guest: its hub joins -netdev stream and -netdev dgram, both ends ours."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from emulator.wires import WireEnd, open_wire
from guest_images.cache import cache_root
from guest_images.prefix import Prefix

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "qemu-system-x86_64"
PATIENCE_S = 20.0
PROBE = b"probe" * 12


def qemu_argv() -> tuple[str, ...]:
    """Return how to start a QEMU that is already on this machine; skip when there is none."""
    if shutil.which(PROGRAM):
        return (PROGRAM,)
    for root in sorted(cache_root(os.environ).glob("prefix/qemu-*")):
        if (root / "usr/bin" / PROGRAM).exists():
            return Prefix(root, {}).argv(f"usr/bin/{PROGRAM}", library_folders=("pulseaudio",))
    pytest.skip(f"{PROGRAM} is neither on the PATH nor in the cache")


def take(wire: WireEnd, count: int) -> list[bytes]:
    """Return ``count`` frames that are no probes."""
    found: list[bytes] = []
    end = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < end:
        found += [frame for frame in poll_when_ready(wire) if frame != PROBE]
    return found


def poll_when_ready(wire: WireEnd, seconds: float = 0.1) -> list[bytes]:
    descriptor = wire.fileno()
    assert descriptor is not None
    readable, _, _ = select.select([descriptor], [], [], seconds)
    return list(wire.poll()) if readable else []


def until_probes_arrive(source: WireEnd, others: list[WireEnd], qemu: subprocess.Popen[bytes]) -> None:
    """Send probes until each of ``others`` has had one: QEMU's netdevs drop what comes before they are connected."""
    waiting = list(others)
    end = time.monotonic() + PATIENCE_S
    while waiting and time.monotonic() < end:
        assert qemu.poll() is None, qemu.stderr and qemu.stderr.read()
        source.emit(PROBE)
        waiting = [wire for wire in waiting if not poll_when_ready(wire)]
    assert not waiting


def test_qemus_stream_and_dgram_understand_ours(tmp_path: Path) -> None:
    argv = qemu_argv()
    called = open_wire(f"stream:listen={tmp_path}/called")
    datagrams = open_wire(f"dgram:local={tmp_path}/ours,remote={tmp_path}/qemus")
    calling = open_wire(f"stream:connect={tmp_path}/calling")
    netdevs = (
        f"stream,id=a,server=off,addr.type=unix,addr.path={tmp_path}/called",
        f"dgram,id=b,local.type=unix,local.path={tmp_path}/qemus,remote.type=unix,remote.path={tmp_path}/ours",
        f"stream,id=c,server=on,addr.type=unix,addr.path={tmp_path}/calling",
    )
    hub = [f"hubport,id=port-{name},hubid=0,netdev={name}" for name in "abc"]
    words = [word for netdev in (*netdevs, *hub) for word in ("-netdev", netdev)]
    qemu = subprocess.Popen(
        [*argv, "-machine", "none", "-nodefaults", "-display", "none", *words], stderr=subprocess.PIPE
    )
    wires = (called, datagrams, calling)
    try:
        until_probes_arrive(datagrams, [called, calling], qemu)
        lost_probes = datagrams.counts.dropped
        for number, source in enumerate(wires):
            frames = [bytes([number, at]) * (30 + at * 350) for at in range(5)]
            for frame in frames:
                source.emit(frame)
            others = [wire for wire in wires if wire is not source]
            assert [take(wire, 5) for wire in others] == [frames, frames]
        assert [wire.counts.dropped for wire in wires] == [0, lost_probes, 0]
    finally:
        qemu.terminate()
        qemu.communicate()
        for wire in wires:
            wire.close()
