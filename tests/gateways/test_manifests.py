"""Manifests that istioctl made are kept."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar

import pytest

from istio_mc.domain import yamltext
from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.istio.stand_ins import stand_in_of
from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.istio import istioctl as module
from istio_mc.gateways.istio.istioctl import Istioctl, find_istioctl, manifest, manifest_of
from tests.support.world import CLUSTERS, MESH

if TYPE_CHECKING:
    from pathlib import Path

    from istio_mc.domain.mesh import Cluster

PROGRAM = """#!/bin/sh
echo run >> {folder}/runs
echo '{{apiVersion: v1, kind: ConfigMap, metadata: {{name: istio}}}}'
"""
OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio"}}


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
    assert (made[0], made[0] == made[1], runs(tmp_path)) == ([OBJECT], True, 1)


def test_another_document_is_generated_again(tmp_path: Path, istioctl: Istioctl) -> None:
    for text in ("a: 1", "a: 2"):
        manifest(istioctl, document(tmp_path, text), tmp_path / "cache")
    assert runs(tmp_path) == 2


def test_another_program_generates_it_again(tmp_path: Path, istioctl: Istioctl) -> None:
    manifest(istioctl, document(tmp_path), tmp_path / "cache")
    istioctl.path.write_text(istioctl.path.read_text() + "# changed\n")
    manifest(istioctl, document(tmp_path), tmp_path / "cache")
    assert runs(tmp_path) == 2


def test_what_is_kept_is_for_its_owner_alone(tmp_path: Path, istioctl: Istioctl) -> None:
    manifest(istioctl, document(tmp_path), tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_damaged_cached_file_is_generated_again(tmp_path: Path, istioctl: Istioctl) -> None:
    manifest(istioctl, document(tmp_path), tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_text("{")
    assert manifest(istioctl, document(tmp_path), tmp_path / "cache") == [OBJECT]


def test_a_program_that_does_not_end_has_no_more_time_than_the_run(tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    with pytest.raises(ProblemError, match="did not exit within"):
        manifest(Istioctl(slow, "1.26.0"), document(tmp_path), tmp_path / "kept", time.monotonic() + 0.3)


def test_one_without_a_version_has_no_more_time_either(tmp_path: Path) -> None:
    slow = tmp_path / "istioctl"
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    env = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with pytest.raises(ProblemError, match="does not report its version"):
        find_istioctl(env, None, "1.26.0", time.monotonic() + 0.3)


NAMING = """#!/bin/sh
echo run >> {folder}/runs
if grep -q {fails} "$6"; then echo no >&2; exit 1; fi
printf '%s\\n' 'apiVersion: v1' 'kind: ConfigMap' 'metadata: {{name: istio}}'
sed -n 's/^ *clusterName: */id: /p' "$6"
echo {more}
"""


class TestManyClusters:
    """One run for the first cluster, and one for what stands for all."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "runs").touch()
        return tmp_path

    @staticmethod
    def program(folder: Path, *, fails: str = "nothing", more: str = "") -> Istioctl:
        path = folder / "istioctl"
        path.write_text(NAMING.format(folder=folder, fails=fails, more=more))
        path.chmod(0o755)
        return Istioctl(path, "1.26.0")

    @staticmethod
    def made(istioctl: Istioctl, folder: Path, *, forget: bool = False) -> list[object]:
        """What is made for three clusters at once: the only object of each, or the code of its Problem."""

        def write(cluster: Cluster) -> Path:
            path = folder / f"{cluster.cluster_id}.yaml"
            path.write_text(yamltext.dump(istio_operator(MESH, cluster)))
            return path

        def one(cluster: Cluster) -> object:
            try:
                stand_in = stand_in_of(MESH, cluster)
                (found,) = manifest_of(istioctl, cluster, stand_in, write, folder / "kept")
            except ProblemError as error:
                return error.problems[0].code
            return found

        if forget:
            module._templates.clear()
        with ThreadPoolExecutor(3) as pool:
            return list(pool.map(one, CLUSTERS.values()))

    IDS: ClassVar = [{**OBJECT, "id": cluster.cluster_id} for cluster in CLUSTERS.values()]

    def test_two_runs_do_for_all_and_for_the_next_time(self, folder: Path) -> None:
        istioctl = self.program(folder)
        assert self.made(istioctl, folder) == self.IDS
        assert self.made(istioctl, folder) == self.IDS
        assert self.made(istioctl, folder, forget=True) == self.IDS
        assert runs(folder) == 2

    def test_a_program_that_writes_the_values_in_another_way_has_a_run_for_each(self, folder: Path) -> None:
        """Here a number of characters, as a checksum would be."""
        istioctl = self.program(folder, more='"length: $(wc -c < "$6")"')
        made = self.made(istioctl, folder)
        assert [found["id"] for found in made if isinstance(found, dict)] == [
            cluster.cluster_id for cluster in CLUSTERS.values()
        ]
        assert made == [
            {
                **OBJECT,
                "id": cluster.cluster_id,
                "length": (folder / f"{cluster.cluster_id}.yaml").stat().st_size,
            }
            for cluster in CLUSTERS.values()
        ]
        assert runs(folder) == 1 + len(CLUSTERS)
        assert self.made(istioctl, folder, forget=True) == made
        assert runs(folder) == 1 + len(CLUSTERS)

    def test_a_document_that_is_refused_is_so_for_each(self, folder: Path) -> None:
        assert self.made(self.program(folder, fails="clusterName"), folder) == ["istioctl-failed"] * 3

    def test_a_stand_in_that_is_refused_is_retried_the_next_time(self, folder: Path) -> None:
        istioctl = self.program(folder, fails="stands-for")
        assert self.made(istioctl, folder) == self.IDS
        assert not list((folder / "kept").glob("shared-*"))
