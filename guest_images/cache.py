# SPDX-License-Identifier: BSD-3-Clause
"""The cache: finished folders named by the digest of their inputs, and a lock so that two runs do not collide."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from guest_images.errors import EnvironmentLacks, UsageError

STAMP = ".hilnic-complete.json"
LOCK_DEADLINE_S = 1800.0
LOCK_POLL_S = 0.2
DIGEST_LETTERS = 16


def cache_root(environment: Mapping[str, str]) -> Path:
    """Return the cache folder: $HILNIC_CACHE, else hilnic below $XDG_CACHE_HOME or ~/.cache.

    Raises UsageError if the path is relative.
    """
    chosen = environment.get("HILNIC_CACHE")
    if chosen:
        root = Path(chosen)
        if not root.is_absolute():
            raise UsageError(f"HILNIC_CACHE must be an absolute path, not {chosen!r}")
        return root
    xdg = environment.get("XDG_CACHE_HOME")
    base = (
        Path(xdg) if xdg and Path(xdg).is_absolute() else Path(environment.get("HOME") or "~").expanduser() / ".cache"
    )
    return base / "hilnic"


def digest_of(inputs: Mapping[str, object]) -> str:
    """Return a short digest of plain data, independent of key order."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LETTERS]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_complete(folder: Path, inputs: Mapping[str, object]) -> bool:
    """Tell whether `folder` was finished from exactly these inputs."""
    try:
        return bool(json.loads((folder / STAMP).read_text(encoding="utf-8")) == json.loads(json.dumps(inputs)))
    except (OSError, ValueError):
        return False


def finished_folder(
    root: Path, kind: str, inputs: Mapping[str, object], build: Callable[[Path], None], *, name: str = ""
) -> Path:
    """Return root/kind/[name-]DIGEST, built if it is not there yet.

    `build` fills an empty folder; only once it has returned is the folder stamped and renamed into its place, so a
    folder that is seen under its final name is whole. What an interrupted build left behind is thrown away.
    """
    label = f"{name}-{digest_of(inputs)}" if name else digest_of(inputs)
    final = root / kind / label
    if is_complete(final, inputs):
        return final
    partial = root / kind / f".partial-{label}"
    for leftover in (partial, final):
        remove_tree(leftover)
    partial.mkdir(parents=True)
    build(partial)
    write_stamp(partial, inputs)
    partial.rename(final)
    return final


def write_stamp(folder: Path, inputs: Mapping[str, object]) -> None:
    """Mark a folder as finished from these inputs."""
    (folder / STAMP).write_text(json.dumps(inputs, indent=1, sort_keys=True), encoding="utf-8")


def remove_tree(folder: Path) -> None:
    """Remove a folder and all below it, also where packages made folders that their owner may not write."""
    if not folder.exists():
        return
    for path, names, _ in os.walk(folder):
        for name in names:
            below = Path(path, name)
            if not below.is_symlink() and not os.access(below, os.R_OK | os.W_OK | os.X_OK):
                below.chmod(0o700)
    shutil.rmtree(folder)


@contextlib.contextmanager
def locked(
    root: Path, say: Callable[[str], None], deadline_s: float = LOCK_DEADLINE_S, *, poll_s: float = LOCK_POLL_S
) -> Iterator[None]:
    """Hold the cache's lock during the block; the kernel releases it if the holder dies.

    Raises EnvironmentLacks if the cache cannot be written, or if another run still holds the lock at the deadline.
    """
    path = root / "lock"
    try:
        root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EnvironmentLacks(f"the cache {root} must be writable ({error.strerror}); set HILNIC_CACHE") from error
    try:
        _take(descriptor, path, say, deadline_s, poll_s)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, say: Callable[[str], None], deadline_s: float, poll_s: float) -> None:
    """Wait for the lock until the deadline."""
    began = time.monotonic()
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            if time.monotonic() - began >= deadline_s:
                raise EnvironmentLacks(
                    f"the lock {path} must become free within {deadline_s:g} s, but process {holder} still holds it"
                ) from None
            if not told:
                say(f"waiting for process {holder}, which is setting up the same cache")
                told = True
            time.sleep(poll_s)
        else:
            return
