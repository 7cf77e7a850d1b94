# SPDX-License-Identifier: BSD-3-Clause
"""The recipes for CI services: valid for the service, and made of commands that people use too."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
RECIPES = {"github-actions.yml": "vendor.github-workflows", "gitlab-ci.yml": "vendor.gitlab-ci"}
INSTALLS = "apt-get update && apt-get install --yes python3 make gcc libc6-dev ca-certificates git"


def commands(name: str) -> list[str]:
    recipe = YAML(typ="safe").load(ROOT / "docs/ci" / name)
    if name == "gitlab-ci.yml":
        jobs = [job for key, job in recipe.items() if key not in ("default", "variables")]
        return [*recipe["default"]["before_script"], *(line for job in jobs for line in job["script"])]
    return [step["run"] for job in recipe["jobs"].values() for step in job["steps"] if "run" in step]


def rule_of_udev() -> str:
    """Return what docs/ci.md says about /dev/kvm, as a script."""
    found = re.search(r"```sh\n(echo 'KERNEL==.*?)```", (ROOT / "docs/ci.md").read_text(), re.DOTALL)
    assert found
    return found[1]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_as_its_service_wants_it(name: str) -> None:
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", RECIPES[name], str(ROOT / "docs/ci" / name)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_runs_verbs_of_the_makefile(name: str) -> None:
    verbs = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    found = commands(name)
    used = {command.split()[1] for command in found if command.startswith("make ")}
    assert INSTALLS in found
    others = [command for command in found if not command.startswith("make ") and command != INSTALLS]
    assert others == ([rule_of_udev()] if name == "github-actions.yml" else [])
    assert {"setup", "lint", "test", "run", "matrix"} == used <= verbs


def test_the_readmes_machine_is_the_recipes_machine() -> None:
    readme = (ROOT / "README.md").read_text()
    for tool in ("python3", "make", "gcc", "apt"):
        assert f"`{tool}`" in readme
        assert tool in INSTALLS


@pytest.mark.parametrize("name", RECIPES)
def test_options_in_a_recipe_are_known(name: str) -> None:
    for command in commands(name):
        match = re.fullmatch(r'make (run|matrix) ARGS="(.*)"', command)
        if match is None:
            continue
        argv = [sys.executable, "-m", "harness.cli", match[1], "--help"]
        help_text = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        options = [word for word in match[2].split() if word.startswith("--")]
        assert options
        assert [option for option in options if option not in help_text] == []
