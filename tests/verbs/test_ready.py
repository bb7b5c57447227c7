"""What an install waits for once all is applied: Deployments, the gateway's address, and istiod's links."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.events import State
from istio_mc.domain.mesh import ApiServer, Cluster
from istio_mc.domain.mesh import Mesh as Shared
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.ops.install.install import _restart
from istio_mc.ops.install.wait import wait_ready, wait_rolled_out
from istio_mc.ops.session import wait_report
from istio_mc.ops.session.inputs import Inputs
from istio_mc.ops.session.pod_watch import PodTiming
from istio_mc.ops.session.session import Session, open_named
from tests.support.sessions import changed
from tests.support.store import By

if TYPE_CHECKING:
    from collections.abc import Iterator

    from istio_mc.domain.events import Event
    from tests.support.mesh import Mesh

SYSTEM = "istio-system"
GATEWAY = "istio-ingressgateway"
SHARED = Shared("mesh1", "1.26.0")


def cluster(context: str, cluster_id: str) -> Cluster:
    return Cluster(context, cluster_id, f"network-{context}", ApiServer("https://unused.example"))


KT, NCLOUD, NHN = cluster("kt", "kt-k2p"), cluster("ncloud", "ncloud-nks"), cluster("nhn", "nhn-nks")


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def session(installed: Mesh, events: list[Event]) -> Iterator[Session]:
    """A run on all three clusters whose time is up: whatever is not there at the first look is an error."""
    inputs = Inputs(str(installed.kubeconfig), installed.names, installed.folder / "mesh.yaml", timeout_s=60)
    with installed.direct(), open_named(inputs, events.append) as found:
        yield changed(found, deadline=time.monotonic())


def problem(session: Session) -> Problem:
    with pytest.raises(ProblemError) as error:
        wait_ready(session, SHARED, KT, [NCLOUD, NHN])
    return error.value.problems[-1]


def test_a_cluster_that_runs_has_its_gateways_address(installed: Mesh, session: Session) -> None:
    assert wait_ready(session, SHARED, KT, [NCLOUD, NHN]) == (installed["kt"].balancer,)


@pytest.mark.parametrize("name", ["istiod", GATEWAY])
def test_each_deployment_is_waited_for(installed: Mesh, session: Session, name: str) -> None:
    kt = installed["kt"]
    kt.stuck[name] = "ContainerCreating"
    for pod in kt.names("Pod", SYSTEM):
        if pod.startswith(name):
            kt.delete(kt.get("Pod", pod, SYSTEM))
    kt.settle()
    found = problem(session)
    assert (found.code, found.cluster) == ("not-ready", "kt")
    assert name in found.message


def test_a_deployment_that_is_not_there_is_not_ready(installed: Mesh, session: Session) -> None:
    installed["kt"].delete(installed["kt"].get("Deployment", GATEWAY, SYSTEM))
    assert problem(session).code == "not-ready"


def test_only_the_rollout_of_the_named_deployment_is_waited_for(installed: Mesh, session: Session) -> None:
    kt = installed["kt"]
    kt.delete(kt.get("Deployment", GATEWAY, SYSTEM))
    wait_rolled_out(session, KT, "istiod")
    with pytest.raises(ProblemError) as error:
        wait_rolled_out(session, KT, GATEWAY)
    assert error.value.problems[-1].code == "not-ready"


def test_a_restart_is_that_of_kubectl_and_ends_once_it_is_rolled_out(
    installed: Mesh, session: Session
) -> None:
    kt = installed["kt"]
    kt.stuck["istiod"] = "ContainerCreating"
    with pytest.raises(ProblemError) as error:
        _restart(session, KT, "istiod")
    assert error.value.problems[-1].code == "not-ready"
    template = kt.get("Deployment", "istiod", SYSTEM)["spec"]["template"]
    restarted = datetime.fromisoformat(
        template["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"]
    )
    assert (restarted.utcoffset(), restarted.microsecond) == (timedelta(0), 0)
    assert datetime.now(UTC) - restarted < timedelta(minutes=1)


class TestTheAddress:
    @pytest.fixture
    def pending(self, installed: Mesh) -> Mesh:
        """kt's LoadBalancer has no address."""
        kt = installed["kt"]
        kt.balancer = ""
        service = kt.get("Service", GATEWAY, SYSTEM)
        kt.set_status(service, {"loadBalancer": {}}, By("cloud-controller", subresource="status"))
        kt.settle()
        return installed

    def stand(self, mesh: Mesh, context: str, address: str = "203.0.113.7", namespace: str = SYSTEM) -> None:
        """Has a cluster hold a Gateway that stands for kt."""
        mesh[context].make(
            {
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "Gateway",
                "metadata": {
                    "name": "istio-remote-kt-k2p",
                    "namespace": namespace,
                    "labels": {"topology.istio.io/network": KT.network},
                },
                "spec": {
                    "gatewayClassName": "istio-remote",
                    "addresses": [{"type": "IPAddress", "value": address}],
                    "listeners": [
                        {
                            "name": "cross-network",
                            "port": 15443,
                            "protocol": "TLS",
                            "tls": {
                                "mode": "Passthrough",
                                "options": {"gateway.istio.io/listener-protocol": "auto-passthrough"},
                            },
                        }
                    ],
                },
            }
        )

    def test_it_is_waited_for(self, pending: Mesh, session: Session) -> None:
        assert not pending["kt"].balancer
        found = problem(session)
        assert (found.code, found.cluster) == ("gateway-address-pending", "kt")

    def test_an_address_that_does_not_come_is_reported_again_with_how_to_set_one(
        self, pending: Mesh, session: Session, events: list[Event], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert not pending["kt"].balancer
        monkeypatch.setattr(wait_report, "REMIND_S", 0.0)
        problem(changed(session, deadline=time.monotonic() + 1.0))
        texts = [event.detail for event in events if event.state is State.WAITING]
        assert any(
            "s left; without a load balancer" in text and "address --set kt=" in text for text in texts
        )

    def test_gateways_for_it_in_every_other_cluster_are_as_good(
        self, pending: Mesh, session: Session
    ) -> None:
        self.stand(pending, "ncloud")
        self.stand(pending, "nhn")
        assert wait_ready(session, SHARED, KT, [NCLOUD, NHN]) == ("203.0.113.7",)

    def test_one_in_some_of_them_is_not_enough(self, pending: Mesh, session: Session) -> None:
        self.stand(pending, "ncloud")
        self.stand(pending, "nhn", namespace="default")  # where no istiod looks for it
        assert problem(session).code == "gateway-address-pending"


class TestLinks:
    def test_each_other_cluster_has_to_be_synced(self, installed: Mesh, session: Session) -> None:
        kt = installed["kt"]
        kt.delete(kt.get("Secret", "istio-remote-secret-ncloud-nks", SYSTEM))
        kt.settle()
        found = problem(session)
        assert (found.code, found.cluster, found.seen) == ("not-synced", "kt", "ncloud-nks: absent")

    def test_one_that_stays_closed_is_not_waited_for_until_the_deadline(
        self, installed: Mesh, session: Session
    ) -> None:
        kt = installed["kt"]
        secret = kt.get("Secret", "istio-remote-secret-ncloud-nks", SYSTEM)
        kt.edit(secret, lambda copy: copy.update(data={"ncloud-nks": "bm8ga3ViZWNvbmZpZw=="}))
        kt.settle()
        kt.edit(secret, lambda copy: copy.update(data=secret["data"]))
        kt.settle()
        session = changed(session, deadline=time.monotonic() + 60, pod_timing=PodTiming(lasting_s=0.3))
        found = problem(session)
        assert (found.code, found.seen) == ("not-synced", "ncloud-nks: closed")
        assert session.run.remaining_s > 30
        assert "rollout restart deployment istiod" in str(found.hint)

    def test_one_that_istiod_does_not_read_is_not_waited_for_until_the_deadline(
        self, installed: Mesh, session: Session
    ) -> None:
        kt = installed["kt"]
        kt.delete(kt.get("Secret", "istio-remote-secret-ncloud-nks", SYSTEM))
        kt.settle()
        session = changed(session, deadline=time.monotonic() + 60, pod_timing=PodTiming(lasting_s=0.3))
        found = problem(session)
        assert (found.code, found.seen) == ("not-synced", "ncloud-nks: absent")
        assert session.run.remaining_s > 30
        assert "rollout restart deployment istiod" in str(found.hint)

    def test_those_that_are_no_members_have_not(self, installed: Mesh, session: Session) -> None:
        kt = installed["kt"]
        kt.delete(kt.get("Secret", "istio-remote-secret-ncloud-nks", SYSTEM))
        kt.settle()
        assert wait_ready(session, SHARED, KT, [NHN])

    def test_where_no_istiod_runs_nothing_is_synced(self, installed: Mesh, session: Session) -> None:
        kt = installed["kt"]
        kt.controllers.held.add("workloads")
        for pod in kt.names("Pod", SYSTEM):
            if pod.startswith("istiod"):
                kt.delete(kt.get("Pod", pod, SYSTEM))
        found = problem(session)
        assert (found.code, found.seen) == ("not-synced", "no istiod runs")


def test_a_wait_is_reported_once_and_then_its_result(
    installed: Mesh, session: Session, events: list[Event]
) -> None:
    events.clear()
    wait_ready(session, SHARED, KT, [NCLOUD, NHN])
    assert [(event.cluster, event.step, event.state.name, event.detail) for event in events] == [
        ("kt", "ready", "DONE", installed["kt"].balancer)
    ]
    kt = installed["kt"]
    kt.delete(kt.get("Secret", "istio-remote-secret-ncloud-nks", SYSTEM))
    kt.settle()
    events.clear()
    problem(session)
    assert [event.state.name for event in events] == ["WAITING", "FAILED"]
