from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from istio_mc.domain import plan
from istio_mc.domain.kube import objects
from istio_mc.domain.observed import Observed
from istio_mc.domain.plan import Step
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.gateways.kube.client import Kube
from istio_mc.ops.install import install
from istio_mc.ops.install.install import _istiod_starts, _parts
from istio_mc.ops.install.planning import ClusterPlan
from tests.support.fake_api import FakeApi, status
from tests.support.sessions import session_of
from tests.support.world import CLUSTERS, MESH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from istio_mc.ops.install.prepare import Prepared
    from istio_mc.ops.session.session import Session

FAILED = Problem(code=Code.ISTIOCTL_FAILED, message="failed")


def crd(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
    }


def test_the_crd_by_which_the_gateway_api_is_detected_is_applied_last() -> None:
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

    assert _istiod_starts(Kube("kt", api.kubeconfig()), "istiod", threading.Event(), time.monotonic() + 30)
    assert len(api.calls) == 3


def test_they_wait_no_longer_than_for_the_steps_that_make_istiod(api: FakeApi) -> None:
    ended = threading.Event()
    threading.Timer(0.2, ended.set).start()

    assert not _istiod_starts(Kube("kt", api.kubeconfig()), "istiod", ended, time.monotonic() + 30)


def test_they_wait_no_longer_than_the_run(api: FakeApi) -> None:
    for seconds in (0.2, 1, 5):  # on a busy machine the first look may take that long
        until = time.monotonic() + seconds
        assert not _istiod_starts(Kube("kt", api.kubeconfig()), "istiod", threading.Event(), until)
        if len(api.calls) > 1:
            break
    assert len(api.calls) > 1


def test_a_cluster_that_does_not_respond_is_not_read_for_istiod_again(api: FakeApi) -> None:
    api.on(DEPLOYMENT, status(500, "not well"))
    ended = threading.Event()
    threading.Timer(0.3, ended.set).start()

    assert not _istiod_starts(Kube("kt", api.kubeconfig()), "istiod", ended, time.monotonic() + 30)
    assert len(api.calls) == 1


class TestTheStepsOfACluster:
    """All in order, but for the Gateway API's CRDs: these are applied beside, once istiod starts."""

    @pytest.fixture
    def done(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The steps that were done; the Deployment is there once a step `starts` was begun."""
        self.starts, self.applied = threading.Event(), threading.Event()
        self.was_called = False
        self.made: list[str] = []

        def do(
            _session: object,
            _prepared: object,
            todo: ClusterPlan,
            steps: tuple[Step, ...],
            on_done: Callable[[Step], None],
        ) -> None:
            assert todo.cluster is CLUSTERS["kt"]
            for step in steps:
                if step.name == "fails":
                    raise ProblemError(FAILED)
                if step.name == "starts":
                    self.starts.set()
                    assert self.applied.wait(10)
                on_done(step)
                if step.name == plan.GATEWAY_API:
                    self.applied.set()

        def istiod_starts(_kube: object, istiod: str, ended: threading.Event, _until: float) -> bool:
            assert istiod == "istiod"
            self.was_called = True
            while not (self.starts.is_set() or ended.is_set()):
                ended.wait(0.01)
            return self.starts.is_set()

        monkeypatch.setattr(install, "_do", do)
        monkeypatch.setattr(install, "_istiod_starts", istiod_starts)
        return self.made

    def apply(self, *names: str) -> None:
        todo = ClusterPlan(CLUSTERS["kt"], Observed("v1", {}), tuple(Step(name, ("why",)) for name in names))
        session = session_of({"kt": None}, folder=Path("nowhere"))
        prepared = cast("Prepared", SimpleNamespace(mesh=MESH))
        install._apply_plan(session, prepared, todo, lambda step: self.made.append(step.name))

    def test_are_done_once_each_in_order(self, done: list[str]) -> None:
        self.apply("namespace", "expose", plan.GATEWAY_API, plan.REMOTE_GATEWAYS)
        assert done == ["namespace", "expose", plan.GATEWAY_API, plan.REMOTE_GATEWAYS]

    def test_wait_for_no_istiod_where_nothing_is_applied_beside_them(self, done: list[str]) -> None:
        self.apply("namespace", plan.REMOTE_GATEWAYS)
        assert done == ["namespace", plan.REMOTE_GATEWAYS]
        assert not self.was_called

    def test_go_on_while_what_is_beside_them_is_applied(self, done: list[str]) -> None:
        self.apply("starts", "expose", plan.GATEWAY_API, plan.REMOTE_GATEWAYS)
        assert done == [plan.GATEWAY_API, "starts", "expose", plan.REMOTE_GATEWAYS]

    def test_end_with_the_one_that_fails(self, done: list[str]) -> None:
        with pytest.raises(ProblemError):
            self.apply("namespace", "fails", "expose", plan.GATEWAY_API, plan.REMOTE_GATEWAYS)
        assert done == ["namespace"]


@pytest.mark.parametrize(
    ("name", "by"),
    [
        (plan.ISTIO, ["ahead", "istioctl"]),
        (plan.RESTART, ["restart istiod"]),
        (plan.REMOTE_GATEWAYS, ["remote gateways"]),
        (plan.EXPOSE, ["apply one", "apply two"]),
    ],
)
def test_each_step_is_done_in_its_own_way_and_noted(
    monkeypatch: pytest.MonkeyPatch, name: str, by: list[str]
) -> None:
    calls: list[str] = []
    events: list[tuple[str, ...]] = []

    @contextmanager
    def step(*event: str) -> Iterator[None]:
        events.append(event)
        yield

    monkeypatch.setattr(install, "write_operator", lambda *_: None)
    monkeypatch.setattr(install, "apply_ahead", lambda *_: calls.append("ahead"))
    monkeypatch.setattr(install, "run_istioctl", lambda *_: calls.append("istioctl"))
    monkeypatch.setattr(install, "_restart", lambda _s, _c, deployment: calls.append(f"restart {deployment}"))
    monkeypatch.setattr(install, "apply_remote_gateways", lambda *_: calls.append("remote gateways"))
    kube = SimpleNamespace(apply=lambda crd: calls.append(f"apply {crd['metadata']['name']}"))
    run = SimpleNamespace(step=step, folder=None)
    clusters = SimpleNamespace(kubes={"kt": kube})
    session = SimpleNamespace(clusters=clusters, run=run, leases=None, check_lease=lambda _: None)
    prepared = cast("Prepared", SimpleNamespace(mesh=MESH, istioctl=None))
    steps = (Step(name, ("why", "and why"), (crd("one"), crd("two"))),)

    done: list[Step] = []
    todo = ClusterPlan(CLUSTERS["kt"], Observed("v1", {}), steps)
    install._do(cast("Session", session), prepared, todo, steps, done.append)

    assert (sorted(calls), events, done) == (by, [("kt", name, "why")], [*steps])
