"""The packages that istio-mc declares: those it imports, and versions that the lock files hold it to."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from tests.support.sources import parsed

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = {canonicalize_name(r.name): r for r in map(Requirement, PROJECT["dependencies"])}
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def pins(lock: str) -> dict[NormalizedName, Version]:
    text = (ROOT / lock).read_text(encoding="utf-8")
    return {canonicalize_name(name): Version(version) for name, version in PIN.findall(text)}


def floor(requirement: Requirement) -> Version:
    (lowest,) = (Version(s.version) for s in requirement.specifier if s.operator == ">=")
    return lowest


def imported(source: Path) -> set[str]:
    found = set()
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"istio_mc"}


@pytest.mark.thorough
def test_every_package_that_the_program_imports_is_declared_and_no_other() -> None:
    modules = set().union(*map(imported, (ROOT / "src").rglob("*.py")))
    owners = packages_distributions()
    assert {canonicalize_name(owners[module][0]) for module in modules} == DECLARED.keys()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock", "requirements-lowest.lock"])
def test_a_lock_file_holds_versions_that_are_declared(lock: str) -> None:
    held = pins(lock)
    wrong = {
        name: held.get(name)
        for name, r in DECLARED.items()
        if name not in held or held[name] not in r.specifier
    }
    assert wrong == {}, "make locks"


@pytest.mark.parametrize("name", DECLARED)
def test_the_lowest_declared_version_is_the_one_that_is_tested(name: NormalizedName) -> None:
    lowest = floor(DECLARED[name])
    tested = pins("requirements-lowest.lock")[name]
    # The first that was published of a series: there is no cryptography 45.0.0.
    assert tested.release[: len(lowest.release)] == lowest.release, "make locks"


@pytest.mark.parametrize("lock", sorted(path.name for path in ROOT.glob("requirements*.lock")))
def test_a_lock_file_names_no_package_index(lock: str) -> None:
    assert "://" not in (ROOT / lock).read_text(encoding="utf-8")
