"""While pods are waited for, what keeps them is reported, and the wait ends where it does not help."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.events import Event, State
from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.gateways.istio.istioctl import Istioctl
from istio_mc.gateways.kube.client import Kube
from istio_mc.ops.install.install import run_istioctl
from istio_mc.ops.install.wait import wait_ready, wait_rolled_out
from istio_mc.ops.session.istio_documents import write_operator
from istio_mc.ops.session.pod_watch import PodTiming
from tests.support.fake_api import FakeApi, Reply
from tests.support.fake_istioctl import write_istioctl
from tests.support.pod_objects import (
    POD,
    QUOTA,
    RUNNING,
    back_off,
    container,
    deployment,
    ended,
    not_pulled,
    pod,
    replica_set,
    unschedulable,
)
from tests.support.sessions import changed, session_of
from tests.support.world import CLUSTERS, MESH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from istio_mc.ops.session.session import Session

PODS = objects.POD.path(SYSTEM_NAMESPACE)
ISTIOD = objects.DEPLOYMENT.path(SYSTEM_NAMESPACE, "istiod")
GATEWAY = objects.DEPLOYMENT.path(SYSTEM_NAMESPACE, EAST_WEST_GATEWAY)
QUICK = PodTiming(every_s=0.05, lasting_s=0.3, slow_s=0.1)
NEVER_S = 60


class Run:
    """An install of one cluster that has come to istiod's pods."""

    def __init__(self, api: FakeApi, session: Session, folder: Path) -> None:
        self.api = api
        self.events: list[Event] = []
        self.session = changed(session, progress=self.events.append)
        self.folder = folder
        api.on("/version", {"gitVersion": "v1.32.3"})
        api.on(GATEWAY, deployment(EAST_WEST_GATEWAY, available=1))
        api.on(objects.REPLICA_SET.path(SYSTEM_NAMESPACE), {"items": [replica_set(2)]})
        api.on(objects.EVENT.path(SYSTEM_NAMESPACE), {"items": []})
        api.on(f"{PODS}/{POD}/log", Reply(b"starting\nError: unknown flag: --nope\n"))
        self.shows(deployment())

    def shows(self, istiod: dict[str, Any], *pods: dict[str, Any]) -> None:
        """What the cluster shows; several pods: one after another."""
        self.api.on(ISTIOD, istiod)
        self.api.on(PODS, *({"items": [one]} for one in pods or [None] if one), {"items": list(pods[-1:])})

    def istioctl(self, install: str = f"exec sleep {NEVER_S}") -> None:
        """Runs istioctl, which waits for ever unless told otherwise."""
        path = write_istioctl(self.folder / "bin", install=install) / "istioctl"
        kt = CLUSTERS["kt"]
        document = write_operator(self.session.run.folder, MESH, kt)
        run_istioctl(self.session, Istioctl(path, "1.26.0"), MESH.istiod, kt, document)

    def problems(self, install: str = f"exec sleep {NEVER_S}") -> tuple[Problem, ...]:
        with pytest.raises(ProblemError) as error:
            self.istioctl(install)
        return error.value.problems

    @property
    def details_of_waits(self) -> list[str]:
        return [event.detail for event in self.events if event.state is State.WAITING]


@pytest.fixture
def run(api: FakeApi, tmp_path: Path) -> Iterator[Run]:
    kube = Kube("kt", api.kubeconfig())
    with session_of({"kt": kube}, within_s=NEVER_S / 2, pod_timing=QUICK) as session:
        yield Run(api, session, tmp_path)


def test_a_crash_is_reported_with_the_last_line_of_its_log_and_ends_the_wait(run: Run) -> None:
    run.shows(deployment(), pod(back_off(restarts=1)), pod(back_off(restarts=3)))
    (problem,) = run.problems()
    line = f"Pod {POD}, container discovery: CrashLoopBackOff, exit code 1, 3 restarts"
    assert (problem.code, problem.cluster) == ("pod-crashing", "kt")
    assert problem.seen == f"{line}; last log line: Error: unknown flag: --nope"
    assert run.details_of_waits[-1] == problem.seen


def test_each_reason_is_reported_once(run: Run) -> None:
    run.shows(deployment(), pod(not_pulled()), pod(not_pulled("ImagePullBackOff")), pod(not_pulled()))
    run.problems()
    assert len(run.details_of_waits) == len(set(run.details_of_waits)) == 1


@pytest.mark.parametrize(
    ("istiod", "found", "code"),
    [
        (deployment(), pod(not_pulled()), "image-not-pulled"),
        (deployment(refused=QUOTA), None, "quota-exceeded"),
    ],
)
def test_what_does_not_go_away_ends_the_wait(
    run: Run, istiod: dict[str, Any], found: dict[str, Any] | None, code: str
) -> None:
    run.shows(istiod, *([found] if found else []))
    (problem,) = run.problems()
    assert problem.code == code


def test_what_may_pass_is_reported_and_waited_for(run: Run) -> None:
    run.shows(deployment(), unschedulable("0/3 nodes are available"))
    run.istioctl("sleep 1")
    assert run.details_of_waits == [f"Pod {POD}: Unschedulable, 0/3 nodes are available"]


def test_pods_that_are_well_are_no_news(run: Run) -> None:
    run.shows(deployment(available=1))
    run.istioctl("sleep 0.3")
    assert run.details_of_waits == []


def test_the_reason_of_the_pods_comes_first_if_istioctl_fails(run: Run) -> None:
    run.shows(deployment(), unschedulable("0/3 nodes are available"))
    first, second = run.problems("echo timed out >&2; exit 1")
    assert (first.code, second.code) == ("pod-unschedulable", "istioctl-failed")


def test_a_cluster_that_does_not_let_itself_be_read_does_not_end_the_wait(run: Run) -> None:
    run.api.on(ISTIOD, Reply(b"", 500))
    run.istioctl("sleep 0.3")
    assert run.details_of_waits == []


def test_after_istioctl_a_pod_that_crashes_ends_the_wait_too(run: Run) -> None:
    run.shows(deployment(), pod(container(ended(1))), pod(back_off(restarts=3)))
    with pytest.raises(ProblemError) as error:
        wait_ready(run.session, MESH, CLUSTERS["kt"], [])
    assert error.value.problems[0].code == "pod-crashing"


def test_at_the_deadline_the_wait_ends_with_the_pods_reason(run: Run) -> None:
    run.session = run.session.until(time.monotonic() + 1.2)
    run.shows(deployment(), pod(container(RUNNING)))
    with pytest.raises(ProblemError) as error:
        wait_rolled_out(run.session, CLUSTERS["kt"], "istiod")
    assert [problem.code for problem in error.value.problems] == ["pod-not-ready", "not-ready"]
