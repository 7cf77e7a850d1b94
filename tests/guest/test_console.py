# SPDX-License-Identifier: BSD-3-Clause
"""The console's reader, on a socket pair instead of a guest."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from harness.deadline import Deadline, wait_until
from harness.errors import GuestFault, LabBroken
from harness.guest.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CRIES = (
    "[ 1.0] Kernel panic - not syncing: Attempted to kill init!",
    "[ 1.0] BUG: kernel NULL pointer dereference, address: 0000000000000000",
    "[ 1.0] Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI",
    "[ 1.0] WARNING: CPU: 1 PID: 0 at net/core/dev.c:6654 net_rx_action+0x1a2/0x2f0",
    "[ 1.0] WARNING: possible circular locking dependency detected",
    "[ 1.0] INFO: task ip:123 blocked for more than 120 seconds.",
    "[ 1.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
    "[ 1.0] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [ip:99]",
    '[ 1.0] irq 11: nobody cared (try booting with the "irqpoll" option)',
    "[ 1.0] igb 0000:01:00.0 eth0: NETDEV WATCHDOG: CPU: 1: transmit queue 2 timed out 5120 ms",
    "[ 1.0] igb 0000:01:00.0: Detected Tx Unit Hang",
    "[ 1.0] igb 0000:01:00.0 eth0: PCIe link lost, device now detached",
)
HARMLESS = (
    "[ 1.0] igb 0000:01:00.0 eth0: igb: eth0 NIC Link is Up 1000 Mbps Full Duplex, Flow Control: RX",
    "[ 1.0] DEBUG: nothing at all",
    "[ 1.0] igb 0000:01:00.0: testing shared interrupt",
    "[ 1.0] Warning: unable to open an initial console.",
)


class Line:
    def __init__(self, folder: Path) -> None:
        ours, self.guest = socket.socketpair()
        self.log = folder / "console.log"
        self.console = Console(ours, self.log)
        self.ours = ours

    def say(self, *lines: str) -> None:
        self.guest.sendall("".join(f"{line}\r\n" for line in lines).encode())


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path)
    yield made
    made.guest.close()
    made.console.close()
    made.ours.close()


@pytest.mark.parametrize("cry", CRIES)
def test_a_cry_of_the_kernel_is_a_guest_fault_that_quotes_it(line: Line, cry: str) -> None:
    line.say("[ 0.9] calm", cry)
    with pytest.raises(GuestFault) as caught:
        line.console.wait_line("never said", Deadline.after(5))
    assert cry in str(caught.value)


@pytest.mark.parametrize("words", HARMLESS)
def test_an_everyday_line_is_no_fault(line: Line, words: str) -> None:
    line.say(words, "done")
    line.console.wait_line("^done$", Deadline.after(5))
    line.console.check()


def test_an_expected_cry_is_no_fault_but_another_is(line: Line) -> None:
    with line.console.expecting("NETDEV WATCHDOG"):
        line.say("eth0: NETDEV WATCHDOG: transmit queue 2 timed out", "first")
        line.console.wait_line("^first$", Deadline.after(5))
        line.console.check()
        line.say("BUG: scheduling while atomic")
        with pytest.raises(GuestFault, match="scheduling while atomic"):
            line.console.wait_line("never said", Deadline.after(5))


def test_after_the_block_the_same_cry_is_a_fault_again(line: Line) -> None:
    with line.console.expecting("NETDEV WATCHDOG"):
        pass
    line.say("eth0: NETDEV WATCHDOG: transmit queue 2 timed out")
    with pytest.raises(GuestFault):
        line.console.wait_line("never said", Deadline.after(5))


def test_the_report_begins_before_the_cry_and_ends_with_its_trace(line: Line) -> None:
    trace = ("WARNING: CPU: 0", "Call Trace:", " igb_poll+0x1/0x2", "---[ end trace 0 ]---")
    with line.console.expecting("WARNING"):
        line.say("before", "done")
        line.console.wait_line("^done$", Deadline.after(5))
    line.say(*trace, "after", "last")
    with pytest.raises(GuestFault):
        line.console.wait_line("never said", Deadline.after(5))
    wait_until(lambda: "last" in line.console.lines, Deadline.after(5), "the last line coming")
    with pytest.raises(GuestFault) as caught:
        line.console.check()
    assert str(caught.value).endswith("\n".join(("before", "done", *trace)))


def test_colours_and_carriage_returns_are_taken_off_and_broken_text_is_survived(line: Line) -> None:
    line.guest.sendall(b"\x1b[1;31mred\x1b[0m\r\n\xff\xfe\r\nend\r\n")
    line.console.wait_line("^end$", Deadline.after(5))
    assert line.console.lines[0] == "red"


def test_a_line_in_two_pieces_is_one_line(line: Line) -> None:
    line.guest.sendall(b"hilnic: gue")
    line.guest.sendall(b"st ready\n")
    assert line.console.wait_line("guest ready", Deadline.after(5)) == "hilnic: guest ready"


def test_silence_until_the_deadline_is_named(line: Line) -> None:
    line.say("the last words")
    line.console.wait_line("last words", Deadline.after(5))
    with pytest.raises(LabBroken, match=r"(?s)like 'guest ready', but it did not within 0\.2 s.*the last words"):
        line.console.wait_line("guest ready", Deadline.after(0.2))


def test_the_end_of_the_console_is_noticed_before_the_deadline(line: Line) -> None:
    line.guest.close()
    with pytest.raises(LabBroken, match="the console ended"):
        line.console.wait_line("guest ready", Deadline.after(30))


def test_the_log_file_holds_everything(line: Line) -> None:
    line.say("one", "two")
    line.console.wait_line("^two$", Deadline.after(5))
    line.console.close()
    assert line.log.read_text().split() == ["one", "two"]
