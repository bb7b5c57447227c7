"""uninstall, step by step: what is planned for each cluster, what goes, and what is reported on failure."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.codes import Code
from istio_mc.domain.events import Event, State, silent
from istio_mc.domain.problem import Problem
from istio_mc.ops.session.inputs import Inputs
from istio_mc.ops.session.session import Session, open_named
from istio_mc.ops.uninstall import leave
from istio_mc.ops.uninstall.plan import prepare
from istio_mc.ops.uninstall.uninstall import uninstall
from tests.support import quick
from tests.support.mesh import environment
from tests.support.refusals import Refused
from tests.support.sessions import changed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.mesh import Mesh

SYSTEM = "istio-system"
NO = Refused(403, "Forbidden", "no")
UNUSABLE = Problem(code=Code.CLUSTER_UNREACHABLE, message="not reached")


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def session(installed: Mesh, events: list[Event], monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    for name, value in environment(installed.folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(leave, "time", SimpleNamespace(sleep=lambda _: None))
    inputs = Inputs(str(installed.kubeconfig), installed.names, installed.folder / "mesh.yaml", timeout_s=60)
    quick.hurry()
    # No namespace goes before the run has reported that it waits for one.
    for one in installed.clusters.values():
        one.controllers.held.add("namespaces")

    def progress(event: Event) -> None:
        events.append(event)
        if event.state is State.WAITING and event.cluster:
            installed[event.cluster].controllers.held.discard("namespaces")
            installed[event.cluster].controllers.wake()

    with open_named(inputs, progress) as found:
        yield found
    quick.calm_down()


def unusable(session: Session, context: str) -> None:
    session.clusters.mark_unusable({context: (UNUSABLE,)})


def sample_namespace(mesh: Mesh, context: str, **labels: str) -> None:
    metadata = {"name": "sample", "labels": {"istio-injection": "enabled", **labels}}
    mesh[context].make({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    mesh[context].deploy("helloworld", "sample")


OURS = {"app.kubernetes.io/managed-by": "istio-mc"}


def test_what_is_planned_for_each_cluster(installed: Mesh, session: Session) -> None:
    sample_namespace(installed, "kt", **OURS)
    sample_namespace(installed, "ncloud")
    installed["kt"].deploy("shop", "shop")
    installed.settle()
    todo = prepare(session)
    assert (todo.going, todo.staying, todo.absent, todo.whole) == (installed.names, (), (), True)
    assert todo.sample == ("kt",)
    roots = {name: {item.namespace for item in found} for name, found in todo.roots.items()}
    assert {"sample", SYSTEM} & roots["kt"] == set()  # they go with their namespaces
    assert {"default", "shop"} <= roots["kt"]
    assert "sample" in roots["ncloud"]
    assert list(todo.meshed) == ["kt"]  # the sample's own pods are nobody's
    assert [pod.rpartition("-")[0][:10] for pod in todo.meshed["kt"]] == ["shop/shop-"]
    assert todo.servers == {name: installed.url(name) for name in installed.names}
    assert todo.mesh_id == "mesh1"


def test_members_of_two_meshes_are_both_named_in_the_plan(installed: Mesh, session: Session) -> None:
    kt = installed["kt"]
    kt.edit(
        kt.get("Namespace", SYSTEM),
        lambda copy: copy["metadata"]["labels"].update({"istio-mc/mesh-id": "another"}),
    )
    assert prepare(session).mesh_id == "another,mesh1"


def test_each_cluster_that_nothing_can_be_planned_for_is_reported(installed: Mesh, session: Session) -> None:
    unusable(session, "nhn")
    installed["ncloud"].faults.refuse(NO, "GET", path="/deployments$")
    installed["kt"].faults.refuse(NO, "GET", path="/namespaces/sample$")
    todo = prepare(session)
    assert set(todo.failures) == {"kt", "ncloud", "nhn"}
    assert todo.removals == {}


def test_a_mesh_of_which_no_cluster_responds_is_that_of_mesh_yaml(installed: Mesh, session: Session) -> None:
    for name in installed.names:
        unusable(session, name)
    todo = prepare(session)
    assert (todo.mesh_id, set(todo.failures)) == ("mesh1", set(installed.names))


def test_a_leave_reports_what_failed_in_those_that_stay_and_in_those_that_go(
    installed: Mesh, session: Session
) -> None:
    session = replace(session, listed=("nhn",))
    unusable(session, "ncloud")
    todo = prepare(session, ["ncloud", "nhn"])
    installed["kt"].faults.refuse(NO, "DELETE", path="/secrets/istio-reader-.*-token$")
    installed["nhn"].faults.refuse(NO, "DELETE", path="/deployments/istiod$")
    done = uninstall(session, todo)
    assert set(done.failures) == {"kt", "ncloud", "nhn"}
    assert "Secret istio-system/istio-remote-secret-nhn-nks" in done.removed["kt"]
    # What went before the fault is reported, and no more than that.
    assert f"Service {SYSTEM}/istiod" in done.removed["nhn"]
    assert not {f"Deployment {SYSTEM}/istiod", f"Namespace {SYSTEM}"} & set(done.removed["nhn"])
    assert [problem.code for problem in done.warnings] == ["tokens-kept", "settings-name-it"]
    assert done.dry_run is False


def test_a_namespace_that_does_not_go_is_not_reported_as_removed(installed: Mesh, session: Session) -> None:
    todo = prepare(session)
    for one in installed.clusters.values():
        one.controllers.held.add("namespaces")
    done = uninstall(changed(session, deadline=time.monotonic(), progress=silent), todo)
    assert {problem.code for found in done.failures.values() for problem in found} == {"namespace-stuck"}
    for removed in done.removed.values():
        assert f"Deployment {SYSTEM}/istiod" in removed
        assert f"Namespace {SYSTEM}" not in removed


def test_all_that_goes_from_a_namespace_that_stays_is_reported(
    installed: Mesh, session: Session, events: list[Event]
) -> None:
    kt = installed["kt"]
    sample_namespace(installed, "kt", **OURS)
    metadata = {"name": "of-others", "namespace": SYSTEM}
    kt.make({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    leader = {"control-plane.alpha.kubernetes.io/leader": "{}"}
    elsewhere = {"name": "istio-leader", "namespace": "default", "annotations": leader}
    kt.make({"apiVersion": "v1", "kind": "ConfigMap", "metadata": elsewhere})
    kt.make({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": elsewhere})
    installed.settle()
    todo = prepare(session)
    events.clear()
    done = uninstall(session, todo)
    assert done.failures == {}
    assert {
        "Namespace sample",
        f"Deployment {SYSTEM}/istiod",
        "CustomResourceDefinition gateways.networking.istio.io",
        f"ConfigMap {SYSTEM}/istio-leader",
        f"Lease {SYSTEM}/istio-gateway-deployment-default",
        "ConfigMap default/istio-ca-root-cert",
    } <= set(done.removed["kt"])
    assert f"Namespace {SYSTEM}" not in done.removed["kt"]
    assert "ConfigMap sample/istio-ca-root-cert" not in done.removed["kt"]  # it goes with its namespace
    assert kt.has("ConfigMap", "istio-leader", "default")
    assert kt.has("Lease", "istio-leader", "default")
    labels = kt.get("Namespace", SYSTEM)["metadata"]["labels"]
    assert not [label for label in labels if label.startswith("istio-mc/")]
    assert f"Namespace {SYSTEM}" in done.removed["nhn"]
    assert not kt.has("Namespace", "sample")
    assert any(one.what == f"Namespace {SYSTEM}" for one in todo.removals["kt"].left)
    assert not installed["nhn"].has("Namespace", SYSTEM)
    states = [event.state for event in events if event.cluster == "nhn"]
    assert states[:3] == [State.PENDING, State.STARTED, State.WAITING]
    assert states[-1] == State.DONE
