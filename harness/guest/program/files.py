# SPDX-License-Identifier: BSD-3-Clause
"""Calls on files, clocks and the kernel's log."""

from __future__ import annotations

import base64
import os
import time
from pathlib import Path


def b64(data: bytes) -> str:
    """Return bytes as they travel."""
    return base64.b64encode(data).decode("ascii")


class Files:
    """Each public method is one call."""

    def read(self, path: str, binary: bool = False) -> str:  # noqa: FBT001, FBT002 - travels as JSON
        """Return a whole file, as text or as base64."""
        data = Path(path).read_bytes()
        return b64(data) if binary else data.decode("utf-8", "surrogateescape")

    def read_many(self, paths: list[str]) -> list[str | None]:
        """Return several files as text; one that cannot be read is None."""
        answers: list[str | None] = []
        for path in paths:
            try:
                answers.append(self.read(path))
            except OSError:
                answers.append(None)
        return answers

    def read_ready(self, paths: list[str], most: int) -> list[str]:
        """Return what each file has ready without waiting (tracefs pipes), up to ``most`` bytes, in base64."""
        answers = []
        for path in paths:
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            pieces: list[bytes] = []
            size = 0
            try:
                while size < most:
                    try:
                        piece = os.read(handle, 65536)
                    except BlockingIOError:
                        break
                    if not piece:
                        break
                    pieces.append(piece)
                    size += len(piece)
            finally:
                os.close(handle)
            answers.append(b64(b"".join(pieces)))
        return answers

    def write(self, path: str, text: str, append: bool = True) -> int:  # noqa: FBT001, FBT002
        """Write text in one system call; without ``append`` the file is truncated first (tracefs clears on that)."""
        how = os.O_APPEND if append else os.O_TRUNC
        handle = os.open(path, os.O_WRONLY | how)
        try:
            return os.write(handle, text.encode())
        finally:
            os.close(handle)

    def write_at(self, path: str, offset: int, data: str) -> int:
        """Write base64 bytes at ``offset`` of a file that is made of places (configuration space)."""
        handle = os.open(path, os.O_WRONLY)
        try:
            return os.pwrite(handle, base64.b64decode(data), offset)
        finally:
            os.close(handle)

    def write_many(self, pairs: list[tuple[str, str]]) -> None:
        """Write several files, in order; the first that fails ends it."""
        for path, text in pairs:
            self.write(path, text)

    def write_lines(self, path: str, texts: list[str]) -> None:
        """Write each text by a system call of its own through one open file (tracefs filters settle at its closing)."""
        handle = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            for text in texts:
                os.write(handle, text.encode())
        finally:
            os.close(handle)

    def store(self, path: str, data: str, mode: int = 0o644) -> None:
        """Create a file from base64."""
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64decode(data))

    def exists(self, path: str) -> bool:
        """Return whether the path is there."""
        return Path(path).exists()

    def listdir(self, path: str) -> list[str]:
        """Return the sorted names in a folder."""
        return sorted(item.name for item in Path(path).iterdir())

    def mkdir(self, path: str) -> None:
        """Create a folder (a trace instance)."""
        Path(path).mkdir()

    def rmdir(self, path: str) -> None:
        """Remove an empty folder (a trace instance)."""
        Path(path).rmdir()

    def readlink(self, path: str) -> str:
        """Return where a link points."""
        return str(Path(path).readlink())

    def kmsg(self, since: int) -> list[tuple[int, int, int, str]]:
        """Return kernel log records (sequence, level, microseconds, text) with sequence > ``since``."""
        records = []
        handle = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        try:
            while True:
                try:
                    head, _, text = os.read(handle, 8192).decode("utf-8", "replace").partition(";")
                except BlockingIOError:
                    break
                except BrokenPipeError:
                    continue
                priority, sequence, usec = head.split(",")[:3]
                if int(sequence) > since:
                    records.append((int(sequence), int(priority) & 7, int(usec), text.split("\n", 1)[0]))
        finally:
            os.close(handle)
        return records

    def sample(self, paths: list[str], count: int, interval_us: int) -> list[tuple[int, list[str]]]:
        """Return ``count`` rounds of (CLOCK_MONOTONIC ns, contents of each path), ``interval_us`` apart."""
        files = [Path(path).open("rb", buffering=0) for path in paths]  # noqa: SIM115 - closed below
        rounds = []
        following = time.monotonic()
        for _ in range(count):
            texts = []
            stamp = time.monotonic_ns()
            for file in files:
                file.seek(0)
                texts.append((file.read(65536) or b"").decode("utf-8", "replace").strip())
            rounds.append((stamp, texts))
            following += interval_us / 1e6
            pause = following - time.monotonic()
            if pause > 0:
                time.sleep(pause)
        for file in files:
            file.close()
        return rounds

    def wait_text(self, path: str, text: str, seconds: float) -> str | None:
        """Wait until the stripped content of ``path`` is ``text``; None when time runs out or it never exists."""
        end = time.monotonic() + seconds
        while True:
            try:
                now = self.read(path).strip()
            except OSError:
                now = None
            if now == text:
                return now
            if time.monotonic() > end:
                return None
            time.sleep(0.002)

    def clock(self) -> dict[str, int]:
        """Return the guest's clocks in ns."""
        return {"monotonic": time.monotonic_ns(), "boot": time.clock_gettime_ns(time.CLOCK_BOOTTIME)}
