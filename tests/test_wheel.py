"""The wheel: built, installed beside nothing but its dependencies, and run far from the checkout.

And the sdist: all that `make check` needs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[1]


def run(*arguments: str | Path, cwd: Path, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd, env=os.environ | env, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    pip = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    run(*pip, "--root-user-action", "ignore", "--target", folder, wheel, cwd=folder)
    return folder


def test_runs_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    # -P and PYTHONPATH first: neither the working folder nor the editable install is what is run.
    code = "import istio_mc, sys; sys.stderr.write(istio_mc.__file__)"
    found = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(installed)}, capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    assert found.stderr == str(installed / "istio_mc" / "__init__.py")
    assert "istio-mc install" in run(
        "-P", "-m", "istio_mc", "--help", cwd=tmp_path, PYTHONPATH=str(installed)
    )


def test_carries_its_types(installed: Path) -> None:
    assert (installed / "istio_mc" / "py.typed").is_file()


def test_installs_the_program(installed: Path) -> None:
    (points,) = installed.glob("istio_mc-*.dist-info/entry_points.txt")
    assert "istio-mc = istio_mc.__main__:main" in points.read_text()


def test_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    source = ROOT / "src"
    desired = {
        str(path.relative_to(source))
        for path in (source / "istio_mc").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == desired


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree that an sdist unpacks to."""
    folder = tmp_path_factory.mktemp("sdist")
    run("-m", "build", "--sdist", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (made,) = folder.glob("*.tar.gz")
    with tarfile.open(made) as archive:
        archive.extractall(folder, filter="data")
    return folder / made.name.removesuffix(".tar.gz")


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="which files belong to the project is known to git")
def test_the_sdist_holds_every_file_of_the_project(sdist: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    files = {name for name in listed.stdout.split("\0") if name and not name.startswith(".ci/")}
    held = {str(path.relative_to(sdist)) for path in sdist.rglob("*") if path.is_file()}
    assert held - {"PKG-INFO"} == {name for name in files if (ROOT / name).exists()}


def test_the_tests_of_an_sdist_are_collected_in_it(sdist: Path, tmp_path: Path) -> None:
    found = run(
        "-P", "-m", "pytest", "--collect-only", "-qq", "-p", "no:cacheprovider",
        "tests/test_docs.py", "tests/verbs", cwd=sdist, PYTHONPATH=str(sdist / "src"), TMPDIR=str(tmp_path),
    )  # fmt: skip
    assert "tests/verbs/test_install.py: " in found


def test_a_script_of_the_sdist_can_be_run(sdist: Path) -> None:
    assert os.access(sdist / "tests" / "run.sh", os.X_OK)
