# SPDX-License-Identifier: BSD-3-Clause
"""Tracefs in the guest: a private trace instance per session, read as typed records, gone at the end."""

from __future__ import annotations

import base64
import heapq
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from harness.deadline import Deadline, wait_until
from harness.errors import LabBroken, NotSeen, UsageError
from harness.guest.ringbuffer import Decoder, EventFormat, Record, parse_comms, parse_format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from harness.guest.agent import Agent
    from harness.guest.probes import Probe
    from harness.guest.symbols import Symbols

T = TypeVar("T")

ROOT = "/sys/kernel/tracing"
FUNCTION = "ftrace:function"
STACK = "ftrace:kernel_stack"
DEEPEST = 64
"""Callers that are kept of a kernel stack."""

READ_BYTES = 1 << 20
ENTRY_SLACK = 16


class TraceLostError(LabBroken):
    """The ring buffer overran: what is missing makes the run worthless (give the session a larger buffer)."""


class Session:
    """One recording. ``records`` holds everything read so far, in order of time."""

    def __init__(
        self, agent: Agent, instance: str, formats: Mapping[int, EventFormat], cpus: int, *, lossy: bool
    ) -> None:
        self._agent = agent
        self._instance = instance
        self._formats = formats
        self._cpus = cpus
        self._symbols: dict[int, str] = {}
        self._lossy = lossy
        self.records: list[Record] = []
        self.lost: dict[int, int] = {}
        """Events that a CPU's buffer had no room for; only a lossy session goes on after that."""

    def path(self, name: str) -> str:
        """Return the path of a file of this instance."""
        return f"{self._instance}/{name}"

    def resolve(self, symbols: Mapping[str, int]) -> None:
        """Learn the addresses of traced functions, so that function records carry names."""
        self._symbols = {address: name for name, address in symbols.items()}

    def stop(self) -> None:
        """Stop recording."""
        self._agent.write(self.path("tracing_on"), "0")

    def resume(self) -> None:
        """Go on recording."""
        self._agent.write(self.path("tracing_on"), "1")

    def mark(self, text: str) -> None:
        """Put a marker into the recording (it costs an event, and shows in no record)."""
        self._agent.write(self.path("trace_marker"), text)

    def read(self) -> list[Record]:
        """Take what has been recorded since the last read; also kept in ``records``. Raises TraceLostError."""
        paths = [self.path(f"per_cpu/cpu{cpu}/trace_pipe_raw") for cpu in range(self._cpus)]
        comms = parse_comms(self._agent.read(f"{ROOT}/saved_cmdlines"))
        decoder = Decoder(self._formats, comms)
        streams = []
        for cpu, path in enumerate(paths):
            data = self._drain(path)
            streams.append(list(decoder.pages(cpu, data)))
        self._check_lost(decoder.lost)
        fresh = [self._named(record) for record in heapq.merge(*streams, key=lambda record: record.t)]
        self.records.extend(fresh)
        return fresh

    def read_until(self, fact: Callable[[], T | None], what: str, seconds: float = 10.0) -> T:
        """Read until ``fact``, asked of what has been recorded, answers something true; return that. Raises NotSeen.

        ``what`` completes the sentence "<what> must happen within N s".
        """

        def look() -> T | None:
            self.read()
            return fact()

        return wait_until(look, Deadline.after(seconds), what, NotSeen)

    def _drain(self, path: str) -> bytes:
        pieces: list[bytes] = []
        while True:
            (text,) = self._agent.call("read_ready", paths=[path], most=READ_BYTES)
            if not text:
                return b"".join(pieces)
            pieces.append(base64.b64decode(text))

    def _check_lost(self, missed: int) -> None:
        stats = self._agent.read_many([self.path(f"per_cpu/cpu{cpu}/stats") for cpu in range(self._cpus)])
        for cpu, content in enumerate(stats):
            numbers = parse_stats(content or "")
            gone = {name: numbers.get(name, 0) for name in ("overrun", "commit overrun", "dropped events")}
            self.lost[cpu] = int(sum(gone.values()))
            if not self._lossy and (missed or any(gone.values())):
                raise TraceLostError(f"the trace must be whole, but CPU {cpu} lost events: {gone}, {missed} gaps")

    def _named(self, record: Record) -> Record:
        if record.name != FUNCTION:
            return record
        address = record.fields["ip"]
        name = next(
            (self._symbols[address - back] for back in range(ENTRY_SLACK) if address - back in self._symbols), ""
        )
        fields = {**record.fields, "function": name}
        return Record(record.name, record.cpu, record.t, record.pid, record.comm, record.flags, fields)

    def named(self, *names: str) -> list[Record]:
        """Return the records of these events, by full name or by the part after the colon."""
        wanted = set(names)
        return [r for r in self.records if r.name in wanted or r.name.partition(":")[2] in wanted]

    def functions(self) -> list[str]:
        """Return the names of the functions entered, in order."""
        return [str(record["function"]) for record in self.records if record.name == FUNCTION]


