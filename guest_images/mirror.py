# SPDX-License-Identifier: BSD-3-Clause
"""Which Debian mirror this machine uses, read from its own apt sources (sources.list(5), both notations)."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from guest_images.errors import EnvironmentLacks, UsageError

STABLE_NAMES = frozenset({"stable", "oldstable", "testing", "unstable", "sid"})


@dataclass(frozen=True, slots=True)
class Source:
    """One enabled binary entry of apt's sources: one address, one suite."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str


def mirror(environment: Mapping[str, str], etc_apt: Path, codename: str) -> str:
    """Return the address of the Debian archive: $DEBIAN_MIRROR, else the machine's own main entry.

    Raises UsageError for a DEBIAN_MIRROR without a scheme, EnvironmentLacks if the machine's sources name none.
    """
    chosen = environment.get("DEBIAN_MIRROR", "").strip()
    if chosen:
        if not re.match(r"[a-z+]+:/", chosen):
            raise UsageError(f"DEBIAN_MIRROR must be an address such as http://host/debian, not {chosen!r}")
        return chosen.rstrip("/")
    candidates = [source for source in sources(etc_apt) if _likeness(source, codename) > 0]
    if not candidates:
        raise EnvironmentLacks(
            f"the apt sources below {etc_apt} must have an entry for Debian's main archive, and have none; "
            "set DEBIAN_MIRROR=http://…/debian"
        )
    return max(candidates, key=lambda source: _likeness(source, codename)).uri.rstrip("/")


def sources(etc_apt: Path) -> Iterator[Source]:
    """Yield every enabled binary entry of sources.list and sources.list.d, in apt's order."""
    single = etc_apt / "sources.list"
    if single.is_file():
        yield from one_line_sources(single.read_text(encoding="utf-8", errors="replace"))
    folder = etc_apt / "sources.list.d"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        if path.suffix == ".list":
            yield from one_line_sources(text)
        elif path.suffix == ".sources":
            yield from deb822_sources(text)


def one_line_sources(text: str) -> Iterator[Source]:
    """Read lines such as `deb [signed-by=KEY] URI SUITE main contrib`."""
    for line in text.splitlines():
        entry = re.match(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<rest>\S.*)", line.partition("#")[0].strip())
        if entry is None:
            continue
        options = dict(option.split("=", 1) for option in shlex.split(entry["options"] or "") if "=" in option)
        words: list[str] = entry["rest"].split()
        if len(words) >= 2:
            yield Source(words[0], words[1].rstrip("/"), tuple(words[2:]), options.get("signed-by", ""))


def deb822_sources(text: str) -> Iterator[Source]:
    """Read stanzas of `Types: … URIs: … Suites: … Components: … Signed-By: …`."""
    without_comments = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n[ \t]*\n", without_comments):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1] in {" ", "\t"} and name:
                fields[name] += f" {line.strip()}"
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        enabled = fields.get("enabled", "yes").lower() not in {"no", "false", "0", "off", "without", "disable"}
        if not enabled or "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                components = tuple(fields.get("components", "").split())
                yield Source(uri, suite.rstrip("/"), components, fields.get("signed-by", ""))


def _likeness(source: Source, codename: str) -> int:
    """Score how surely an entry is Debian's main archive; 0 means that it is something else."""
    if "main" not in source.components or source.uri.startswith(("cdrom:", "file:", "copy:")):
        return 0
    path = re.sub(r"^[a-z0-9+]+:/*", "", source.uri).rstrip("/")
    if "security" in path or (source.suite != codename and source.suite not in STABLE_NAMES):
        return 0
    by_debian = "debian-archive" in source.signed_by
    return 1 + 4 * by_debian + 2 * ("debian" in path.split("/")[1:]) + (source.suite == codename)
