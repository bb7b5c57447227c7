"""The root certificates that istiod leaves in namespaces: they go, unless another revision needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.removal import Left, Removal
from istio_mc.gateways.kube import Kube
from istio_mc.ops.uninstall import _roots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fake_api import FakeApi

ROOT = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "istio-ca-root-cert", "namespace": "shop", "labels": {"istio.io/config": "true"}},
}


@pytest.fixture
def kube(api: FakeApi) -> Iterator[Kube]:
    """A cluster in which istiod gave namespace shop its root certificate."""
    api.on("/api/v1/configmaps", {"items": [ROOT]})
    found = Kube("kt", api.kubeconfig())
    yield found
    found.close()


@pytest.mark.parametrize(
    ("others", "left", "goes"),
    [
        ((), (), ["shop"]),
        (("istiod-1-25",), (), []),
        ((), (Left("Secret of-others", "another revision of something else"),), ["shop"]),
    ],
)
def test_they_stay_where_another_revision_of_istiod_runs_and_nowhere_else(
    kube: Kube, others: tuple[str, ...], left: tuple[Left, ...], goes: list[str]
) -> None:
    found = Removal(objects=(), crds=(), namespace=False, left=left, other_revisions=others)
    assert [item.namespace for item in _roots(kube, found, ())] == goes
