"""Manifests that istioctl made are kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.istio.istioctl import Istioctl, find_istioctl, manifest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """#!/bin/sh
echo run >> {folder}/runs
echo 'kind: Deployment'
"""


@pytest.fixture
def istioctl(tmp_path: Path) -> Istioctl:
    """A program that counts its runs."""
    path = tmp_path / "istioctl"
    path.write_text(PROGRAM.format(folder=tmp_path))
    path.chmod(0o755)
    return Istioctl(path, "1.26.0")


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text().splitlines())


def document(tmp_path: Path, text: str = "a: 1") -> Path:
    path = tmp_path / "document.yaml"
    path.write_text(text)
    return path


def test_the_same_document_is_made_once(tmp_path: Path, istioctl: Istioctl) -> None:
    made = [manifest(istioctl, document(tmp_path), tmp_path / "cache") for _ in range(2)]
    assert (made[0], made[0] == made[1], runs(tmp_path)) == ([{"kind": "Deployment"}], True, 1)


def test_another_document_is_made_anew(tmp_path: Path, istioctl: Istioctl) -> None:
    for text in ("a: 1", "a: 2"):
        manifest(istioctl, document(tmp_path, text), tmp_path / "cache")
    assert runs(tmp_path) == 2


def test_another_program_makes_it_anew(tmp_path: Path, istioctl: Istioctl) -> None:
    manifest(istioctl, document(tmp_path), tmp_path / "cache")
    istioctl.path.write_text(istioctl.path.read_text() + "# changed\n")
    manifest(istioctl, document(tmp_path), tmp_path / "cache")
    assert runs(tmp_path) == 2


def test_what_is_kept_is_for_its_owner_alone(tmp_path: Path, istioctl: Istioctl) -> None:
    manifest(istioctl, document(tmp_path), tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_kept_file_that_is_broken_is_made_anew(tmp_path: Path, istioctl: Istioctl) -> None:
    manifest(istioctl, document(tmp_path), tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_text("{")
    assert manifest(istioctl, document(tmp_path), tmp_path / "cache") == [{"kind": "Deployment"}]


def test_a_program_that_does_not_end_has_no_more_time_than_the_run(tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    with pytest.raises(ProblemError, match="did not end within"):
        manifest(Istioctl(slow, "1.26.0"), document(tmp_path), tmp_path / "kept", time.monotonic() + 0.3)


def test_one_that_does_not_tell_its_version_has_no_more_time_either(tmp_path: Path) -> None:
    slow = tmp_path / "istioctl"
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    env = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with pytest.raises(ProblemError, match="does not tell its version"):
        find_istioctl(env, None, "1.26.0", time.monotonic() + 0.3)
