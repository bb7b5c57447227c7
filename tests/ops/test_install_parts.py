from __future__ import annotations

from typing import Any

from istio_mc.domain import objects, plan
from istio_mc.domain.plan import Step
from istio_mc.ops.install import _parts


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
