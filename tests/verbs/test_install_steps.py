"""install: what is reported where a step fails, and whom each cluster is waited for to see."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from istio_mc.domain.problem import Code, Problem
from istio_mc.ops.ca import trust
from istio_mc.ops.ca.options import options_of
from istio_mc.ops.install import install, preflight
from istio_mc.ops.install.prepare import prepare
from istio_mc.ops.session.inputs import Inputs
from istio_mc.ops.session.session import open_named
from tests.support.mesh import environment
from tests.support.refusals import Refused

if TYPE_CHECKING:
    import pytest

    from istio_mc.domain.mesh import Cluster
    from tests.support.mesh import Mesh

SYSTEM = "istio-system"
INSTALL = ("install", "--contexts", "kt,ncloud,nhn", "-o", "json")
OF_NHN = "istio-remote-secret-nhn-nks"
NO = Refused(403, "Forbidden", "no")


def test_every_unfinished_cluster_is_an_error_for_each_failed_step(installed: Mesh) -> None:
    kt, ncloud, nhn = installed.clusters.values()
    kt.delete(kt.get("Gateway", "cross-network-gateway", SYSTEM))
    kt.faults.refuse(NO, "PATCH", path="/gateways/cross-network-gateway$")
    ncloud.delete(ncloud.get("Secret", OF_NHN, SYSTEM))
    ncloud.faults.refuse(NO, "PATCH", path="/secrets/")
    nhn.faults.refuse(NO, "GET", path="/deployments/istiod$")
    result = installed.run(*INSTALL).exits(1)
    assert result.errors == [("forbidden", "kt"), ("forbidden", "ncloud"), ("forbidden", "nhn")]


def test_each_cluster_is_waited_for_until_it_sees_all_the_others(
    installed: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    awaited: dict[str, list[str]] = {}

    def wait_ready(_session: object, _mesh: object, cluster: Cluster, others: list[Cluster]) -> tuple[str]:
        awaited[cluster.context] = [one.context for one in others]
        return (f"address-of-{cluster.context}",)

    monkeypatch.setattr(install, "wait_ready", wait_ready)
    done = installed.run(*INSTALL).exits(0)
    assert awaited == {"kt": ["ncloud", "nhn"], "ncloud": ["kt", "nhn"], "nhn": ["kt", "ncloud"]}
    assert [one["gatewayAddresses"] for one in done.data["clusters"]] == [
        [f"address-of-{name}"] for name in installed.names
    ]


def test_a_dry_run_reports_a_cluster_whose_services_it_cannot_read(installed: Mesh) -> None:
    installed["nhn"].faults.refuse(NO, "GET", path="^/api/v1/services$")
    done = installed.run(*INSTALL, "--dry-run").exits(3)
    assert done.errors == [("forbidden", "nhn")]
    addresses = [one["gatewayAddresses"] for one in done.data["clusters"]]
    assert addresses == [[one.balancer] for one in installed.clusters.values()]


def test_earlier_problems_of_a_cluster_stay_and_those_of_the_plan_are_reported(
    installed: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(installed.folder).items():
        monkeypatch.setenv(name, value)
    known, ca, outlived = (
        Problem(code=code, message=code)
        for code in (Code.CONTEXT_SKIPPED, Code.CA_EXPIRES_SOON, Code.WORKLOAD_OUTLIVES_CA)
    )
    decide = trust.decide
    monkeypatch.setattr(
        trust, "decide", lambda *given, **more: replace(decide(*given, **more), warnings=(ca,))
    )
    monkeypatch.setattr(preflight, "outlived", lambda *_: [outlived])
    inputs = Inputs(str(installed.kubeconfig), installed.names, installed.folder / "mesh.yaml", timeout_s=60)
    with installed.direct(), open_named(inputs) as session:
        session.clusters.mark_unusable({"nhn": (known,)})
        installed.cut("kt")
        options = options_of(session.settings.ca, None, None)
        store, now = session.ca_store(), datetime.now(UTC)
        prepared = prepare(session, store, options, now, dry_run=True, strict=False)
    assert (list(prepared.clusters), list(prepared.plans)) == ([*installed.names], ["ncloud"])
    assert session.clusters.unusable["nhn"] == (known,)
    assert [problem.code for problem in session.clusters.unusable["kt"]] == ["cluster-unreachable"]
    codes = [problem.code for problem in prepared.warnings]
    assert codes[-2:] == [Code.CA_EXPIRES_SOON, Code.WORKLOAD_OUTLIVES_CA]
    assert "istio-end-of-life" in codes


def test_a_cluster_takes_no_network_of_a_context_outside_the_run(mesh: Mesh) -> None:
    labels = {"topology.istio.io/network": "network1", "istio-mc/cluster-id": "kt-k2p"}
    mesh["kt"].make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM, "labels": labels}})
    done = mesh.run("install", "--contexts", "nhn", "--dry-run", "-o", "json").exits(0)
    assert done.cluster("nhn")["network"] == "network2"
