# SPDX-License-Identifier: BSD-3-Clause
"""What the checks need of a kernel: where its configuration is found, what lacks, which claims fall away."""

from __future__ import annotations

import gzip
import lzma
import struct
from typing import TYPE_CHECKING

import pytest

from harness.errors import EnvironmentLacks, UsageError
from harness.kernel.config import Config, find_config, inner_config
from harness.kernel.needs import lacks, must_serve, read_needs, reasons, told, users
from harness.kernel.reach import Checks
from harness.run import CHECKS
from harness.spec import catalogue

if TYPE_CHECKING:
    from pathlib import Path

RELEASE = "6.12.1-mine"
TEXT = "CONFIG_FTRACE=y\nCONFIG_IGB=m\n# CONFIG_BQL is not set\nCONFIG_HZ=250\n"
EVERYTHING = {option: "y" for need in read_needs() for option in need.options}


def without(*names: str) -> Config:
    return Config({name: value for name, value in EVERYTHING.items() if name not in names}, "here")


def bzimage(path: Path, payload: bytes = b"") -> Path:
    image = bytearray(0x10000)
    image[0x1F1] = 4
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x20E, 0x3000)
    image[0x3200 : 0x3200 + 64] = f"{RELEASE} (me) #1".encode().ljust(64, b"\0")
    struct.pack_into("<II", image, 0x248, len(image) - 5 * 512, len(payload))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(image) + payload)
    return path


def test_a_configuration_is_read() -> None:
    config = Config.of(TEXT, "here")
    assert [config.has(name) for name in ("FTRACE", "IGB", "BQL", "HZ", "NOTHING")] == [True, True, False, False, False]
    with pytest.raises(UsageError, match="here must be a kernel's configuration"):
        Config.of("nothing", "here")


@pytest.mark.parametrize("squeeze", [gzip.compress, lzma.compress])
def test_a_kernel_that_carries_its_configuration_is_asked(tmp_path: Path, squeeze: object) -> None:
    assert callable(squeeze)
    kernel = bzimage(tmp_path / "bzImage", squeeze(b"code" + b"IKCFG_ST" + gzip.compress(TEXT.encode()) + b"IKCFG_ED"))
    assert inner_config(kernel) == TEXT
    found = find_config(str(kernel), RELEASE, tmp_path)
    assert found is not None
    assert found.origin == f"{kernel} (CONFIG_IKCONFIG)"


@pytest.mark.parametrize("payload", [b"", b"\x28\xb5\x2f\xfd zstd", gzip.compress(b"no config"), b"\x1f\x8b broken"])
def test_a_kernel_that_says_nothing_has_none(tmp_path: Path, payload: bytes) -> None:
    assert find_config(str(bzimage(tmp_path / "bzImage", payload)), RELEASE, tmp_path) is None


@pytest.mark.parametrize(
    "place", ["tree/.config", f"boot/config-{RELEASE}", "tree/build/.config", f"tree/lib/modules/{RELEASE}/config"]
)
def test_a_configuration_is_found_where_builders_leave_it(tmp_path: Path, place: str) -> None:
    tree = tmp_path / "tree"
    (tree / "include/config").mkdir(parents=True)
    (tree / "include/config/kernel.release").write_text(f"{RELEASE}\n")
    (tree / "igb.ko").write_bytes(f"\0vermagic={RELEASE} SMP\0".encode())
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TEXT)
    kernel = bzimage(tmp_path / "boot/bzImage")
    found = find_config(f"{kernel}:{tree}", RELEASE, tmp_path)
    assert found is not None
    assert found.origin == str(path)


def test_a_package_is_looked_up_in_the_cache(tmp_path: Path) -> None:
    path = tmp_path / f"prefix/kernel-0/boot/config-{RELEASE}"
    path.parent.mkdir(parents=True)
    path.write_text(TEXT)
    found = find_config("linux-image-amd64", RELEASE, tmp_path)
    assert found is not None
    assert found.origin == str(path)
    assert find_config("", "6.13", tmp_path) is None


def test_every_need_is_somebodys_and_names_claims_that_there_are() -> None:
    book = catalogue.load()
    found = users(read_needs(), CHECKS)
    assert all(need.lab != bool(need.uses) for need in read_needs())
    assert [name for name, claims in found.items() if not claims] == []
    assert all(claim in book for claims in found.values() for claim in claims)
    assert {"BQL-03", "BQL-06"} <= set(found["bql"])
    assert found["pktgen"] == ("BQL-16", "TX-18", "TX-05")
    assert "RSS-03" not in {claim for claims in found.values() for claim in claims}


def test_what_a_check_reaches_is_followed_through_helpers_fixtures_and_constants(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(
        "from harness.checks import helpers\nfrom harness.checks.other import tool as instrument\n"
        "LIMIT, REST = 'bql', 1\n"
        "def fixture_of_it():\n    return 'by-fixture'\n"
        "def test_one(fixture_of_it):\n    helpers.go()\n    instrument(LIMIT)\n"
        "def test_two():\n    return 'alone'\n"
    )
    (tmp_path / "helpers.py").write_text("def go():\n    return 'by-module'\ndef stay():\n    return 'never'\n")
    (tmp_path / "other.py").write_text("def tool(x):\n    return tool('by-name')\n")
    checks = Checks(tmp_path)
    reached = checks.source("test_a", "test_one")
    assert all(word in reached for word in ("by-module", "by-name", "by-fixture", "bql"))
    assert not any(word in reached for word in ("never", "alone"))
    assert "alone" in checks.source("test_a", "test_two")
    assert checks.source("test_a", "test_three") == ""


def test_a_kernel_without_an_option_loses_the_claims_that_use_it() -> None:
    [lack] = lacks(without("NET_PKTGEN"), CHECKS)
    why = "the guest's kernel lacks CONFIG_NET_PKTGEN (the kernel's packet generator)"
    assert reasons([lack]) == dict.fromkeys(("BQL-16", "TX-18", "TX-05"), why)
    must_serve([lack])
    lines = list(told(without("NET_PKTGEN"), [lack], RELEASE))
    assert lines[-1] == "3 claims fall away"
    assert any(line.strip() == "falls away: BQL-16, TX-18, TX-05" for line in lines)
    assert list(told(without(), (), RELEASE))[-1] == "nothing is missing; every claim can be judged"
    assert lacks(without(), CHECKS) == ()


def test_a_kernel_without_trace_events_serves_nobody() -> None:
    found = lacks(without("FTRACE", "UNIX", "BQL"), CHECKS)
    with pytest.raises(EnvironmentLacks, match=r"CONFIG_UNIX \(.*\); CONFIG_FTRACE \(.*\); see hilnic run --kernel"):
        must_serve(found)
    assert list(told(without("FTRACE"), found, RELEASE))[-1] == "the checks cannot run on this kernel"
    assert "nothing can be told" in next(iter(told(None, (), RELEASE)))


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text("[x]\nwhy = 'no options'\n")
    with pytest.raises(UsageError, match="must be TOML with options, why and lab or uses"):
        read_needs(tmp_path / "t.toml")