class Tracer:
    """Makes sessions. ``cpus`` is the number of the guest's CPUs.

    A probe is defined at its first use (some were before the snapshot) and stays, since a definition without a session
    costs nothing and making one takes an emulated guest long.
    """

    def __init__(self, agent: Agent, cpus: int, symbols: Symbols) -> None:
        self._agent = agent
        self._cpus = cpus
        self._symbols = symbols
        self._count = 0
        self._spare: list[tuple[str, int, str]] = []
        self._defined: set[str] | None = None

    @contextmanager
    def session(
        self,
        *events: str,
        probes: Sequence[Probe] = (),
        functions: Sequence[str] = (),
        filters: Mapping[str, str] | None = None,
        buffer_kb: int = 4096,
        clock: str = "mono",
        triggers: Mapping[str, str] | None = None,
        lossy: bool = False,
        stacks: Sequence[str] = (),
    ) -> Iterator[Session]:
        """Record tracepoints (``napi:napi_poll``), probes and function entries until the end of the block.

        Each event of ``stacks`` is followed by a record STACK of the same CPU: the addresses of its callers.
        ``buffer_kb`` is per CPU. At the end recording stops and everything is read into ``records``. The instance is
        then empty and kept for the next session of its kind, since an emulated guest takes long to make one; after
        function tracing or triggers, and after an exception, it goes away. Raises TraceLostError if events were lost
        (a ``lossy`` session counts them instead), UsageError for names the kernel does not know.
        """
        with ExitStack() as undo:
            instance = self._instance(buffer_kb, clock)
            undo.callback(self._remove, instance)
            self.define(probes)
            names = [*events, *(probe.event for probe in probes)]
            formats = self._formats(instance, names, with_functions=bool(functions), with_stacks=bool(stacks))
            session = Session(self._agent, instance, formats, self._cpus, lossy=lossy)
            triggers = {**(triggers or {}), **dict.fromkeys(stacks, "stacktrace")}
            undo.callback(self._quiet, instance)
            for name, condition in (filters or {}).items():
                self._agent.write(f"{instance}/events/{name.replace(':', '/')}/filter", condition)
            for name, trigger in triggers.items():
                self._agent.write(f"{instance}/events/{name.replace(':', '/')}/trigger", trigger)
            if functions:
                self._trace_functions(instance, functions)
                session.resolve(self._symbols.addresses(functions))
            self._agent.write_many([(f"{instance}/events/{name.replace(':', '/')}/enable", "1") for name in names])
            session.resume()
            yield session
            session.stop()
            session.read()
            if not (functions or triggers or any(session.lost.values())):
                folders = [f"{instance}/events/{name.replace(':', '/')}" for name in names]
                used = [f"{instance}/events/{name.replace(':', '/')}/filter" for name in filters or {}]
                self._agent.write_many([*((f"{at}/enable", "0") for at in folders), *((at, "0") for at in used)])
                undo.pop_all()
                self._spare.append((instance, buffer_kb, clock))

    def _instance(self, buffer_kb: int, clock: str) -> str:
        """Return a silent, empty instance with such buffers: one that an earlier session left, or a new one."""
        for kept in self._spare:
            if kept[1:] == (buffer_kb, clock):
                self._spare.remove(kept)
                return kept[0]
        self._count += 1
        instance = f"{ROOT}/instances/hilnic{self._count}"
        self._agent.call("mkdir", path=instance)
        self._agent.write_many(
            [
                (f"{instance}/trace_clock", clock),
                (f"{instance}/buffer_size_kb", str(buffer_kb)),
                (f"{instance}/tracing_on", "0"),
            ]
        )
        return instance

    def define(self, probes: Sequence[Probe]) -> None:
        """Define the probes that are not yet; a name stands for one definition."""
        if self._defined is None:
            lines = self._agent.read(f"{ROOT}/dynamic_events").splitlines()
            self._defined = {line.split(" ", 1)[0].partition(":")[2] for line in lines}
        for probe in probes:
            if f"{probe.group}/{probe.name}" not in self._defined:
                self._define(probe)
                self._defined.add(f"{probe.group}/{probe.name}")

    def _define(self, probe: Probe) -> None:
        try:
            self._agent.write(f"{ROOT}/dynamic_events", probe.definition)
        except LabBroken as error:
            log = self._agent.read(f"{ROOT}/error_log")[-400:]
            raise UsageError(
                f"the kernel must accept the probe {probe.definition!r}: {error}; it says: {log}"
            ) from error

    def forget(self, *probes: Probe) -> None:
        """Remove definitions: those on functions of a module must go before the module does."""
        for probe in probes:
            self._agent.write(f"{ROOT}/dynamic_events", probe.removal)
        self._defined = None

    def _formats(
        self, instance: str, names: Sequence[str], *, with_functions: bool, with_stacks: bool
    ) -> dict[int, EventFormat]:
        wanted = [*names, *((FUNCTION,) if with_functions else ()), *((STACK,) if with_stacks else ())]
        roots = [ROOT if name in (FUNCTION, STACK) else instance for name in wanted]
        paths = [f"{root}/events/{name.replace(':', '/')}/format" for root, name in zip(roots, wanted, strict=True)]
        formats = {}
        for name, content in zip(wanted, self._agent.read_many(paths), strict=True):
            if content is None:
                raise UsageError(f"an event must be known to the guest's kernel, not {name!r}")
            known = parse_format(name, content)
            if name == STACK:  # the format names eight callers, and a record has as many as there were
                fields = (replace(each, size=8 * DEEPEST) if each.name == "caller" else each for each in known.fields)
                known = replace(known, fields=tuple(fields))
            formats[known.number] = known
        return formats

    def _trace_functions(self, instance: str, functions: Sequence[str]) -> None:
        self._agent.call("write_lines", path=f"{instance}/set_ftrace_filter", texts=[f"{name}\n" for name in functions])
        self._agent.write(f"{instance}/current_tracer", "function")

    def _quiet(self, instance: str) -> None:
        with suppress(LabBroken):
            self._agent.write_many([(f"{instance}/current_tracer", "nop"), (f"{instance}/events/enable", "0")])

    def _remove(self, instance: str) -> None:
        self._agent.call("rmdir", path=instance)


def parse_stats(content: str) -> dict[str, Any]:
    """Return a per_cpu stats file as numbers."""
    pairs = (line.split(":", 1) for line in content.splitlines() if ":" in line)
    return {name.strip(): float(value) if "." in value else int(value) for name, value in pairs}
