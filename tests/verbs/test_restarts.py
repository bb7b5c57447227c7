"""Workloads with an older proxy are restarted one after another, or stay with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.ops.session.inputs import Inputs
from istio_mc.ops.session.session import Session, open_named
from istio_mc.ops.upgrade import workloads
from tests.support import istioctl, quick
from tests.support.mesh import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Cluster
    from tests.support.mesh import Mesh

NEWER = "1.27.0"
NEVER_FEWER = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
ONE_FEWER = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}


@pytest.fixture
def session(shop: Cluster, installed: Mesh, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    assert shop.name == "kt"
    for name, value in environment(installed.folder).items():
        monkeypatch.setenv(name, value)
    quick.hurry()
    inputs = Inputs(str(installed.kubeconfig), installed.names, installed.folder / "mesh.yaml", timeout_s=60)
    with installed.direct(), open_named(inputs) as found:
        yield found
    quick.calm_down()


@pytest.fixture
def shop(installed: Mesh) -> Cluster:
    """kt with a workload of one pod, with a sidecar."""
    kt = installed["kt"]
    kt.deploy("shop", "shop")
    kt.settle()
    return kt


def change(kt: Cluster, **spec: Any) -> None:
    kt.edit(kt.get("Deployment", "shop", "shop"), lambda item: item["spec"].update(spec))
    kt.settle()


def reasons(remaining: tuple[workloads.Remaining, ...]) -> dict[str, str]:
    return {str(one.proxy.workload): one.reason for one in remaining}


def test_a_workload_of_the_version_is_left_alone(session: Session, shop: Cluster) -> None:
    before = shop.names("Pod", "shop")
    assert workloads.restart(session, "kt", istioctl.VERSION) == ()
    shop.settle()
    assert shop.names("Pod", "shop") == before


def test_an_older_one_gets_new_pods_and_is_reported_where_these_are_older_too(
    session: Session, shop: Cluster
) -> None:
    before = set(shop.names("Pod", "shop"))
    left = workloads.restart(session, "kt", NEWER)
    assert reasons(left) == {"Deployment shop/shop": "its new pods have the older proxy too"}
    shop.settle()
    assert not before & set(shop.names("Pod", "shop"))


def test_without_a_restart_every_older_one_is_reported(session: Session) -> None:
    left = workloads.remaining(session.clusters.kubes["kt"], NEWER)
    assert reasons(left) == {"Deployment shop/shop": "not restarted"}


def test_one_whose_rollout_leaves_no_ready_pod_keeps_its_pods(session: Session, shop: Cluster) -> None:
    change(shop, strategy=ONE_FEWER)
    before = shop.names("Pod", "shop")
    left = workloads.restart(session, "kt", NEWER)
    assert reasons(left) == {"Deployment shop/shop": "its rollout leaves no ready pod"}
    assert shop.names("Pod", "shop") == before


def test_one_whose_budget_allows_no_disruption_keeps_its_pods(
    session: Session, shop: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workloads, "PATIENCE_S", 0.05)
    change(shop, strategy=ONE_FEWER, replicas=2)
    budget = {"selector": {"matchLabels": {"app": "shop"}}, "minAvailable": 2}
    metadata = {"name": "shop", "namespace": "shop"}
    shop.make(
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": budget}
    )
    before = shop.names("Pod", "shop")
    left = workloads.restart(session, "kt", NEWER)
    assert reasons(left) == {"Deployment shop/shop": "PodDisruptionBudget shop allows no disruption"}
    assert shop.names("Pod", "shop") == before


def test_one_whose_new_pods_do_not_start_is_reported(
    session: Session, shop: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workloads, "PATIENCE_S", 0.3)
    change(shop, strategy=NEVER_FEWER)
    shop.stuck["shop"] = "ImagePullBackOff"
    left = workloads.restart(session, "kt", NEWER)
    assert reasons(left) == {"Deployment shop/shop": "its rollout did not end in time"}


def test_a_pod_without_a_workload_is_not_restarted(session: Session, shop: Cluster) -> None:
    (pod,) = shop.store.of("Pod", "shop")
    shop.edit(pod, lambda item: item["metadata"].pop("ownerReferences"))
    left = workloads.restart(session, "kt", NEWER)
    name = f"Pod shop/{pod['metadata']['name']}"
    assert reasons(left)[name] == "a Pod is not restarted: delete its pods when it suits"
