"""What a server-side dry run sends: what is missing or differs, in namespaces that exist, without secrets."""

from __future__ import annotations

from typing import Any

import pytest

from istio_mc.domain.kube.objects import Object, Ref, ref_of
from istio_mc.domain.kube.rehearsal import documents_of, places, pods_of

SYSTEM = "istio-system"
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}
GOING = {**NAMESPACE, "status": {"phase": "Terminating"}}


def made(kind: str, name: str, namespace: str | None = SYSTEM, **content: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {
        "apiVersion": "apps/v1" if kind == "Deployment" else "v1",
        "kind": kind,
        "metadata": metadata,
        **content,
    }


def found(*items: Object) -> tuple[dict[Ref, Object], frozenset[str]]:
    """What lives, and the namespaces of it."""
    live = {ref_of(one): one for one in items}
    return live, places(live)


MAP = made("ConfigMap", "istio", data={"mesh": "x"})
ROLE = made("ClusterRole", "reader", None)
POD: dict[str, Any] = {
    "metadata": {"labels": {"app": "istiod"}},
    "spec": {"serviceAccountName": "istiod", "containers": []},
}
ISTIOD = made("Deployment", "istiod", spec={"template": POD})
ACCOUNT = made("ServiceAccount", "istiod")


@pytest.mark.parametrize(
    ("desired", "live", "sent"),
    [
        ([MAP, ROLE], [NAMESPACE], [MAP, ROLE]),
        ([MAP, ROLE], [], [ROLE]),
        ([MAP, ROLE], [GOING], [ROLE]),
        ([MAP], [NAMESPACE, MAP], []),
        ([MAP], [NAMESPACE, {**MAP, "data": {"mesh": "y"}}], [MAP]),
        ([made("Secret", "cacerts"), made("IstioOperator", "x")], [NAMESPACE], []),
        ([made("ConfigMap", "x", "kube-system")], [NAMESPACE], []),
    ],
    ids=[
        "missing",
        "no namespace",
        "namespace that goes",
        "equal",
        "different",
        "secret",
        "another namespace",
    ],
)
def test_only_what_can_be_judged_is_sent(
    desired: list[dict[str, Any]], live: list[dict[str, Any]], sent: list[dict[str, Any]]
) -> None:
    assert documents_of(desired, *found(*live)) == sent


def test_a_pod_is_made_of_each_workload() -> None:
    ((pod, is_new),) = pods_of([MAP, ISTIOD], *found(NAMESPACE, ACCOUNT))
    assert is_new
    assert pod["kind"] == "Pod"
    assert pod["metadata"] == {"labels": {"app": "istiod"}, "generateName": "istiod-", "namespace": SYSTEM}
    assert pod["spec"] == POD["spec"]


def test_a_pod_whose_account_does_not_exist_yet_uses_the_default_account() -> None:
    ((pod, _),) = pods_of([ISTIOD], *found(NAMESPACE))
    assert "serviceAccountName" not in pod["spec"]
    assert "serviceAccountName" in POD["spec"]


def test_a_workload_that_runs_is_not_new() -> None:
    ((_, is_new),) = pods_of([ISTIOD], *found(NAMESPACE, ACCOUNT, ISTIOD))
    assert not is_new


def test_without_its_namespace_no_pod_is_made() -> None:
    assert list(pods_of([ISTIOD], *found())) == []
