# SPDX-License-Identifier: BSD-3-Clause
"""A folder of the cache is either whole under its final name, or not there; two runs do not collide."""

import os
from pathlib import Path

import pytest

from guest_images.cache import cache_root, digest_of, finished_folder, locked, remove_tree
from guest_images.errors import EnvironmentLacks, UsageError


class Interrupted(Exception):
    """What a build raises here to stand for a run that was stopped."""


def test_finished_folder_is_built_once(tmp_path: Path) -> None:
    built = []

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "part").write_text("whole")

    first = finished_folder(tmp_path, "kind", {"a": 1}, build)
    second = finished_folder(tmp_path, "kind", {"a": 1}, build)
    assert first == second
    assert len(built) == 1
    assert (first / "part").read_text() == "whole"


def test_other_inputs_give_another_folder(tmp_path: Path) -> None:
    folders = {finished_folder(tmp_path, "kind", {"a": value}, lambda _: None) for value in (1, 2)}
    assert len(folders) == 2


def test_interrupted_build_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "part").write_text("half")
        raise Interrupted

    with pytest.raises(Interrupted):
        finished_folder(tmp_path, "kind", {"a": 1}, build)
    assert not (tmp_path / "kind" / digest_of({"a": 1})).exists()


def test_build_after_an_interrupted_one_starts_from_an_empty_folder(tmp_path: Path) -> None:
    def stopped(folder: Path) -> None:
        (folder / "stale").write_text("half")
        raise Interrupted

    with pytest.raises(Interrupted):
        finished_folder(tmp_path, "kind", {"a": 1}, stopped)
    whole = finished_folder(tmp_path, "kind", {"a": 1}, lambda folder: (folder / "part").touch())
    assert (whole / "part").exists()
    assert not (whole / "stale").exists()


def test_folder_without_its_stamp_is_built_again(tmp_path: Path) -> None:
    folder = finished_folder(tmp_path, "kind", {"a": 1}, lambda folder: (folder / "old").touch())
    (folder / ".hilnic-complete.json").unlink()
    again = finished_folder(tmp_path, "kind", {"a": 1}, lambda folder: (folder / "new").touch())
    assert again == folder
    assert [path.name for path in sorted(again.iterdir())] == [".hilnic-complete.json", "new"]


def test_digest_ignores_the_order_of_keys() -> None:
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of({"a": 1, "b": 2}) != digest_of({"a": 2, "b": 1})


def test_second_run_waits_and_names_the_holder(tmp_path: Path) -> None:
    said: list[str] = []
    with (
        locked(tmp_path, said.append),
        pytest.raises(EnvironmentLacks, match=f"process {os.getpid()} still holds it"),
        locked(tmp_path, said.append, deadline_s=0.05, poll_s=0.01),
    ):
        pytest.fail("two runs must not hold the lock at once")
    assert said == [f"waiting for process {os.getpid()}, which is setting up the same cache"]


def test_lock_is_free_after_the_block(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path, pytest.fail, deadline_s=0.0):
            pass


def test_lock_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(Interrupted), locked(tmp_path, pytest.fail):
        raise Interrupted
    with locked(tmp_path, pytest.fail, deadline_s=0.0):
        pass


def test_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentLacks, match="set HILNIC_CACHE"), locked(tmp_path / "file" / "cache", pytest.fail):
        pass


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HILNIC_CACHE": "/a/b", "XDG_CACHE_HOME": "/c", "HOME": "/d"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/c", "HOME": "/d"}, "/c/hilnic"),
        ({"XDG_CACHE_HOME": "c", "HOME": "/d"}, "/d/.cache/hilnic"),
        ({"HOME": "/d"}, "/d/.cache/hilnic"),
    ],
)
def test_cache_lies_where_the_environment_says(environment: dict[str, str], expected: str) -> None:
    assert cache_root(environment) == Path(expected)


def test_relative_cache_is_the_callers_error() -> None:
    with pytest.raises(UsageError, match="must be an absolute path, not 'here'"):
        cache_root({"HILNIC_CACHE": "here"})


def test_tree_with_a_folder_that_may_not_be_written_is_removed(tmp_path: Path) -> None:
    locked_up = tmp_path / "tree" / "closed"
    locked_up.mkdir(parents=True)
    (locked_up / "file").touch()
    locked_up.chmod(0o500)
    remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
