"""A first install applies Istio's objects before istioctl runs; they end as istioctl alone leaves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.ops.install import ahead, install
from tests.support import refusals
from tests.support.comparing import Compared, compared

if TYPE_CHECKING:
    import pytest

    from tests.support.cluster import Cluster
    from tests.support.mesh import Mesh

NO = refusals.Refused(500, "InternalError", "no")
THREE = "kt,ncloud,nhn"
ISTIOD = "/deployments/istiod"


def all_of(mesh: Mesh) -> dict[str, Compared]:
    return {name: compared(one.store.everything().values()) for name, one in mesh.clusters.items()}


def writes(cluster: Cluster, path: str) -> int:
    """How often an object was written, by whomever."""
    return sum(request.path.endswith(path) for request in cluster.faults.writes)


def remove(cluster: Cluster, kind: str, name: str) -> None:
    item = cluster.store.find(kind, name, "istio-system")
    assert item
    cluster.store.remove(item)


def test_objects_and_owners_of_their_fields_are_those_of_istioctl_alone(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = mesh.state()
    mesh.run("install", "--contexts", THREE).exits(0)
    with_ahead = all_of(mesh)
    mesh.restore(bare)
    with monkeypatch.context() as patched:
        patched.setattr(install, "apply_ahead", lambda *_: None)
        mesh.run("install", "--contexts", THREE).exits(0)
    assert with_ahead == all_of(mesh)


def test_istiod_starts_before_istioctl_applies_it(mesh: Mesh) -> None:
    mesh.run("install", "--contexts", THREE).exits(0)
    assert [writes(one, ISTIOD) for one in mesh.clusters.values()] == [2, 2, 2]


def test_where_there_is_a_control_plane_only_istioctl_applies_istio(installed: Mesh) -> None:
    kt = installed["kt"]
    remove(kt, "ConfigMap", "istio")
    installed.run("install", "--contexts", THREE).exits(0)
    assert writes(kt, ISTIOD) == 1


def test_where_an_injection_webhook_is_left_istioctl_decides_first(installed: Mesh) -> None:
    kt = installed["kt"]
    for kind, name in (("Deployment", "istiod"), ("Deployment", "istio-ingressgateway")):
        remove(kt, kind, name)
    installed.run("install", "--contexts", THREE)
    assert writes(kt, ISTIOD) == 1


def test_what_is_refused_ahead_is_left_to_istioctl(mesh: Mesh) -> None:
    mesh["kt"].faults.refuse(NO, "PATCH", path="/configmaps/istio-sidecar-injector", times=1)
    mesh.run("install", "--contexts", THREE).exits(0)
    assert writes(mesh["kt"], ISTIOD) == 1  # its pods need what was refused


def test_an_api_server_that_falls_silent_is_soon_left_to_istioctl(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "_SILENCE_S", 0.1)
    kt = mesh["kt"]
    mesh.when(r"PATCH .*/serviceaccounts/", lambda: setattr(kt.faults, "slow_s", 0.5))
    mesh.when(r"PATCH .*/customresourcedefinitions/.*istio", lambda: setattr(kt.faults, "slow_s", 0.0))
    mesh.run("install", "--contexts", "kt").exits(0)  # alone: writes of others would be the moments, too
    assert writes(kt, ISTIOD) == 1
