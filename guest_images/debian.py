# SPDX-License-Identifier: BSD-3-Clause
"""A private apt: its own lists and cache, an empty dpkg status, the machine's own mirror, proxies and keys.

Nothing is installed on the host and no root is needed: packages are fetched with `apt-get --download-only`, so
signatures are verified by apt, and unpacked with `dpkg-deb`. apt itself continues a download that was interrupted.
"""

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from guest_images.cache import digest_of
from guest_images.errors import EnvironmentLacks
from guest_images.progress import Progress, mebibytes

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
FRESH_LISTS_S = 600.0
APT_DEADLINE_S = 1800.0
UNPACK_DEADLINE_S = 300.0
KEY_HINT = "apt-get update && apt-get install debian-archive-keyring"

DIES_WITH_US = ("setpriv", "--pdeathsig", "TERM")
"""Of util-linux, which is essential in Debian: an apt that outlived a killed set-up would keep its lock."""

CONFIGURATION = """\
Dir::State "{root}/state";
Dir::State::status "{root}/status";
Dir::State::extended_states "{root}/state/extended_states";
Dir::Cache "{root}/cache";
Dir::Cache::archives "archives";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
Dir::Log "{root}/log";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "{root}/none";
Dir::Etc::preferences "{root}/none/preferences";
Dir::Etc::preferencesparts "{root}/none";
Dir::Etc::trusted "{root}/none/trusted.gpg";
Dir::Etc::trustedparts "{root}/none";
#clear APT::Architectures;
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Sandbox::User "root";
#clear APT::Default-Release;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
"""


@dataclass(frozen=True, slots=True)
class Fetched:
    """One file that apt has fetched and verified."""

    name: str
    version: str
    path: Path


@dataclass(frozen=True, slots=True)
class Request:
    """Packages wanted together, with all they depend on. A name may carry its suite: `linux-image-amd64/SUITE`."""

    packages: tuple[str, ...]
    target_release: str

    def inputs(self) -> dict[str, object]:
        """Return the request as plain data, for a digest."""
        return {"packages": sorted(self.packages), "target_release": self.target_release}


