# SPDX-License-Identifier: BSD-3-Clause
"""``hilnic debug`` and ``hilnic shell`` as a person uses them, on a guest of their own."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from guest_images.progress import Progress
from harness.deadline import Deadline, wait_until
from harness.setup.steps import tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
HILNIC = (sys.executable, "-m", "harness.cli")
PATIENCE_S = 100.0


def hilnic(*words: str, typed: str = "", engine: str = "native") -> subprocess.CompletedProcess[str]:
    command = [*HILNIC, words[0], "--engine", engine, *words[1:]]
    return subprocess.run(
        command, cwd=ROOT, input=typed, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def left_running() -> list[str]:
    """The QEMUs and cards that are children of nobody we know: none may outlive its session."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes().split(b"\0") if process.name.isdigit() else []
        except OSError:
            continue
        if b"emulator" in words and any(b"run/debug" in word for word in words):
            found.append(process.name)
    return found


@pytest.mark.parametrize("engine", ["native", "python"])
def test_a_session_without_a_screen_answers_line_by_line(engine: str) -> None:
    lines = (
        "guest ping -c1 -W5 198.18.0.2 | grep received",
        "guest false",
        "registers STATUS RDLEN[1]",
        "ring rx 1",
        "events 50 InterruptSent",
        "qmp query-status",
        "hmp info name",
        "fault hold_interrupts vector=3",
        "faults",
        "heal",
        "faults",
        "break before DmaWrite purpose=tx-write-back",
        "type ping -c1 -W20 198.18.0.2",
        "wait",
        "step InterruptSent",
        "memory 0x100000 16",
        "delete",
        "continue",
        "rule hold_interrupts vector=1 when FrameDropped reason=vlan",
        "rules",
        "link down",
        "guest timeout 10 sh -c 'until grep -q 0 /sys/class/net/eth0/carrier; do :; done'; echo gone",
    )
    done = hilnic("debug", typed="\n".join(lines) + "\nquit\nguest echo after-the-end\n", engine=engine)
    said = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "there is no screen" in said[0]
    assert "1 packets transmitted, 1 received" in said[1]
    assert said[2] == "exit status 1"
    assert re.match(r"STATUS +[0-9a-f]{8} .*lu=1", said[3])
    assert re.match(r"RDLEN\[1\] +00001000  ", said[4])
    assert "count 256" in said[5]
    assert any(line.startswith(">") and "RxWriteback" in line for line in said)
    assert any("InterruptSent vector=" in line for line in said)
    text = done.stdout
    assert '"status": "running"' in text
    assert "hilnic" in text
    assert '"held_vectors": [\n  3\n ]' in text
    assert "the card stands before" in text
    assert re.search(r"stands before .* InterruptSent vector=", text)
    assert re.search(r"0x0000100000  ([0-9a-f]{2} ){15}[0-9a-f]{2}", text)
    assert "rule 3: hold_interrupts vector=1 when FrameDropped reason=vlan  (met 0, 0 match; acted 0)" in text
    assert said[-1:] == ["gone"], "the guest's carrier went with the cable"
    assert "after-the-end" not in text
    assert left_running() == []


def test_lines_that_ask_for_nothing_are_told_so_and_the_session_goes_on() -> None:
    wrong = {
        "nonsense": "a line must begin with one of guest, type",
        "ring xx 0": "direction must be one of rx, tx, not 'xx'",
        "ring rx": "the queue must be given",
        "ring rx seven": "the queue must be a number from 0 on, not 'seven'",
        "ring rx 16": "queue must be a number from 0 to 15, not 16",
        "registers NOSUCH": "register must be one of this card's",
        "card events since": "must have the form name=value, not 'since'",
        "fault hold_interrupts vector=99": "vector must be a number from 0 to 24, not 99",
        "break Nothing": "an event must be * or one of AutoMasked",
        "rule stop": "a rule must have the form ACTION",
        "continue": "the card must stand at an event, and it runs",
        "wait 0": "no rule waits for anything",
        "memory": "an address must follow",
        "link sideways": "link must be up or down, not 'sideways'",
        "guest 'open": "exit status 2",
        "qmp 'open": "must have closed quotes",
        "qmp no-such-command": "QEMU must accept no-such-command",
        "gdb now": "nothing must follow gdb, not 'now'",
        "guest": "a command must follow",
    }
    done = hilnic("debug", typed="\n".join([*wrong, "guest echo still here"]) + "\n")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "still here"
    assert [sentence for sentence in wrong.values() if sentence not in done.stdout] == []


