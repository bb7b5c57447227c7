"""What istiod gives every namespace and leaves there: it goes, unless another revision needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.removal import Left, Removal
from istio_mc.gateways.kube.client import Kube
from istio_mc.ops.uninstall.plan import roots_left
from istio_mc.ops.uninstall.uninstall import _elections, _unlabel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fake_api import FakeApi


def config_map(name: str, *keys: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", "labels": {"istio.io/config": "true"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict.fromkeys(keys, "")}


@pytest.fixture
def kube(api: FakeApi) -> Iterator[Kube]:
    """A cluster in which istiod gave namespace shop its root certificate and what is revoked."""
    given = [config_map("istio-ca-root-cert", "root-cert.pem"), config_map("istio-ca-crl", "ca-crl.pem")]
    api.on("/api/v1/configmaps", {"items": [*given, config_map("of-others", "root-cert.pem", "more")]})
    found = Kube("kt", api.kubeconfig())
    yield found
    found.close()


@pytest.mark.parametrize(
    ("others", "left", "goes"),
    [
        ((), (), ["istio-ca-root-cert", "istio-ca-crl"]),
        (("istiod-1-25",), (), []),
        (
            (),
            (Left("Secret of-others", "another revision of something else"),),
            ["istio-ca-root-cert", "istio-ca-crl"],
        ),
    ],
)
def test_they_stay_where_another_revision_of_istiod_runs_and_nowhere_else(
    kube: Kube, others: tuple[str, ...], left: tuple[Left, ...], goes: list[str]
) -> None:
    found = Removal(objects=(), crds=(), namespace=False, left=left, other_revisions=others)
    assert [item.name for item in roots_left(kube, found, ())] == goes


def test_of_all_config_maps_only_those_of_istiod_are_read(api: FakeApi, kube: Kube) -> None:
    roots_left(kube, Removal((), (), namespace=False, left=(), other_revisions=()), ())
    assert api.calls == [("GET", "/api/v1/configmaps?labelSelector=istio.io%2Fconfig%3Dtrue")]


@pytest.mark.parametrize(
    ("others", "namespace_goes", "goes"),
    [((), False, ["istio-leader"]), (("istiod-1-25",), False, []), ((), True, [])],
)
def test_leader_election_objects_are_deleted_with_the_last_istiod_of_a_kept_namespace(
    api: FakeApi, others: tuple[str, ...], goes: list[str], *, namespace_goes: bool
) -> None:
    leader = {"control-plane.alpha.kubernetes.io/leader": "{}"}
    metadata = {"name": "istio-leader", "namespace": "istio-system", "annotations": leader}
    elected = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    api.on("/api/v1/namespaces/istio-system/configmaps", {"items": [elected]})
    api.on("/apis/coordination.k8s.io/v1/namespaces/istio-system/leases", {"items": []})
    found = Removal(objects=(), crds=(), namespace=namespace_goes, left=(), other_revisions=others)
    going = _elections(Kube("kt", api.kubeconfig()), found)
    assert [item.name for item in going] == goes


def test_a_namespace_that_is_gone_has_no_labels_to_take_away(api: FakeApi) -> None:
    _unlabel(Kube("kt", api.kubeconfig()))
    assert [method for method, _ in api.calls] == ["GET"]
