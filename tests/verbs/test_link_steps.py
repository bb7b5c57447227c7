"""link, step by step: what is read of each cluster, pruned and written, and what is reported on failure."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
import yaml

from istio_mc.domain.events import Event, State
from istio_mc.domain.problem import Code, Problem
from istio_mc.ops.link import link_members, read_links
from istio_mc.ops.session.inputs import Inputs
from istio_mc.ops.session.session import Session, open_named
from tests.support.own_reader import ACCOUNT, with_own_reader
from tests.support.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from istio_mc.gateways.host.parallel import Failures
    from tests.support.kinds import Object
    from tests.support.mesh import Mesh

SYSTEM = "istio-system"
OF_KT, OF_NCLOUD, OF_NHN = (f"istio-remote-secret-{name}" for name in ("kt-k2p", "ncloud-nks", "nhn-nks"))
READER = "istio-reader-service-account-istio-remote-secret-token"
NO = Refused(403, "Forbidden", "no")
BEFORE = Problem(code=Code.CONTEXT_SKIPPED, message="known before")
UNUSABLE = Problem(code=Code.CLUSTER_UNREACHABLE, message="not reached")


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def session(installed: Mesh, events: list[Event]) -> Iterator[Session]:
    inputs = Inputs(str(installed.kubeconfig), installed.names, installed.folder / "mesh.yaml", timeout_s=60)
    with installed.direct(), open_named(inputs, events.append) as found:
        events.clear()
        yield found


def codes(failures: Failures) -> dict[str, list[str]]:
    return {name: [problem.code for problem in problems] for name, problems in failures.items()}


def remote_secret(name: str, key: str) -> Object:
    metadata = {"name": name, "namespace": SYSTEM, "labels": {"istio/multiCluster": "true"}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {key: "e30="}}


def events_of(events: list[Event], step: str) -> list[tuple[str | None, State, str]]:
    return [(event.cluster, event.state, event.detail) for event in events if event.step == step]


def without(mesh: Mesh, context: str, secret: str) -> None:
    mesh[context].delete(mesh[context].get("Secret", secret, SYSTEM))


def test_each_cluster_that_cannot_be_linked_is_reported_with_its_own_reason(
    installed: Mesh, session: Session
) -> None:
    session.clusters.mark_unusable({"nhn": (UNUSABLE,)})
    kt = installed["kt"]
    kt.controllers.held.add("namespaces")
    kt.delete(kt.get("Namespace", SYSTEM))
    installed["ncloud"].faults.refuse(NO, "GET", path="/deployments$")
    todo = read_links(session, prune=False)
    assert codes(todo.failures) == {
        "nhn": ["cluster-unreachable"],
        "ncloud": ["forbidden"],
        "kt": ["namespace-terminating"],
    }
    assert (todo.states, todo.stale) == ({}, {})
    assert [problem.code for problem in todo.warnings] == ["istio-defects"]
    restart = "kubectl --context kt -n istio-system rollout restart deployment istiod"
    assert str(todo.warnings[0].hint).endswith(restart)


def test_link_failures_are_reported_and_all_other_clusters_are_linked(
    installed: Mesh, session: Session, events: list[Event]
) -> None:
    session.clusters.mark_unusable({"nhn": (UNUSABLE,)})
    installed["kt"].make(remote_secret("of-no-member", "gone"))
    installed["kt"].make(remote_secret("of-another", "another"))
    without(installed, "kt", OF_NCLOUD)
    without(installed, "ncloud", OF_KT)
    installed["kt"].faults.refuse(NO, "DELETE", path="/of-no-member$")
    installed["ncloud"].faults.refuse(NO, "PATCH", path="/secrets/")
    done = link_members(session, read_links(session, prune=True), dry_run=False)
    assert set(done.failures) == {"kt", "ncloud", "nhn"}
    assert installed["kt"].has("Secret", OF_NCLOUD, SYSTEM)
    assert done.pruned["kt"] == ("of-another",)  # what stays is not reported as removed
    assert done.dry_run is False
    assert events_of(events, "prune") == [
        ("kt", State.PENDING, ""),
        ("kt", State.STARTED, "2 remote secrets"),
        ("kt", State.FAILED, ""),
    ]
    assert {("kt", State.PENDING, ""), ("kt", State.STARTED, "1 remote secret")} <= set(
        events_of(events, "link")
    )


def test_a_token_that_cannot_be_had_and_a_secret_that_cannot_be_written_are_both_reported(
    installed: Mesh, session: Session
) -> None:
    without(installed, "nhn", READER)
    installed["nhn"].faults.refuse(NO, "POST", path="/secrets$")
    without(installed, "kt", OF_NCLOUD)
    installed["kt"].faults.refuse(NO, "PATCH", path="/secrets/")
    done = link_members(session, read_links(session, prune=False), dry_run=False)
    assert set(done.failures) == {"kt", "nhn"}


def test_a_dry_run_reports_what_it_cannot_read_and_what_it_would_write_and_prune(
    installed: Mesh, session: Session
) -> None:
    installed["nhn"].faults.refuse(NO, "GET", path="/deployments$")
    installed["kt"].make(remote_secret("of-no-member", "gone"))
    without(installed, "kt", OF_NCLOUD)
    without(installed, "ncloud", READER)
    before = installed.writes
    done = link_members(session, read_links(session, prune=True), dry_run=True)
    assert (done.dry_run, installed.writes) == (True, before)
    assert codes(done.failures) == {"nhn": ["forbidden"]}
    assert {name: bool(step) for name, step in done.steps.items()} == {"kt": True, "ncloud": False}
    assert done.pruned["kt"] == ("of-no-member",)


def test_a_remote_secret_for_the_cluster_itself_is_stale(installed: Mesh, session: Session) -> None:
    """istiod ignores it, and whoever can read it can read every Secret of the cluster."""
    installed["kt"].make(remote_secret("of-itself", "kt-k2p"))
    assert [one.secret for one in read_links(session, prune=True).stale["kt"]] == ["of-itself"]


def test_the_others_read_a_cluster_as_the_account_that_mesh_yaml_names(installed: Mesh) -> None:
    with_own_reader(installed)
    installed.run("link").exits(0)
    data = installed["kt"].get("Secret", OF_NHN, SYSTEM)["data"]["nhn-nks"]
    token = yaml.safe_load(base64.b64decode(data))["users"][0]["user"]["token"]
    assert installed["nhn"].tokens[token] == (SYSTEM, ACCOUNT)
    before = installed.writes
    again = installed.run("link", "-o", "json").exits(0)
    assert {one["status"] for one in again.data["clusters"]} == {"unchanged"}
    assert installed.writes == before