class Stub:
    """A client of QEMU's gdb stub (GDB remote serial protocol)."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(path)

    def ask(self, text: str) -> str:
        self._socket.sendall(f"${text}#{sum(text.encode()) & 0xFF:02x}".encode())
        answer = b""
        while not re.search(rb"\$[^#]*#..", answer):
            piece = self._socket.recv(65536)
            assert piece, f"the stub hung up at {text}"
            answer += piece
        self._socket.sendall(b"+")
        return answer[answer.index(b"$") + 1 : answer.rindex(b"#")].decode()

    def close(self) -> None:
        self._socket.close()


def test_the_gdb_stub_reads_the_running_kernel_and_lets_it_go_on() -> None:
    program = subprocess.Popen(
        [*HILNIC, "debug"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write("guest grep ' linux_banner$' /proc/kallsyms\ngdb\n")
        program.stdout.readline()
        address = int(program.stdout.readline().split()[0], 16)
        command = shlex.split(program.stdout.readline())
        assert command[:2] == ["gdb", "-q"]
        stub = Stub(command[-1].removeprefix("target remote "))
        assert stub.ask("?").startswith("T")
        banner = bytes.fromhex(stub.ask(f"m{address:x},20"))
        assert banner.startswith(b"Linux version 6.")
        assert stub.ask("D") == "OK"
        stub.close()
        out, _ = program.communicate("guest echo goes on\nquit\n", timeout=PATIENCE_S)
        assert out.splitlines()[-1] == "goes on"
        assert program.returncode == 0
    finally:
        program.kill()
        program.wait()


@contextmanager
def terminal(folder: Path) -> Iterator[Callable[..., str]]:
    """A tmux of our own, 130 columns by 40 lines, with ``hilnic debug`` in it."""
    prefix = tools("tmux", ("tmux",), os.environ, Progress(sys.stderr))

    def tmux(*words: str) -> str:
        argv = prefix.argv("usr/bin/tmux", "-S", str(folder / "tmux"), "-f", "/dev/null", *words)
        return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True).stdout

    command = f"cd {ROOT}; {shlex.join([*HILNIC, 'debug'])}; echo ended with $?; read wait"
    try:
        tmux("new-session", "-d", "-x", "130", "-y", "40", command)
        yield tmux
    finally:
        subprocess.run(
            prefix.argv("usr/bin/tmux", "-S", str(folder / "tmux"), "kill-server"), capture_output=True, check=False
        )


def test_the_screen_shows_console_card_and_answers(tmp_path: Path) -> None:
    with terminal(tmp_path) as tmux:

        def shows(text: str) -> str:
            def look() -> str | None:
                screen = tmux("capture-pane", "-p")
                return screen if text in screen else None

            return wait_until(look, Deadline.after(60), f"the screen showing {text!r}")

        def types(text: str) -> None:
            tmux("send-keys", "-l", text)
            tmux("send-keys", "Enter")

        screen = shows("link up")
        assert "the guest's console" in screen
        assert "the card's events" in screen
        shows("NIC Link is Up")
        types("registers STATUS")
        shows("STATUS       8008")
        types("type echo typed-$((40 + 2))-by-hand")
        shows("typed-42-by-hand")
        types("guest ping -c1 -W5 198.18.0.2 | grep received")
        shows("1 packets transmitted, 1 received")
        shows("InterruptSent vector=")
        types("fault hold_interrupts vector=3")
        shows("FAULTS: held_vectors")
        types("nonsense")
        shows("error: a line must begin with one of guest")
        tmux("send-keys", "-l", "half a line")
        tmux("send-keys", "C-c")
        types("faults")
        shows('"held_vectors": [')
        types("quit")
        shows("ended with 0")
    assert left_running() == []


def test_ctrl_c_on_an_empty_line_ends_guest_and_card(tmp_path: Path) -> None:
    with terminal(tmp_path) as tmux:
        seen = ("link up", "ended with 130")
        wait_until(lambda: seen[0] in tmux("capture-pane", "-p"), Deadline.after(60), "the screen")
        tmux("send-keys", "C-c")
        wait_until(lambda: seen[1] in tmux("capture-pane", "-p"), Deadline.after(30), "the end of the session")
    assert left_running() == []


def test_the_shell_has_the_parts_of_the_lab_under_their_names() -> None:
    code = "print(lab.state, card.ring('tx', 2)['count'], guest.kernel[:2], netif.name, peer.connected, vm.running)"
    done = hilnic("shell", "-c", code)
    assert (done.returncode, done.stdout.split()) == (0, ["bound", "256", "6.", "eth0", "True", "True"]), done.stderr
    assert left_running() == []


def test_the_shell_takes_python_line_by_line() -> None:
    done = hilnic("shell", typed="x = card.register('STATUS')\nprint('link', x >> 1 & 1)\n1/0\nprint('on')\n")
    assert done.returncode == 0
    assert "link 1" in done.stdout
    assert "ZeroDivisionError" in done.stderr
    assert "on" in done.stdout


def test_code_that_raises_is_the_callers_and_is_shown() -> None:
    done = hilnic("shell", "-c", "card.ring('tx', 99)")
    assert done.returncode == 1
    assert "queue must be a number from 0 to 15, not 99" in done.stderr
