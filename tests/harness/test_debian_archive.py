# SPDX-License-Identifier: BSD-3-Clause
"""The private apt, tried against a stand-in for apt-get that records its calls."""

import io
import re
from pathlib import Path

import pytest

from guest_images.debian import Archive, Request
from guest_images.errors import EnvironmentLacks
from guest_images.progress import Progress

NAME = "tool_1%3a2.0-1_amd64.deb"
APT = f"""#!/bin/sh
echo "$*" >> "$LOG"
config=$2
archives=$(sed -n 's/^Dir::Cache "\\(.*\\)";/\\1/p' "$config")/archives
case "$*" in
*" update") if [ -n "$UPDATE_SAYS" ]; then echo "$UPDATE_SAYS" >&2; exit 100; fi ;;
*--print-uris*) if [ -n "$RESOLVE_SAYS" ]; then echo "$RESOLVE_SAYS" >&2; exit 100; fi
    echo "'http://m.example/debian/pool/{NAME}' {NAME} 5 SHA256:0" ;;
*--download-only*) printf "%s" "$CONTENT" > "$archives/{NAME}" ;;
esac
"""


class World:
    """A cache, a keyring and an apt-get for one test."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.log = folder / "log"
        (folder / "bin").mkdir()
        program = folder / "bin" / "apt-get"
        program.write_text(APT)
        program.chmod(0o755)
        keyring = folder / "keyring.gpg"
        keyring.touch()
        path = f"{folder / 'bin'}:/usr/bin:/bin"
        self.environment = {"PATH": path, "LOG": str(self.log), "CONTENT": "whole", **variables}
        self.keyring = keyring

    def archive(self) -> Archive:
        return Archive(
            self.folder,
            lambda: "http://m.example/debian",
            ("trixie", "trixie-backports"),
            Progress(io.StringIO()),
            environment=self.environment,
            keyring=self.keyring,
        )

    def calls(self) -> list[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [
            verb for line in lines for verb in ("update", "--print-uris", "--download-only") if verb in line.split()
        ]


REQUEST = Request(("tool",), "trixie-backports")


def test_fetched_package_has_name_version_and_path(tmp_path: Path) -> None:
    [package] = World(tmp_path).archive().fetch(REQUEST)
    assert (package.name, package.version) == ("tool", "1:2.0-1")
    assert package.path.read_text() == "whole"


def test_second_fetch_touches_no_network(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.archive().fetch(REQUEST)
    assert world.calls() == ["update", "--print-uris", "--download-only"]
    world.environment["UPDATE_SAYS"] = "E: no network"
    [package] = world.archive().fetch(REQUEST)
    assert package.path.read_text() == "whole"
    assert world.calls() == ["--print-uris"]


def test_package_cut_short_is_fetched_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    [package] = world.archive().fetch(REQUEST)
    package.path.write_text("who")
    [again] = world.archive().fetch(REQUEST)
    assert again.path.read_text() == "whole"


def test_download_that_ends_short_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLacks, match=re.escape(f"must have fetched {NAME}")):
        World(tmp_path, CONTENT="who").archive().fetch(REQUEST)


def test_sources_are_signed_and_private(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.archive().fetch(REQUEST)
    [root] = (tmp_path / "apt").iterdir()
    assert (root / "sources.list").read_text().splitlines() == [
        f"deb [signed-by={world.keyring}] http://m.example/debian trixie main",
        f"deb [signed-by={world.keyring}] http://m.example/debian trixie-backports main",
    ]
    configuration = (root / "apt.conf").read_text()
    for setting in ("Dir::State ", "Dir::Cache ", "Dir::State::status ", "Dir::Etc::sourcelist ", "Dir::Log "):
        assert f'{setting}"{root}' in configuration


def test_missing_keyring_names_the_command(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.keyring.unlink()
    with pytest.raises(EnvironmentLacks, match="apt-get install debian-archive-keyring"):
        world.archive().fetch(REQUEST)


def test_missing_key_names_the_command(tmp_path: Path) -> None:
    world = World(tmp_path, UPDATE_SAYS="W: GPG error: the public key is not available: NO_PUBKEY 6ED0E7B82643E131")
    with pytest.raises(EnvironmentLacks, match=r"lacks a key .* apt-get install debian-archive-keyring"):
        world.archive().fetch(REQUEST)


def test_unreachable_mirror_is_named_with_the_way_out(tmp_path: Path) -> None:
    world = World(tmp_path, UPDATE_SAYS="E: Could not connect")
    with pytest.raises(EnvironmentLacks, match=r"fetch from http://m\.example/debian \(set DEBIAN_MIRROR .*connect"):
        world.archive().fetch(REQUEST)


def test_failed_update_is_tried_again_by_the_next_run(tmp_path: Path) -> None:
    world = World(tmp_path, UPDATE_SAYS="E: Could not connect")
    with pytest.raises(EnvironmentLacks):
        world.archive().fetch(REQUEST)
    world.calls()
    del world.environment["UPDATE_SAYS"]
    assert len(world.archive().fetch(REQUEST)) == 1
    assert world.calls() == ["update", "--print-uris", "--download-only"]


def test_unknown_package_is_named(tmp_path: Path) -> None:
    world = World(tmp_path, RESOLVE_SAYS="E: Unable to locate package tool")
    with pytest.raises(EnvironmentLacks, match="Unable to locate package tool"):
        world.archive().fetch(REQUEST)
