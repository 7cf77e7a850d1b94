# SPDX-License-Identifier: BSD-3-Clause
"""The steps of set-up: which QEMU will do, what is taken from a source package, progress, and the Makefile's verbs."""

import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from guest_images.errors import EnvironmentLacks
from guest_images.prefix import Prefix
from guest_images.progress import Progress
from harness.setup.command import run_step
from harness.setup.library import extract_subproject
from harness.setup.qemu import prefix_qemu, system_qemu

REPOSITORY = Path(__file__).parents[2]
VFIO_USER = 'name "vfio-user-pci", bus PCI'


def fake_qemu(folder: Path, version: str, devices: str) -> Path:
    """Write a program that answers --version and -device help as QEMU does."""
    program = folder / "qemu-system-x86_64"
    program.write_text(
        f"#!/bin/sh\ncase \"$*\" in *--version) echo 'QEMU emulator version {version} (Debian)' ;;\n"
        f"*) echo '{devices}' ;; esac\n"
    )
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("version", ["10.1.0", "11.0.2", "10.1.91"])
def test_new_qemu_of_the_system_is_taken(tmp_path: Path, version: str) -> None:
    program = fake_qemu(tmp_path, version, VFIO_USER)
    found = system_qemu(str(tmp_path))
    assert found is not None
    assert (found.argv_prefix, found.version, found.origin) == ((str(program),), version, "system")


@pytest.mark.parametrize("version", ["7.2.17", "10.0.3", "9.10.1"])
def test_old_qemu_of_the_system_is_passed_over(tmp_path: Path, version: str) -> None:
    fake_qemu(tmp_path, version, VFIO_USER)
    assert system_qemu(str(tmp_path)) is None


def test_qemu_without_vfio_user_is_passed_over(tmp_path: Path) -> None:
    fake_qemu(tmp_path, "10.1.0", 'name "vfio-pci", bus PCI')
    assert system_qemu(str(tmp_path)) is None


def test_qemu_that_cannot_run_is_passed_over(tmp_path: Path) -> None:
    fake_qemu(tmp_path, "10.1.0", VFIO_USER).write_text("#!/bin/sh\nexit 127\n")
    assert system_qemu(str(tmp_path)) is None


def test_no_qemu_on_the_path_is_no_error(tmp_path: Path) -> None:
    assert system_qemu(str(tmp_path)) is None


def test_prefix_whose_qemu_has_vanished_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLacks, match="qemu-system-x86_64 must start"):
        prefix_qemu(Prefix(tmp_path, {"qemu-system-x86": "1"}))


def source_tarball(folder: Path, *names: str) -> Path:
    """Pack files, each holding its own name."""
    path = folder / "qemu_1.orig.tar.xz"
    with tarfile.open(path, "w:xz") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
    return path


HEADER = "qemu-1/subprojects/libvfio-user/include/libvfio-user.h"


def test_only_the_subproject_is_extracted(tmp_path: Path) -> None:
    names = ("qemu-1/accel/a.c", HEADER, "qemu-1/subprojects/libvfio-user/lib/pci.c", "qemu-1/tests/t.c")
    extract_subproject(source_tarball(tmp_path, *names), tmp_path / "out")
    files = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert files == ["include/libvfio-user.h", "lib/pci.c"]
    assert (tmp_path / "out" / "lib" / "pci.c").read_text() == names[2]


def test_member_that_climbs_out_is_passed_over(tmp_path: Path) -> None:
    names = (HEADER, "qemu-1/subprojects/libvfio-user/../../../../evil")
    extract_subproject(source_tarball(tmp_path, *names), tmp_path / "out")
    assert not list(tmp_path.rglob("evil"))


def test_tarball_without_the_subproject_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLacks, match="must hold subprojects/libvfio-user"):
        extract_subproject(source_tarball(tmp_path, "qemu-1/accel/a.c"), tmp_path / "out")


def test_tarball_cut_short_is_refused(tmp_path: Path) -> None:
    tarball = source_tarball(tmp_path, "qemu-1/accel/a.c", HEADER)
    tarball.write_bytes(tarball.read_bytes()[:100])
    with pytest.raises(EnvironmentLacks, match=f"{tarball.name} must"):
        extract_subproject(tarball, tmp_path / "out")


def test_failed_step_shows_its_last_words_and_the_hint() -> None:
    with pytest.raises(EnvironmentLacks, match=r"pip must succeed, but ended with status 3; see there:\nno such thing"):
        run_step(["sh", "-c", "echo no such thing; exit 3"], "pip", {"PATH": "/usr/bin:/bin"}, hint="see there")


def test_step_that_is_quick_prints_one_plain_line() -> None:
    out = io.StringIO()
    with Progress(out).step("counting", lambda: "7 of 9"):
        pass
    assert re.fullmatch(r"counting: done in 0\.\d s, 7 of 9\n", out.getvalue())


def test_step_that_fails_says_so() -> None:
    out = io.StringIO()
    with pytest.raises(ZeroDivisionError), Progress(out).step("dividing"):
        raise ZeroDivisionError
    assert out.getvalue().startswith("dividing: failed")


def makefile_rules() -> dict[str, list[str]]:
    """Return the lines of each target's recipe."""
    rules: dict[str, list[str]] = {}
    target = ""
    for line in (REPOSITORY / "Makefile").read_text().splitlines():
        found = re.match(r"([a-z-]+):(?!=)", line)
        if found:
            target = found[1]
            rules[target] = []
        elif line.startswith("\t"):
            rules[target].append(line)
    return rules


def test_every_verb_has_at_most_two_lines() -> None:
    assert {verb: len(lines) for verb, lines in makefile_rules().items() if len(lines) not in {1, 2}} == {}


def test_help_is_the_default_and_lists_every_verb() -> None:
    done = subprocess.run(["make", "-C", str(REPOSITORY)], capture_output=True, text=True, check=True, timeout=10)
    listed = re.findall(r"^  make ([a-z-]+)", done.stdout, flags=re.MULTILINE)
    assert listed == list(makefile_rules())
    assert {"setup", "run", "test", "lint", "mutants", "bench", "docs", "clean"} <= set(listed)


def test_wrong_setting_ends_with_status_2_and_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.setup"],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "HILNIC_CACHE": "relative"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "hilnic: HILNIC_CACHE must be an absolute path, not 'relative'\n"
