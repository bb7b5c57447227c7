"""CNI plugins are known by their DaemonSets, and their settings read only where they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.kube import objects
from istio_mc.gateways.kube.client import Kube
from istio_mc.gateways.kube.snapshot import survey
from tests.support.fake_api import FakeApi, status

if TYPE_CHECKING:
    from collections.abc import Iterator

OF_API_SERVER, OF_CRD = (kind.path(None, "default") for kind in objects.FELIX_CONFIGURATIONS)
CALICO = {"name": "calico-node", "namespace": "calico-system"}


@pytest.fixture
def kube(api: FakeApi) -> Iterator[Kube]:
    api.on("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"status": {"allowed": True}})
    made = Kube("kt", api.kubeconfig(), read_timeout_s=2.0)
    yield made
    made.close()


def runs(api: FakeApi, *daemon_sets: dict[str, Any]) -> None:
    spec = {"template": {"spec": {"containers": [{"name": "calico-node"}]}}}
    items = [{"metadata": metadata, "spec": spec} for metadata in daemon_sets]
    api.on(objects.DAEMON_SET.path(), {"items": items})


@pytest.mark.parametrize("path", [OF_API_SERVER, OF_CRD])
def test_calicos_configuration_is_read_from_its_api_server_or_its_crd(
    api: FakeApi, kube: Kube, path: str
) -> None:
    runs(api, CALICO)
    api.on(path, {"spec": {"bpfEnabled": True}})
    found = survey(kube).calico
    assert found is not None
    assert found.bypasses_sidecars


def test_where_it_may_not_be_read_that_is_known(api: FakeApi, kube: Kube) -> None:
    runs(api, CALICO)
    api.on(OF_API_SERVER, status(403, 'User "ann" cannot get resource "felixconfigurations" in API group ""'))
    found = survey(kube).calico
    assert found is not None
    assert not found.is_known


def test_without_calico_none_of_its_objects_is_read(api: FakeApi, kube: Kube) -> None:
    runs(api)
    assert survey(kube).calico is None
    assert not [path for _, path in api.calls if "felix" in path]


@pytest.mark.parametrize(
    ("metadata", "istio_cni", "ambient"),
    [({"name": "istio-cni-node"}, True, False), ({"name": "z", "labels": {"app": "ztunnel"}}, False, True)],
)
def test_istios_own_daemon_sets(
    api: FakeApi, kube: Kube, metadata: dict[str, Any], *, istio_cni: bool, ambient: bool
) -> None:
    runs(api, metadata)
    found = survey(kube)
    assert (found.istio_cni, found.ambient) == (istio_cni, ambient)
