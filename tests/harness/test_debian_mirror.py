# SPDX-License-Identifier: BSD-3-Clause
"""The mirror is the one that this machine's apt uses for Debian's main archive."""

from pathlib import Path

import pytest

from guest_images.errors import EnvironmentLacks, UsageError
from guest_images.mirror import deb822_sources, mirror, one_line_sources, sources

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def etc_apt(folder: Path, **files: str) -> Path:
    """Lay out an /etc/apt; `single` is sources.list, `NAME_list` and `NAME_sources` go below sources.list.d."""
    (folder / "sources.list.d").mkdir()
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        path = folder / "sources.list" if name == "single" else folder / "sources.list.d" / f"{stem}.{suffix}"
        path.write_text(text)
    return folder


def test_security_and_third_parties_are_passed_over(tmp_path: Path) -> None:
    folder = etc_apt(
        tmp_path,
        single="deb http://one.example/debian-security bookworm-security main\n"
        "deb [signed-by=/x.gpg] http://vendor.example bookworm main\n"
        "deb http://two.example/debian bookworm main contrib\n",
    )
    assert mirror({}, folder, "bookworm") == "http://two.example/debian"


def test_security_under_the_plain_suite_name_is_passed_over(tmp_path: Path) -> None:
    folder = etc_apt(tmp_path, single="deb http://one.example/debian-security trixie main\n")
    with pytest.raises(EnvironmentLacks, match="DEBIAN_MIRROR"):
        mirror({}, folder, "trixie")


def test_deb822_stanza_is_read(tmp_path: Path) -> None:
    folder = etc_apt(
        tmp_path,
        debian_sources=f"# made by hand\nTypes: deb deb-src\nURIs: http://three.example/pub/debian/\n"
        f"Suites: trixie trixie-updates\nComponents: main\nSigned-By: {KEYRING}\n",
    )
    assert mirror({}, folder, "trixie") == "http://three.example/pub/debian"


def test_entry_signed_by_debian_wins_over_an_earlier_one(tmp_path: Path) -> None:
    folder = etc_apt(
        tmp_path,
        a_list="deb http://vendor.example/tools trixie main\n",
        b_list=f"deb [arch=amd64 signed-by={KEYRING}] http://cache.example/mirror trixie main\n",
    )
    assert mirror({}, folder, "trixie") == "http://cache.example/mirror"


def test_disabled_stanza_is_passed_over() -> None:
    text = "Enabled: no\nTypes: deb\nURIs: http://a.example/debian\nSuites: trixie\nComponents: main\n"
    assert list(deb822_sources(text)) == []


def test_source_only_stanza_is_passed_over() -> None:
    text = "Types: deb-src\nURIs: http://a.example/debian\nSuites: trixie\nComponents: main\n"
    assert list(deb822_sources(text)) == []


def test_continued_field_of_a_stanza_is_joined() -> None:
    text = "Types: deb\nURIs: http://a.example/debian\nSuites: trixie\n trixie-updates\nComponents: main\n"
    assert [source.suite for source in deb822_sources(text)] == ["trixie", "trixie-updates"]


def test_commented_line_is_passed_over() -> None:
    text = "# deb http://a.example/debian trixie main\ndeb-src http://a.example/debian trixie main\n"
    assert list(one_line_sources(text)) == []


def test_components_end_at_a_comment() -> None:
    [source] = one_line_sources("deb http://a.example/debian trixie main contrib # non-free\n")
    assert source.components == ("main", "contrib")


def test_files_with_other_suffixes_are_not_read(tmp_path: Path) -> None:
    folder = etc_apt(tmp_path, debian_save="deb http://a.example/debian trixie main\n")
    assert list(sources(folder)) == []


def test_environment_names_another_mirror(tmp_path: Path) -> None:
    folder = etc_apt(tmp_path, single="deb http://two.example/debian bookworm main\n")
    assert mirror({"DEBIAN_MIRROR": "http://four.example/debian/"}, folder, "bookworm") == "http://four.example/debian"


def test_mirror_without_a_scheme_is_the_callers_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must be an address .* not 'four\.example/debian'"):
        mirror({"DEBIAN_MIRROR": "four.example/debian"}, tmp_path, "bookworm")


def test_no_sources_at_all_says_how_to_name_a_mirror(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLacks, match="set DEBIAN_MIRROR"):
        mirror({}, tmp_path, "bookworm")
