"""How an install runs istioctl: its arguments, its share of the time, and what is reported where it fails."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, cast

import pytest

from istio_mc.domain.mesh import EAST_WEST_GATEWAY
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.gateways.host.parallel import Watch
from istio_mc.gateways.host.process import ProcessCancelled
from istio_mc.ops.install import install
from istio_mc.ops.install.install import run_istioctl
from istio_mc.ops.session.inputs import Inputs
from istio_mc.ops.session.istio_documents import write_operator
from istio_mc.ops.session.pod_watch import PodTiming
from istio_mc.ops.session.session import Session, open_named
from tests.support.fake_api import FakeApi, status, write_kubeconfig
from tests.support.sessions import changed
from tests.support.world import CLUSTERS, MESH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


STUCK = Problem(code=Code.POD_UNSCHEDULABLE, message="istiod-1 cannot be scheduled")
FAILED = Problem(code=Code.ISTIOCTL_FAILED, message="istioctl failed")


@dataclass
class Pods:
    """What looks at the pods meanwhile."""

    problem: Problem | None = None
    seen: Problem | None = None
    is_permanent: bool = False
    probes: int = 0
    takes_s: float = 0.0

    def check(self) -> None:
        self.probes += 1
        time.sleep(self.takes_s)
        self.problem = self.seen
        if self.is_permanent:
            raise ProblemError(STUCK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@dataclass
class Istioctl:
    """An istioctl that ends as it is told to."""

    ends: Callable[[dict[str, Any]], None] = lambda _: None
    given: dict[str, Any] = field(default_factory=dict)

    def install(self, document: Path, **given: Any) -> None:
        self.given = {"document": document, **given}
        self.ends(given)


@pytest.fixture
def pods(monkeypatch: pytest.MonkeyPatch) -> Pods:
    made = Pods()

    def watch(_session: Session, context: str, step: str, *deployments: str) -> Pods:
        assert (context, step, deployments) == ("kt", "istio", ("istiod", EAST_WEST_GATEWAY))
        return made

    monkeypatch.setattr(install, "watch_pods", watch)
    return made


@pytest.fixture
def session(api: FakeApi, tmp_path: Path, pods: Pods) -> Iterator[Session]:
    assert not pods.probes
    api.on("/version", {"gitVersion": "v1.32.3"})
    config = write_kubeconfig(tmp_path / "config", {"kt": api.url})
    with open_named(Inputs(str(config), ("kt",), timeout_s=100)) as found:
        yield changed(found, pod_timing=PodTiming(every_s=0.02))


def run(session: Session, istioctl: Istioctl) -> None:
    kt = CLUSTERS["kt"]
    document = write_operator(session.run.folder, MESH, kt)
    run_istioctl(session, cast("Any", istioctl), MESH.istiod, kt, document)


def problems(session: Session, istioctl: Istioctl) -> tuple[Problem, ...]:
    with pytest.raises(ProblemError) as error:
        run(session, istioctl)
    return error.value.problems


def until_cancelled(given: dict[str, Any]) -> None:
    assert given["cancel"].wait(4)
    raise ProcessCancelled(FAILED)


def failing(_given: dict[str, Any]) -> None:
    raise ProblemError(FAILED)


def test_it_has_its_document_one_context_and_three_quarters_of_the_time(session: Session) -> None:
    istioctl = Istioctl()
    run(session, istioctl)
    given = istioctl.given
    folder = session.run.folder / "kt-k2p"
    assert (given["document"], given["context"]) == (folder / "istio-operator.yaml", "kt")
    assert given["pasted_kubeconfig"] == session.paths
    assert json.loads(given["kubeconfig"].read_text())["current-context"] == "kt"
    assert 60 < given["timeout_s"] < 75


def test_it_is_ended_where_its_pods_will_never_start_and_they_are_the_reason(
    session: Session, pods: Pods
) -> None:
    pods.is_permanent = True
    assert problems(session, Istioctl(until_cancelled)) == (STUCK,)
    assert pods.probes == 1


def test_it_may_be_ended_for_a_reason_of_its_own(session: Session) -> None:
    def cancelled(_given: dict[str, Any]) -> None:
        raise ProcessCancelled(FAILED)

    assert problems(session, Istioctl(cancelled)) == (FAILED,)


def test_where_it_fails_and_its_pods_cannot_be_read_its_own_reason_is_reported(
    session: Session, pods: Pods
) -> None:
    session = changed(session, pod_timing=PodTiming(every_s=60))
    pods.is_permanent = True
    assert problems(session, Istioctl(failing)) == (FAILED,)


def test_it_is_ended_where_its_cluster_stops_responding_and_that_is_the_reason(
    session: Session, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = Watch.__init__.__kwdefaults__
    assert defaults
    monkeypatch.setitem(defaults, "every_s", 0.02)
    api.on("/version", status(403, "no"))
    found = problems(session, Istioctl(until_cancelled))
    assert [problem.code for problem in found] == ["forbidden"]


def test_where_it_fails_its_pods_are_not_waited_for_long(
    session: Session, pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "_LAST_CHECK_S", 0.05)
    session = changed(session, pod_timing=PodTiming(every_s=60))
    pods.seen, pods.takes_s = STUCK, 1.0
    assert problems(session, Istioctl(failing)) == (FAILED,)


@pytest.mark.parametrize("seen", [STUCK, None])
def test_where_it_fails_its_pods_are_read_again_and_named_first(
    session: Session, pods: Pods, seen: Problem | None
) -> None:
    session = changed(session, pod_timing=PodTiming(every_s=60))
    pods.seen, pods.takes_s = seen, 0.1
    assert problems(session, Istioctl(failing)) == tuple(filter(None, (seen, FAILED)))
    assert pods.probes == 1
