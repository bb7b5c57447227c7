from __future__ import annotations

import threading
from typing import Any

import pytest

from istio_mc.domain import plan
from istio_mc.domain.kube import objects
from istio_mc.domain.plan import Step
from istio_mc.gateways.kube.client import Kube
from istio_mc.ops.install import install
from istio_mc.ops.install.install import _istiod_starts, _parts
from tests.fake_api import FakeApi, status


def crd(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
    }


def test_the_crd_that_tells_the_gateway_api_is_there_is_applied_after_all_the_others() -> None:
    names = (
        objects.GATEWAY_API_SIGN,
        "gateways.gateway.networking.k8s.io",
        "httproutes.gateway.networking.k8s.io",
    )
    step = Step(plan.GATEWAY_API, ("absent",), tuple(crd(name) for name in names))

    parts = [[document["metadata"]["name"] for document in part] for part in _parts(step)]

    assert parts == [list(names[1:]), [objects.GATEWAY_API_SIGN]]


def test_any_other_step_is_applied_at_once() -> None:
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}}

    assert _parts(Step(plan.NAMESPACE, ("missing",), (document,))) == ((document,), ())


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "_POLL_S", 0.02)


DEPLOYMENT = objects.DEPLOYMENT.path("istio-system", "istiod")


def test_the_gateway_apis_crds_wait_until_istiod_starts(api: FakeApi) -> None:
    api.on(DEPLOYMENT, status(404, "not yet"), status(404, "not yet"), {"kind": "Deployment"})

    assert _istiod_starts(Kube("kt", api.kubeconfig()), "istiod", threading.Event())
    assert len(api.calls) == 3


def test_they_wait_no_longer_than_for_the_steps_that_make_istiod(api: FakeApi) -> None:
    ended = threading.Event()
    threading.Timer(0.2, ended.set).start()

    assert not _istiod_starts(Kube("kt", api.kubeconfig()), "istiod", ended)


def test_a_cluster_that_does_not_answer_is_not_asked_for_istiod_again(api: FakeApi) -> None:
    api.on(DEPLOYMENT, status(500, "not well"))
    ended = threading.Event()
    threading.Timer(0.3, ended.set).start()

    assert not _istiod_starts(Kube("kt", api.kubeconfig()), "istiod", ended)
    assert len(api.calls) == 1
