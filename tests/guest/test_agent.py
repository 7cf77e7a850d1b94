# SPDX-License-Identifier: BSD-3-Clause
"""The agent in the guest: files, programs, sockets, and several requests at once."""

from __future__ import annotations

import base64
import errno
import time
from typing import TYPE_CHECKING

import pytest

from harness.errors import LabBroken
from harness.guest.agent import AgentRefusedError
from harness.guest.ssh import CommandFailedError
from harness.lab import GUEST_IPV4
from harness.traffic import Flow, numbered_frames, read_numbered

if TYPE_CHECKING:
    from harness.lab import Bound, Lab

ROUND_TRIP_S = 0.2


def test_bytes_survive_the_way_there_and_back(lab: Lab) -> None:
    agent = lab.booted().agent
    data = bytes(range(256)) * 300
    agent.store("/root/bytes", data)
    assert agent.read_bytes("/root/bytes") == data


def test_an_errno_of_the_guest_reaches_the_asker(lab: Lab) -> None:
    with pytest.raises(AgentRefusedError, match="FileNotFoundError") as caught:
        lab.booted().agent.read("/no/such/file")
    assert caught.value.errno == errno.ENOENT


def test_an_unknown_call_is_refused_by_name(lab: Lab) -> None:
    with pytest.raises(AgentRefusedError, match="not 'make_coffee'"):
        lab.booted().agent.call("make_coffee")


def test_a_slow_request_does_not_hold_up_a_quick_one(lab: Lab) -> None:
    agent = lab.booted().agent
    slow = agent.start("wait_text", path="/root/flag", text="up", seconds=20)
    agent.store("/root/other", b"1")
    assert not slow.done
    agent.store("/root/flag", b"up")
    assert slow.result() == "up"


def test_a_round_trip_is_short(lab: Lab) -> None:
    agent = lab.booted().agent
    times = []
    for _ in range(20):
        began = time.monotonic()
        agent.call("clock")
        times.append(time.monotonic() - began)
    assert sorted(times)[10] < ROUND_TRIP_S


def test_an_answer_that_does_not_come_in_time_is_named(lab: Lab) -> None:
    with pytest.raises(LabBroken, match=r"the guest must answer wait_text within 0\.3 s"):
        lab.booted().agent.start("wait_text", path="/root/never", text="1", seconds=2).result(0.3)


def test_a_program_is_run_with_its_status_and_both_streams(lab: Lab) -> None:
    done = lab.booted().agent.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (done.rc, done.out, done.err) == (7, "out\n", "err\n")


def test_a_spawned_program_runs_until_it_is_killed_and_then_is_reaped(lab: Lab) -> None:
    agent = lab.booted().agent
    pid = agent.call("spawn", argv=["sleep", "1000"])
    assert agent.call("reap", pid=pid, seconds=0.1)["rc"] is None
    agent.call("kill", pid=pid)
    assert agent.call("reap", pid=pid, seconds=5)["rc"] == -9


def test_pinned_work_runs_on_its_cpu(lab: Lab) -> None:
    agent = lab.booted().agent
    status = agent.call("read", cpus=[2], path="/proc/thread-self/status")
    (line,) = [line for line in status.splitlines() if line.startswith("Cpus_allowed_list")]
    assert line.split()[1] == "2"


def test_the_shell_tells_status_and_streams(lab: Lab) -> None:
    guest = lab.booted()
    done = guest.run("echo out; echo err >&2; exit 3", check=False)
    assert (done.rc, done.stdout, done.stderr) == (3, "out\n", "err\n")
    with pytest.raises(CommandFailedError, match=r"must end with status 0, not 4; it said: why"):
        guest.run("echo why >&2; exit 4")


def test_datagrams_of_the_partner_arrive_with_their_checksums(bound: Bound) -> None:
    agent = bound.guest.agent
    handle = agent.call("open_socket", kind="udp")
    agent.call("bind", handle=handle, address=[GUEST_IPV4, 4242])
    waiting = agent.start("receive", handle=handle, count=5, seconds=10, body=True)
    assert bound.peer.guest is not None
    flow = Flow(bound.peer.station, bound.peer.guest, destination_port=4242, number=7)
    bound.peer.send(*numbered_frames(flow, 5, size=300))
    answer = waiting.result()
    assert answer["why"] == "count"
    assert [read_numbered(base64.b64decode(body)) for _, _, _, body in answer["got"]] == [(7, n) for n in range(5)]


def test_numbered_datagrams_leave_on_the_wire_in_order(bound: Bound) -> None:
    agent = bound.guest.agent
    handle = agent.call("open_socket", kind="udp")
    bound.peer.forget()
    sent = agent.call("send_numbered", handle=handle, count=20, size=200, address=["198.18.0.2", 9], cpus=[1])
    assert sent["sent"] == 20
    frames = bound.peer.expect(20, where=lambda frame: len(frame) == 242)
    assert [int.from_bytes(frame[42:46], "big") for frame in frames] == list(range(20))
