"""What a cluster shows, read from objects as the lab's API servers and istiods wrote them."""

from __future__ import annotations

from typing import Any

import pytest

from istio_mc.domain.istio.istiod import RemoteCluster
from istio_mc.domain.istio.status import hpa_of, pod_of, proxy_of, service_of, status_of
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.observed import Observed

NO_METRICS = (
    "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics "
    "for resource cpu: unable to fetch metrics from resource metrics API: the server could not find the "
    "requested resource (get pods.metrics.k8s.io)"
)


def hpa(*, used: int | None = None, message: str = NO_METRICS) -> dict[str, Any]:
    current = (
        {"type": ""}
        if used is None
        else {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": used}}}
    )
    active = {"type": "ScalingActive", "status": str(used is not None), "message": message}
    target = {"type": "Utilization", "averageUtilization": 80}
    return {
        "metadata": {"name": "istio-ingressgateway"},
        "spec": {
            "minReplicas": 1,
            "maxReplicas": 5,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            "scaleTargetRef": {"kind": "Deployment", "name": "istio-ingressgateway"},
        },
        "status": {"conditions": [active], "currentMetrics": [current], "currentReplicas": 1},
    }


class TestAutoscalers:
    def test_an_unknown_metric_is_reported_with_its_cause(self) -> None:
        found = hpa_of(hpa())

        assert found.metrics == ("cpu: <unknown>/80%",)
        assert found.why == "no Metrics API in this cluster: install Metrics Server"

    def test_another_cause_is_reported_in_the_controllers_words(self) -> None:
        assert hpa_of(hpa(message="missing request for cpu")).why == "missing request for cpu"

    def test_before_the_first_measurement_nothing_is_blamed(self) -> None:
        young = hpa()
        young["status"] = {}

        assert hpa_of(young).why == "nothing was measured yet"

    def test_a_known_metric_reads_as_kubectl_prints_it(self) -> None:
        found = hpa_of(hpa(used=3))

        assert (found.metrics, found.why) == (("cpu: 3%/80%",), "")


def pod(**status: object) -> dict[str, Any]:
    return {
        "metadata": {"name": "istiod-1", "labels": {"app": "istiod"}},
        "spec": {"containers": [{"name": "discovery"}]},
        "status": {"phase": "Running", **status},
    }


class TestPods:
    def test_one_that_runs_and_is_ready_is_healthy(self) -> None:
        found = pod_of(pod(containerStatuses=[{"name": "discovery", "ready": True, "restartCount": 2}]))

        assert (found.is_healthy, found.ready, found.containers, found.restarts) == (True, 1, 1, 2)

    @pytest.mark.parametrize(
        ("state", "phase"),
        [
            ({"waiting": {"reason": "CrashLoopBackOff"}}, "CrashLoopBackOff"),
            ({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, "OOMKilled"),
            ({"running": {}}, "Running"),
        ],
    )
    def test_one_that_is_not_ready_shows_the_state_of_its_container(
        self, state: dict[str, Any], phase: str
    ) -> None:
        found = pod_of(pod(containerStatuses=[{"name": "discovery", "ready": False, "state": state}]))

        assert (found.phase, found.is_healthy) == (phase, False)

    def test_a_terminating_one_is_reported_as_such(self) -> None:
        leaving = pod()
        leaving["metadata"]["deletionTimestamp"] = "2026-03-01T10:00:00Z"

        assert pod_of(leaving).phase == "Terminating"

    def test_a_sidecar_among_the_init_containers_counts(self) -> None:
        meshed = pod(
            containerStatuses=[{"name": "discovery", "ready": True}],
            initContainerStatuses=[
                {"name": "istio-proxy", "ready": True},
                {"name": "istio-init", "ready": True},
            ],
        )
        meshed["spec"]["initContainers"] = [
            {"name": "istio-proxy", "restartPolicy": "Always"},
            {"name": "istio-init"},
        ]

        assert (pod_of(meshed).ready, pod_of(meshed).containers) == (2, 2)


class TestServices:
    def test_one_that_waits_for_a_load_balancer_is_pending(self) -> None:
        found = service_of({"metadata": {"name": "gw"}, "spec": {"type": "LoadBalancer"}, "status": {}})

        assert found.pending

    def test_external_ips_are_addresses(self) -> None:
        spec = {
            "type": "LoadBalancer",
            "externalIPs": ["198.18.0.21"],
            "ports": [{"port": 15443, "nodePort": 30756}],
        }
        found = service_of({"metadata": {"name": "gw"}, "spec": spec})

        assert (found.pending, found.addresses, found.ports) == (
            False,
            ("198.18.0.21",),
            ("15443:30756/TCP",),
        )


class TestProxies:
    def test_what_was_sent_and_acknowledged_is_in_sync(self) -> None:
        found = proxy_of({"proxy": "a.b", "cluster_sent": "n1", "cluster_acked": "n1"}, "istiod-1")

        assert (found.synced, found.xds["cds"], found.xds["rds"]) == (True, "SYNCED", "NOT SENT")

    @pytest.mark.parametrize("acked", ["n0", ""])
    def test_what_was_sent_and_not_acknowledged_is_stale(self, acked: str) -> None:
        found = proxy_of({"proxy": "a.b", "listener_sent": "n1", "listener_acked": acked}, "istiod-1")

        assert (found.synced, found.xds["lds"]) == (False, "STALE")

    def test_a_rejection_by_envoy_is_reported_in_its_words(self) -> None:
        kind = "type.googleapis.com/envoy.config.listener.v3.Listener"
        found = proxy_of({"proxy": "a.b", "resources": {kind: {"lastError": "bad listener"}}}, "istiod-1")

        assert (found.synced, found.errors) == (False, ("Listener: bad listener",))


def observed(*documents: dict[str, Any]) -> Observed:
    return Observed("v1.32.3", {ref_of(document): document for document in documents})


def remote_secret(cluster_id: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": f"istio-remote-secret-{cluster_id}",
            "namespace": "istio-system",
            "labels": {"istio/multiCluster": "true"},
            "annotations": {"networking.istio.io/cluster": cluster_id},
        },
        "data": {cluster_id: "c2VjcmV0"},
    }


class TestRemoteSecrets:
    def test_each_has_the_status_its_istiod_gives_it(self) -> None:
        rows = [RemoteCluster("istiod-1", "nhn-nks", "istio-system/x", "synced")]
        found = status_of(observed(remote_secret("nhn-nks"), remote_secret("kt-k2p")), rows, [])

        assert [(s.cluster_id, s.status) for s in found.remote_secrets] == [
            ("kt-k2p", "unknown"),
            ("nhn-nks", "synced"),
        ]

    def test_istiods_that_disagree_are_both_reported(self) -> None:
        rows = [
            RemoteCluster(f"istiod-{n}", "kt-k2p", "", state) for n, state in enumerate(("synced", "timeout"))
        ]

        assert (
            status_of(observed(remote_secret("kt-k2p")), rows, []).remote_secrets[0].status
            == "synced, timeout"
        )

    def test_no_token_is_among_what_is_shown(self) -> None:
        assert "c2VjcmV0" not in repr(status_of(observed(remote_secret("kt-k2p")), [], []))


def test_a_gateway_has_the_addresses_of_the_services_that_select_its_pods() -> None:
    gateway = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "cross-network-gateway", "namespace": "istio-system"},
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "servers": [{"port": {"number": 15443, "protocol": "TLS"}, "tls": {"mode": "AUTO_PASSTHROUGH"}}],
        },
    }

    def service(name: str, address: str, selector: dict[str, str]) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": "istio-system"},
            "spec": {"selector": selector, "externalIPs": [address]},
        }

    found = status_of(
        observed(
            gateway,
            service("gw", "198.18.0.21", {"app": "gw", "istio": "ingressgateway"}),
            service("other", "198.18.0.99", {"app": "other"}),
        ),
        [],
        [],
    )

    assert [(g.addresses, g.ports) for g in found.gateways] == [
        (("198.18.0.21",), ("15443/AUTO_PASSTHROUGH",))
    ]
