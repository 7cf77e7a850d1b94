# SPDX-License-Identifier: BSD-3-Clause
"""The TAP wire, in a network namespace of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

NEW_NAMESPACE = ["unshare", "--user", "--map-root-user", "--net"]

INSIDE = """
import fcntl, os, socket, struct, sys
from emulator.wires import open_wire
from emulator.errors import EnvironmentLacks

wire = open_wire("tap:hiltap")
wire.emit(bytes(60))
assert wire.counts.dropped == 1, "the interface is still down"
control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
request = struct.pack("16sH22x", b"hiltap", 0x1 | 0x40)  # IFF_UP, IFF_RUNNING
fcntl.ioctl(control, 0x8914, request)  # SIOCSIFFLAGS
host = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5))
host.bind(("hiltap", 0x88B5))
host.settimeout(5)
up = b"\\xff" * 6 + b"\\2\\0\\0\\0\\0\\1" + b"\\x88\\xb5" + b"guest to host" * 5
wire.emit(up)
got = host.recv(2048)
assert got == up, got
down = b"\\2\\0\\0\\0\\0\\1" + b"\\2\\0\\0\\0\\0\\2" + b"\\x88\\xb5" + b"host to guest" * 5
host.send(down)
found = [f for f in wire.poll() if f[12:14] == b"\\x88\\xb5"]
assert found == [down], found
try:
    open_wire("tap:hiltap")
except EnvironmentLacks as error:
    assert "hiltap" in str(error) and "another process" in str(error), error
else:
    raise AssertionError("a tap that is in use must not open twice")
wire.close()
assert "hiltap" not in [name for _, name in socket.if_nameindex()]
print("frames crossed")
"""


def test_frames_cross_a_tap_both_ways() -> None:
    if subprocess.run([*NEW_NAMESPACE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("user and network namespaces are not allowed here")
    done = subprocess.run(
        [*NEW_NAMESPACE, sys.executable, "-c", INSIDE], check=False, capture_output=True, text=True, timeout=30
    )
    assert (done.stdout, done.stderr) == ("frames crossed\n", "")
