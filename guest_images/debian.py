# SPDX-License-Identifier: BSD-3-Clause
"""A private apt: its own lists and cache, an empty dpkg status, the machine's own mirror, proxies and keys.

Nothing is installed on the host and no root is needed: packages are fetched with `apt-get --download-only`, so
signatures are verified by apt, and unpacked with `dpkg-deb`. apt itself continues a download that was interrupted.
"""

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
FRESH_LISTS_S = 3600.0
APT_DEADLINE_S = 1800.0
UNPACK_DEADLINE_S = 300.0
KEY_HINT = "apt-get update && apt-get install debian-archive-keyring"

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

    def fetch(self, request: Request) -> list[Fetched]:
        """Fetch binary packages and all they depend on, in apt's order."""
        self._lists()
        try:
            return self._fetch(request)
        except EnvironmentLacks:
            self._lists(max_age_s=0.0)
            return self._fetch(request)

    def fetch_source(self, package: str) -> list[Path]:
        """Fetch the files of a source package, written NAME/SUITE, and return their paths."""
        self._lists()
        try:
            return self._fetch_source(package)
        except EnvironmentLacks:
            self._lists(max_age_s=0.0)
            return self._fetch_source(package)

    def _fetch(self, request: Request) -> list[Fetched]:
        arguments = ("-t", request.target_release, "install", *request.packages)
        nothing_fetched = f"Dir::Cache::archives={self._root / 'none'}"
        wanted = _uris(self._apt("-o", nothing_fetched, "--print-uris", "-qq", *arguments))
        total = sum(size for _, size in wanted)
        paths = [self._archives / name for name, _ in wanted]

        def so_far() -> str:
            return f"{mebibytes(_present(paths, self._archives / 'partial'))} of {mebibytes(total)}"

        with self._progress.step(f"fetching {len(wanted)} packages ({_short(request.packages)})", so_far):
            self._apt("--download-only", *arguments)
        missing = [name for name, size in wanted if not _has_size(self._archives / name, size)]
        if missing:
            raise EnvironmentLacks(f"apt-get must have fetched {missing[0]} into {self._archives}, and has not")
        return [_fetched(path) for path in paths]

    def _fetch_source(self, package: str) -> list[Path]:
        folder = self._root / "sources"
        folder.mkdir(exist_ok=True)
        wanted = _uris(self._apt("--print-uris", "-qq", "source", "--download-only", package))
        paths = [folder / name for name, _ in wanted]
        total = sum(size for _, size in wanted)

        def so_far() -> str:
            return f"{mebibytes(_present(paths, folder / 'partial'))} of {mebibytes(total)}"

        with self._progress.step(f"fetching the source package {package}", so_far):
            self._apt("source", "--download-only", package, folder=folder)
        return paths

    def _lists(self, max_age_s: float = FRESH_LISTS_S) -> None:
        """Write the configuration and update the package lists unless they are younger than `max_age_s`."""
        stamp = self._root / "updated"
        sources = self._sources()
        configured = self._root / "sources.list"
        unchanged = configured.is_file() and configured.read_text(encoding="utf-8") == sources
        if unchanged and stamp.is_file() and 0.0 <= time.time() - stamp.stat().st_mtime < max_age_s:
            return
        for folder in ("state/lists/partial", "cache/archives/partial", "log", "none/partial"):
            (self._root / folder).mkdir(parents=True, exist_ok=True)
        (self._root / "status").write_text("", encoding="utf-8")
        (self._root / "apt.conf").write_text(CONFIGURATION.format(root=self._root), encoding="utf-8")
        configured.write_text(sources, encoding="utf-8")
        with self._progress.step(f"reading the package lists of {', '.join(self.suites)}"):
            self._apt("-o", "APT::Update::Error-Mode=any", "update")
        stamp.touch()

    def _sources(self) -> str:
        if not self._keyring.is_file():
            raise EnvironmentLacks(f"Debian's archive keys must be in {self._keyring}; run: {KEY_HINT}")
        mirror = self._mirror()
        lines = [f"deb [signed-by={self._keyring}] {mirror} {suite} main" for suite in self.suites]
        lines += [f"deb-src [signed-by={self._keyring}] {mirror} {suite} main" for suite in self._source_suites]
        return "\n".join(lines) + "\n"

    def _apt(self, *arguments: str, folder: Path | None = None) -> str:
        """Run apt-get with the private configuration and return what it printed."""
        argv = ["apt-get", "-c", str(self._root / "apt.conf"), "-y", *arguments]
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
            raise EnvironmentLacks("apt-get must be on the PATH: set-up needs Debian 12 or 13") from None
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


def _present(paths: Sequence[Path], partial: Path) -> int:
    """Sum what has arrived so far; a file that is renamed meanwhile counts as nothing this time."""
    total = 0
    for path in [*paths, *(partial / path.name for path in paths)]:
        try:
            total += path.stat().st_size
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