class Archive:
    """Debian's archive as seen through one private apt configuration for a fixed list of suites."""

    def __init__(
        self,
        cache: Path,
        mirror: Callable[[], str],
        suites: Sequence[str],
        progress: Progress,
        *,
        environment: Mapping[str, str],
        source_suites: Sequence[str] = (),
        keyring: Path = KEYRING,
    ) -> None:
        self.suites = tuple(suites)
        self._source_suites = tuple(source_suites)
        self._mirror = mirror
        self._progress = progress
        self._environment = {**environment, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
        self._keyring = keyring
        self._root = cache / "apt" / digest_of({"suites": [*self.suites, "+src", *self._source_suites]})
        self._archives = self._root / "cache" / "archives"
        self._stamp = self._root / "updated"

    def fetch(self, request: Request) -> list[Fetched]:
        """Fetch binary packages and all they depend on, in apt's order; without network if all of them are here.

        Raises EnvironmentLacks if a package is unknown or cannot be fetched.
        """
        arguments = ("-t", request.target_release, "install", *request.packages)
        if self._stamp.is_file():
            with contextlib.suppress(EnvironmentLacks):
                known = self._resolve(self._archives, *arguments)
                if _all_here(known):
                    return [_fetched(path) for path, _ in known]
        self._update()
        wanted = self._resolve(self._archives, *arguments)
        title = f"fetching {len(wanted)} packages ({_short(request.packages)})"
        self._download(wanted, title, "--download-only", *arguments)
        return [_fetched(path) for path, _ in wanted]

    def fetch_source(self, package: str) -> list[Path]:
        """Fetch the files of a source package, written NAME/SUITE, and return their paths."""
        arguments = ("source", "--download-only", package)
        folder = self._root / "sources"
        if self._stamp.is_file():
            with contextlib.suppress(EnvironmentLacks):
                known = self._resolve(folder, *arguments)
                if _all_here(known):
                    return [path for path, _ in known]
        self._update()
        folder.mkdir(exist_ok=True)
        wanted = self._resolve(folder, *arguments)
        self._download(wanted, f"fetching the source package {package}", *arguments, folder=folder)
        return [path for path, _ in wanted]

    def _resolve(self, folder: Path, *arguments: str) -> list[tuple[Path, int]]:
        """Ask apt which files it would fetch, as if none were here; return where each goes, and its size."""
        nothing_here = f"Dir::Cache::archives={self._root / 'none'}"
        printed = self._apt("-o", nothing_here, "--print-uris", "-qq", *arguments)
        return [(folder / name, size) for name, size in _uris(printed)]

    def _download(
        self, wanted: list[tuple[Path, int]], title: str, *arguments: str, folder: Path | None = None
    ) -> None:
        """Let apt fetch what is missing; it continues files that were interrupted."""
        total = mebibytes(sum(size for _, size in wanted))

        def so_far() -> str:
            return f"{mebibytes(_present([path for path, _ in wanted]))} of {total}"

        with self._progress.step(title, so_far):
            self._apt(*arguments, folder=folder)
        missing = [path for path, size in wanted if not _has_size(path, size)]
        if missing:
            raise EnvironmentLacks(f"apt-get must have fetched {missing[0].name} into {missing[0].parent}, and has not")

    def _update(self) -> None:
        """Write the configuration, and update the package lists unless they are fresh."""
        sources = self._sources()
        configured = self._root / "sources.list"
        unchanged = configured.is_file() and configured.read_text(encoding="utf-8") == sources
        if unchanged and self._stamp.is_file() and 0.0 <= time.time() - self._stamp.stat().st_mtime < FRESH_LISTS_S:
            return
        for folder in ("state/lists/partial", "cache/archives/partial", "log", "none/partial"):
            (self._root / folder).mkdir(parents=True, exist_ok=True)
        (self._root / "status").write_text("", encoding="utf-8")
        (self._root / "apt.conf").write_text(CONFIGURATION.format(root=self._root), encoding="utf-8")
        configured.write_text(sources, encoding="utf-8")
        with self._progress.step(f"reading the package lists of {', '.join(self.suites)}"):
            self._apt("-o", "APT::Update::Error-Mode=any", "update")
        self._stamp.touch()

    def _sources(self) -> str:
        if not self._keyring.is_file():
            raise EnvironmentLacks(f"Debian's archive keys must be in {self._keyring}; run: {KEY_HINT}")
        mirror = self._mirror()
        lines = [f"deb [signed-by={self._keyring}] {mirror} {suite} main" for suite in self.suites]
        lines += [f"deb-src [signed-by={self._keyring}] {mirror} {suite} main" for suite in self._source_suites]
        return "\n".join(lines) + "\n"

    def _apt(self, *arguments: str, folder: Path | None = None) -> str:
        """Run apt-get with the private configuration and return what it printed."""
        argv = [*DIES_WITH_US, "apt-get", "-c", str(self._root / "apt.conf"), "-y", *arguments]
        try:
            done = subprocess.run(
                argv,
                cwd=folder or self._root,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=APT_DEADLINE_S,
                check=False,
            )
        except FileNotFoundError:
            raise EnvironmentLacks("setpriv and apt-get must be on the PATH; set-up needs Debian 12 or 13") from None
        except subprocess.TimeoutExpired:
            raise EnvironmentLacks(f"apt-get {arguments[0]} must end within {APT_DEADLINE_S:g} s") from None
        if done.returncode:
            raise EnvironmentLacks(_apt_complaint(done.stdout + done.stderr, self._sources()))
        return done.stdout


def unpack(package: Path, into: Path) -> None:
    """Unpack one binary package without running any of its scripts."""
    argv = ["dpkg-deb", "--extract", str(package), str(into)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=UNPACK_DEADLINE_S, check=False)
    except FileNotFoundError:
        raise EnvironmentLacks("dpkg-deb must be on the PATH; run: apt-get install dpkg") from None
    if done.returncode:
        free = mebibytes(shutil.disk_usage(into).free)
        raise EnvironmentLacks(f"{package.name} must unpack into {into} ({free} free): {done.stderr.strip()}")


def _uris(printed: str) -> list[tuple[str, int]]:
    """Read `'URI' FILE SIZE HASH` lines into (file, size in bytes)."""
    found = re.findall(r"^'[^']+' (\S+) (\d+)", printed, flags=re.MULTILINE)
    return [(name, int(size)) for name, size in found]


def _fetched(path: Path) -> Fetched:
    """Read name and version from a package's file name, in which apt writes `:` as %3a."""
    name, version, _ = path.name.split("_", 2)
    return Fetched(name, version.replace("%3a", ":"), path)


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _all_here(files: Sequence[tuple[Path, int]]) -> bool:
    return bool(files) and all(_has_size(path, size) for path, size in files)


def _present(paths: Sequence[Path]) -> int:
    """Sum what has arrived so far; a file that is renamed meanwhile counts as nothing this time."""
    total = 0
    for path in paths:
        for place in (path, path.parent / "partial" / path.name):
            try:
                total += place.stat().st_size
            except OSError:
                continue
    return total


def _short(packages: Sequence[str]) -> str:
    return packages[0] if len(packages) == 1 else f"{packages[0]} and {len(packages) - 1} more"


def _apt_complaint(output: str, sources: str) -> str:
    """Turn apt's errors into one sentence, with the command that helps where there is one."""
    if "NO_PUBKEY" in output or "not signed" in output or "Missing key" in output:
        return f"Debian's archive keyring lacks a key that signs the suites needed; run: {KEY_HINT}"
    errors = [line[3:].strip() for line in output.splitlines() if line.startswith(("E: ", "W: "))]
    mirror = sources.split()[2]
    detail = " ".join(errors[:3]) or output.strip()[-300:] or "no message"
    return f"apt-get must be able to fetch from {mirror} (set DEBIAN_MIRROR for another mirror): {detail}"
