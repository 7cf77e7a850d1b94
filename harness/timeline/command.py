# SPDX-License-Identifier: BSD-3-Clause
"""``hilnic trace``: record both witnesses around a command, and show what was recorded."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.debug.command import namespace, opened, run_code
from harness.errors import UsageError
from harness.options import engine_option, fault_option, lab_options, module_option
from harness.report.results import ExitStatus
from harness.timeline import page, perfetto, text
from harness.timeline.record import BUFFER_KB, recorded
from harness.timeline.story import verdict
from harness.verb import Verb, epilogue

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.report.terminal import Progress

COMMAND_S = 600.0
OUTPUT = Path("build/trace.json")


def declare(verb: argparse.ArgumentParser) -> None:
    """Declare ``record`` and ``show``."""
    parts = verb.add_subparsers(required=True, metavar="record|show", parser_class=type(verb))
    record = parts.add_parser(
        "record",
        help="record both witnesses around a command",
        description="Bind a guest to the card, and record what both saw while a command of the guest, or Python, runs.",
    )
    record.add_argument("-o", "--output", type=Path, default=OUTPUT, metavar="FILE", help="default: %(default)s")
    record.add_argument("-c", default="", metavar="CODE", dest="code", help="run this Python, with the names of shell")
    record.add_argument(
        "--buffer-kb", type=int, default=BUFFER_KB, metavar="N", help="for each CPU's events; default: %(default)s"
    )
    record.add_argument("--dma", action="store_true", help="show every DMA access of the card, too")
    engine_option(record)
    module_option(record)
    fault_option(record)
    lab_options(record)
    record.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="what the guest is to run")
    record.set_defaults(part=record_command)
    show = parts.add_parser(
        "show", help="show what was recorded", description="Print a recorded time line, an event a line."
    )
    show.add_argument("file", type=Path, nargs="?", default=OUTPUT, metavar="FILE", help="default: %(default)s")
    show.add_argument("--from", type=float, default=0.0, dest="begin_us", metavar="US", help="microseconds")
    show.add_argument("--until", type=float, default=float("inf"), dest="end_us", metavar="US", help="microseconds")
    show.add_argument("--lane", default="", metavar="TEXT", help="only these, as 'CPU 1', 'vector', guest or wire")
    show.add_argument("--html", type=Path, metavar="PAGE", help="draw it there instead")
    show.set_defaults(part=show_command)


def command(arguments: argparse.Namespace, progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """Do the part that was asked for."""
    status: ExitStatus = arguments.part(arguments, progress, say)
    return status


def record_command(arguments: argparse.Namespace, progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """Record around what was asked for. BROKEN if that failed; what happened until then is kept."""
    words = [word for n, word in enumerate(arguments.words) if (n, word) != (0, "--")]
    if bool(words) == bool(arguments.code):
        raise UsageError("trace record must have a command of the guest after --, or Python after -c")
    if arguments.buffer_kb < 1:
        raise UsageError(f"--buffer-kb must be 1 or more, not {arguments.buffer_kb}")
    what = " ".join(words) or arguments.code
    status = ExitStatus.HOLDS
    with opened(arguments, progress) as lab:
        facts = {"what": what, **lab.lab.facts()}
        with recorded(lab.bound, facts, buffer_kb=arguments.buffer_kb, dma=arguments.dma) as recorder:
            if words:
                done = lab.bound.guest.agent.run(words, COMMAND_S)
                for line in (done.out + done.err).splitlines():
                    say(line)
                if done.rc != 0:
                    say(f"exit status {done.rc}")
                    status = ExitStatus.BROKEN
            else:
                status = run_code(arguments.code, namespace(lab.lab, lab.bound))
        perfetto.write(recorder.line, arguments.output)
        page.write(recorder.line, arguments.output.with_suffix(".html"))
    drawn = arguments.output.with_suffix(".html")
    for line in (*text.head(recorder.line), *verdict(recorder.line)):
        say(line)
    say(f"saved in {arguments.output} (for ui.perfetto.dev and hilnic trace show), drawn in {drawn}")
    return status


def show_command(arguments: argparse.Namespace, _progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """Print a time line."""
    line = perfetto.read(arguments.file)
    if arguments.html is not None:
        page.write(line, arguments.html)
        say(f"drawn in {arguments.html}")
        return ExitStatus.HOLDS
    window = text.Window(arguments.begin_us, arguments.end_us, arguments.lane)
    for each in (*text.head(line), *verdict(line), *text.lines(line, window)):
        say(each)
    return ExitStatus.HOLDS


VERB = Verb(
    "trace",
    "put what guest and card saw on one time line",
    "Record both witnesses on one clock around a command, and show it; see docs/timeline.md.",
    declare,
    command,
    epilogue("it was recorded or shown", "the command failed"),
)
