"""What istiod gives every namespace and leaves there: it goes, unless another revision needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.removal import Left, Removal
from istio_mc.gateways.kube.client import Kube
from istio_mc.ops.uninstall.plan import roots_left

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fake_api import FakeApi


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
