# SPDX-License-Identifier: BSD-3-Clause
"""Bugs are sown where they are meant to be, and modules that do not fit are refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.guest.driver import DriverFile
from harness.seeded.bugs import Bug, read_bugs, span
from harness.spec import catalogue

TABLE = Path(__file__).parents[1] / "seeded" / "bugs.toml"
SOURCE = """\
static int poll(struct napi *, int);

static int poll(struct napi *napi,
\t\tint budget)
{
\tif (!clean)
\t\treturn budget;
\treturn 0;
}

static int other(int x)
{
\treturn budget;
}
"""


def bug(**changed: str) -> Bug:
    words = {"name": "b", "says": "s", "function": "poll", "right": "return budget;", "wrong": "return 1;", **changed}
    return Bug(**words, claims=("NAPI-03",))


def test_a_bug_is_sown_in_its_function_alone() -> None:
    assert bug().sow(SOURCE) == SOURCE.replace("\t\treturn budget;", "\t\treturn 1;", 1)
    start, end = span(SOURCE, "poll")
    assert SOURCE[start:end].strip().startswith("if (!clean)")


def test_a_bug_that_does_not_fit_the_source_is_refused() -> None:
    with pytest.raises(UsageError, match=r"b: poll of igb_main\.c must hold 'nothing' once, not 0 times"):
        bug(right="nothing").sow(SOURCE)
    with pytest.raises(UsageError, match="once, not 2 times"):
        bug(right="return").sow(SOURCE)
    with pytest.raises(UsageError, match="the source must define gone"):
        bug(function="gone").sow(SOURCE)


def test_the_table_names_at_least_twelve_bugs_and_claims_that_there_are() -> None:
    bugs = read_bugs(TABLE)
    assert len(bugs) >= 12
    book = catalogue.load()
    assert all(book.get(claim).id == claim for each in bugs for claim in each.claims)
    assert all(each.claims and each.says.endswith(".") for each in bugs)


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bugs.toml").write_text('[x]\nsays = "no claims"\n')
    with pytest.raises(UsageError, match="must be TOML with says, function, right, wrong and claims"):
        read_bugs(tmp_path / "bugs.toml")


def module(path: Path, name: str = "igb", vermagic: str = "6.12.1 SMP") -> Path:
    path.write_bytes(b"\x7fELF\x02\x01\0" + f"\0vermagic={vermagic}\0name={name}\0".encode())
    return path


def test_a_module_says_what_it_was_built_for(tmp_path: Path) -> None:
    driver = DriverFile.read(module(tmp_path / "igb.ko"))
    driver.must_fit("6.12.1")
    assert str(driver) == f"{tmp_path / 'igb.ko'} (SHA-256 {hashlib.sha256(driver.data).hexdigest()[:12]})"
    with pytest.raises(UsageError, match=r"must be built for the guest's kernel 6\.13, not for 6\.12\.1"):
        driver.must_fit("6.13")


def test_what_is_no_igb_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be the module igb, not e1000e"):
        DriverFile.read(module(tmp_path / "e1000e.ko", name="e1000e"))
    (tmp_path / "igb.ko.xz").write_bytes(b"\xfd7zXZ\0")
    with pytest.raises(UsageError, match=r"must be an uncompressed ELF-64 module, not a file that begins"):
        DriverFile.read(tmp_path / "igb.ko.xz")
    with pytest.raises(UsageError, match="a module must be a file, not"):
        DriverFile.read(tmp_path / "nowhere.ko")
