"""The workflow files, as far as they can be judged without running them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def jobs(workflow: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]
    return found


def steps(workflow: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(workflow).values() for step in job["steps"]]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
class TestEach:
    def test_action_has_a_full_version(self, workflow: Path) -> None:
        used = [step["uses"] for step in steps(workflow) if "uses" in step]
        assert used
        assert [one for one in used if not re.fullmatch(r"actions/[a-z-]+@v\d+\.\d+\.\d+", one)] == []

    def test_job_has_a_deadline(self, workflow: Path) -> None:
        assert all(job["timeout-minutes"] > 0 for job in jobs(workflow).values())

    def test_make_target_is_there(self, workflow: Path) -> None:
        runs = "\n".join(step.get("run", "") for step in steps(workflow))
        called = set(re.findall(r"\bmake(?: -C \S+)? ([a-z-]+)", runs))
        assert called
        assert called <= TARGETS

    def test_rights_are_named(self, workflow: Path) -> None:
        assert yaml.safe_load(workflow.read_text(encoding="utf-8"))["permissions"]


def test_every_python_that_the_project_supports_is_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {one.rpartition(" ")[2] for one in project["classifiers"] if "Python :: 3." in one}
    matrix = jobs(ROOT / ".github" / "workflows" / "check.yml")["check"]["strategy"]["matrix"]
    assert declared <= set(matrix["python"])
    assert project["requires-python"] == f">={matrix['python'][0]}"


def test_a_commit_is_judged_by_the_programs_of_the_projects_own_environment() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert local["repo"] == "local"
    assert all(hook["entry"].startswith(".venv/bin/") for hook in local["hooks"])
