# SPDX-License-Identifier: BSD-3-Clause
"""A TAP interface in a network namespace of its own: packets cross whole, and are frames on our side of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

NEW_NAMESPACE = ["unshare", "--user", "--map-root-user", "--net"]


def run(*words: str) -> None:
    if subprocess.run([*NEW_NAMESPACE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("user and network namespaces are not allowed here")
    argv = [*NEW_NAMESPACE, sys.executable, "-m", "tests.fastpath.on_tap", *words]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_host_has_not_cut_up_arrives_in_frames() -> None:
    run("arrives")


@pytest.mark.parametrize("option", [(), (",offload=off",)])
def test_what_the_card_cuts_up_leaves_whole_or_in_frames(option: tuple[str, ...]) -> None:
    run("leaves", *option)
