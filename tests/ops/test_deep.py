"""One run of --deep: pods are made, call, and are removed again, whatever happens in between."""

from __future__ import annotations

import math
import time
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.domain.traffic import probe_pod as domain
from istio_mc.gateways.kube.stream import Execution
from istio_mc.ops.verify import deep
from istio_mc.ops.verify.snapshot import MeshSnapshot
from tests.support.sessions import session_of
from tests.support.world import CLUSTERS, IDS, MESH, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from istio_mc.domain.kube.objects import Kind, Object
    from istio_mc.ops.session.session import Session

SIDECAR = {"name": "istio-proxy"}


@dataclass
class Cluster:
    """A cluster that keeps what it is given, and runs pods as it is told.

    Attributes:
        context: Its name.
        objects: What is there now, by kind and name.
        ever: What was ever made.
        removed: Namespaces that were removed.
        answers: What its pod gets, by number of the cluster it calls.
        sidecars: Whether its webhook injects.
        waiting: What its pods wait for; empty: they are ready.
        stuck: Whether its namespaces go.
        on_create: Called before anything is made.
    """

    context: str
    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    ever: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    answers: dict[int, list[tuple[str, int]]] = field(default_factory=dict)
    sidecars: bool = True
    waiting: str = ""
    stuck: bool = False
    deadline: float = math.inf
    on_create: Callable[[Object], None] = field(default=lambda _: None)

    def until(self, deadline: float) -> Cluster:
        found = copy(self)
        found.deadline = deadline
        return found

    def create(self, document: Object) -> Object:
        self.on_create(document)
        kind, name = document["kind"], document["metadata"]["name"]
        self.ever.append(f"{kind} {name}")
        self.objects[kind, name] = document
        return document

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        found = self.objects.get((kind.kind, name))
        if found is None or kind.kind != "Pod":
            return found
        assert namespace == found["metadata"]["namespace"]
        containers = [*found["spec"]["containers"], *([SIDECAR] if self.sidecars else [])]
        status: dict[str, Any] = {"conditions": [{"type": "Ready", "status": str(not self.waiting)}]}
        if self.waiting:
            status["containerStatuses"] = [{"name": "probe", "state": {"waiting": {"reason": self.waiting}}}]
        return found | {"spec": {"containers": containers}, "status": status}

    def list(
        self, kind: Kind, _namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> list[Object]:
        if kind.kind == "Event":
            return []
        assert not fields
        assert labels == domain.SELECTOR
        return [found for (name, _), found in self.objects.items() if name == kind.kind]

    def delete(self, _: Kind, name: str) -> bool:
        assert time.monotonic() < self.deadline
        self.removed.append(name)
        if self.stuck:
            return True
        for key, found in [*self.objects.items()]:
            if name in (key[1], found["metadata"].get("namespace")):
                del self.objects[key]
        return True

    def execute(
        self,
        _namespace: str,
        _pod: str,
        _container: str,
        command: Sequence[str],
        *,
        timeout_s: float,
        reads: bool,
    ) -> Execution:
        assert timeout_s > domain.CALL_S
        assert reads
        lines = []
        for number in map(int, command[5:]):
            given = self.answers.get(number) or [(list(IDS.values())[number], 200)]
            output, status = given.pop(0) if len(given) > 1 else given[0]
            lines.append(f"{number} {output} {status:03} 0")
        return Execution("\n".join(lines), "", 0)

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class Run:
    """A run on three clusters."""

    clusters: dict[str, Cluster]
    session: Session
    snapshot: MeshSnapshot
    warnings: tuple[Problem, ...] = ()

    def call_from_pods(self) -> tuple[Mapping[str, Mapping[str, Any]], Mapping[str, Any]]:
        called = deep.call_from_pods(self.snapshot, "curl:1")
        self.warnings = called.left
        return called.replies, called.failures

    @property
    def left(self) -> dict[str, list[str]]:
        return {name: [key[1] for key in one.objects] for name, one in self.clusters.items() if one.objects}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    for name, seconds in (("_POLL_S", 0.01), ("READY_S", 0.3), ("ANSWER_S", 0.3), ("REMOVE_S", 0.1)):
        monkeypatch.setattr(deep, name, seconds)
    monkeypatch.setattr(deep, "_PERMANENT_S", 0.05)
    monkeypatch.setattr(deep, "_LAST_S", 0.2)
    clusters = {name: Cluster(name) for name in CLUSTERS}
    with session_of(clusters) as session:
        snapshot = MeshSnapshot(
            session, MESH, CLUSTERS, World().facts().observed, None, {}, lambda _: [], lambda _: []
        )
        yield Run(clusters, session, snapshot)


def test_each_pod_gets_the_answer_of_every_other_cluster(run: Run) -> None:
    found, failed = run.call_from_pods()
    assert failed == {}
    assert {name: {peer: reply.body for peer, reply in got.items()} for name, got in found.items()} == {
        name: {peer: IDS[peer] for peer in IDS if peer != name} for name in IDS
    }


def test_afterwards_nothing_is_left(run: Run) -> None:
    run.call_from_pods()
    assert run.left == {}
    assert run.warnings == ()


def test_every_cluster_has_the_same_namespace_and_no_run_the_one_of_another(run: Run) -> None:
    run.call_from_pods()
    (first,) = {made for one in run.clusters.values() for made in one.ever if "Namespace" in made}
    run.call_from_pods()
    assert {one.ever.count(first) for one in run.clusters.values()} == {1}


def test_an_answer_that_comes_late_is_waited_for(run: Run) -> None:
    run.clusters["kt"].answers[1] = [("no healthy upstream", 503), ("ncloud-nks", 200)]
    found, _ = run.call_from_pods()
    assert found["kt"]["ncloud"].body == "ncloud-nks"


def test_one_that_never_arrives_is_reported_with_the_one_that_did(run: Run) -> None:
    run.clusters["kt"].answers[1] = [("no healthy upstream", 503)]
    found, failed = run.call_from_pods()
    assert failed == {}
    assert str(found["kt"]["ncloud"]) == "HTTP status 503: no healthy upstream"
    assert run.left == {}


@pytest.mark.parametrize("waiting", ["ImagePullBackOff", "PodInitializing"])
def test_a_pod_that_does_not_run_is_its_clusters_fault_and_the_others_call_each_other(
    run: Run, waiting: str
) -> None:
    run.clusters["nhn"].waiting = waiting
    found, failed = run.call_from_pods()
    (problem,) = failed["nhn"]
    assert (problem.code, problem.seen) == ("probe-not-running", f"Pod probe, container probe: {waiting}")
    assert {name: list(got) for name, got in found.items()} == {"kt": ["ncloud"], "ncloud": ["kt"]}
    assert run.left == {}


def test_a_pod_without_a_sidecar_does_not_call(run: Run) -> None:
    run.clusters["nhn"].sidecars = False
    _, failed = run.call_from_pods()
    (problem,) = failed["nhn"]
    assert problem.seen == "no container istio-proxy"
    assert run.left == {}


def test_a_pod_without_a_target_runs_no_command(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.clusters["nhn"].sidecars = run.clusters["ncloud"].sidecars = False
    commands: list[object] = []
    monkeypatch.setattr(Cluster, "execute", lambda *given, **_: commands.append(given))
    found, failed = run.call_from_pods()
    assert (found, set(failed)) == ({"kt": {}}, {"nhn", "ncloud"})
    assert commands == []


def test_a_cluster_that_rejects_a_pod_is_reported_and_cleaned_up(run: Run) -> None:
    def refuse(document: Object) -> None:
        if document["kind"] == "Pod":
            raise ProblemError(Problem(code=Code.FORBIDDEN, message="violates PodSecurity"))

    run.clusters["nhn"].on_create = refuse
    _, failed = run.call_from_pods()
    assert [problem.message for problem in failed["nhn"]] == ["violates PodSecurity"]
    assert run.left == {}


def test_objects_created_for_a_run_are_removed_after_an_interrupt(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(deep._Run, "call", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run.call_from_pods()
    assert run.left == {}
    assert all(one.removed for one in run.clusters.values())


def test_an_interrupt_while_it_is_removed_does_not_stop_the_removal(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove, patiences = deep._Run.remove, []

    def interrupted(one: deep._Run, patience_s: float) -> None:
        patiences.append(patience_s)
        if len(patiences) == 1:
            raise KeyboardInterrupt
        remove(one, patience_s)

    monkeypatch.setattr(deep._Run, "remove", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.call_from_pods()
    assert (patiences[1:], run.left) == ([0.0], {})


def test_nothing_is_made_any_more_once_a_run_is_interrupted(run: Run) -> None:
    one = deep._Run(run.snapshot, "curl:1")
    one.remove(patience_s=0.0)
    with pytest.raises(ProblemError):
        one.put("kt")
    assert run.clusters["kt"].ever == []


def test_a_namespace_that_does_not_go_is_warned_of_with_the_command_that_removes_it(run: Run) -> None:
    run.clusters["nhn"].stuck = True
    run.call_from_pods()
    (warning,) = run.warnings
    (name,) = [made.removeprefix("Namespace ") for made in run.clusters["nhn"].ever if "Namespace" in made]
    assert (warning.code, warning.cluster) == ("probe-left", "nhn")
    assert str(warning.hint) == f"kubectl --context nhn delete namespace {name}"


def test_a_run_that_has_no_time_left_for_waiting_still_removes(run: Run) -> None:
    now = time.monotonic()
    for one in run.clusters.values():
        one.deadline = now
    run.snapshot = replace(run.snapshot, session=run.session.until(now))
    run.clusters["nhn"].waiting = "PodInitializing"
    run.call_from_pods()
    assert run.left == {}


def test_what_a_killed_run_left_is_swept(run: Run) -> None:
    over = datetime.now(UTC) - timedelta(minutes=1)
    run.clusters["kt"].create(domain.namespace("dead00", MESH, "elsewhere/1", over))
    run.call_from_pods()
    assert "istio-mc-probe-dead00" in run.clusters["kt"].removed


def test_a_run_that_is_at_work_is_left_alone(run: Run) -> None:
    later = datetime.now(UTC) + timedelta(minutes=1)
    run.clusters["kt"].create(domain.namespace("alive0", MESH, "elsewhere/1", later))
    run.call_from_pods()
    assert run.left == {"kt": ["istio-mc-probe-alive0"]}
