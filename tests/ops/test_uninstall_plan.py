"""What an uninstall is planned with: the version that is removed, and its manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from istio_mc.domain.istio.choice import Servers, choose
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Kind, ref_of
from istio_mc.domain.mesh import ApiServer, Cluster, Mesh
from istio_mc.domain.observed import Observed
from istio_mc.domain.settings.model import IstioSettings, Settings
from istio_mc.ops.uninstall import plan
from tests.support.sessions import session_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istio_mc.gateways.istio.istioctl import Istioctl

SERVER = "v1.33.0"
DEFAULT = choose(session_of().run.releases, Servers({"kt": SERVER}), None).version


def made_by(version: str, kind: Kind = objects.SERVICE, **labels: str) -> dict[str, Any]:
    """An object that istioctl of a version installed."""
    labels = {"operator.istio.io/version": version, **labels}
    metadata = {"name": f"of-{version}", "namespace": "istio-system", "labels": labels}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}


def istiod(version: str) -> dict[str, Any]:
    containers = [{"name": "discovery", "image": f"docker.io/istio/pilot:{version}"}]
    spec = {"template": {"spec": {"containers": containers}}}
    return {**made_by(version, objects.DEPLOYMENT, app="istiod"), "spec": spec}


def version_removed(live: Mapping[str, tuple[dict[str, Any], ...]], pinned: str | None = None) -> str:
    settings = replace(Settings(Path("certs")), istio=IstioSettings(version=pinned))
    found = {name: Observed(SERVER, {ref_of(item): item for item in items}) for name, items in live.items()}
    return plan._version(session_of(settings=settings), found)


LEFT = {"kt": (made_by("1.25.0"),), "nhn": (made_by("1.29.0"), made_by("1.28.0"))}


@pytest.mark.parametrize(
    ("live", "pinned", "removed"),
    [
        pytest.param(LEFT, None, "1.29.0", id="the newest that an interrupted removal left"),
        pytest.param(LEFT, "1.24.0", "1.24.0", id="the one that the user set"),
        pytest.param(
            {**LEFT, "ncloud": (istiod("1.26.0"),)}, None, "1.26.0", id="the one that runs, however old"
        ),
        pytest.param({"kt": (made_by("latest"),), "nhn": ()}, None, DEFAULT, id="of nothing, the default"),
    ],
)
def test_the_version_that_is_removed(
    live: Mapping[str, tuple[dict[str, Any], ...]], pinned: str | None, removed: str
) -> None:
    assert version_removed(live, pinned) == removed


def test_a_manifest_is_made_of_the_clusters_document_before_the_deadline_of_the_run() -> None:
    class Recorder:
        def manifest(self, document: Path, deadline: float) -> list[Any]:
            assert "clusterName: nhn-nks" in document.read_text()
            assert deadline == run.deadline
            return [made_by("1.26.0")]

    run = session_of().run
    mesh, cluster = (
        Mesh(mesh_id="mesh1", version="1.26.0"),
        Cluster("nhn", "nhn-nks", "network3", ApiServer("https://nhn:6443")),
    )
    assert plan._manifest(run, cast("Istioctl", Recorder()), mesh, cluster) == [made_by("1.26.0")]
