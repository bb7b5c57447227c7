"""`istio-mc address` before a real HTTP server: what it refuses, what it shows, and what it sends."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import Ran
from tests.support.fake_api import FakeApi, free_port, status, write_kubeconfig

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[..., Ran]
NAMESPACE = "/api/v1/namespaces/istio-system"
SERVICE = f"{NAMESPACE}/services/istio-ingressgateway"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GATEWAYS = "/apis/gateway.networking.k8s.io/v1/namespaces/istio-system/gateways"
IP = "203.0.113.7"


def namespace(number: int) -> dict[str, Any]:
    labels = {
        "istio-mc/mesh-id": "mesh1",
        "istio-mc/cluster-id": f"c{number}",
        "topology.istio.io/network": f"network{number}",
    }
    return {"metadata": {"name": "istio-system", "labels": labels}, "apiVersion": "v1", "kind": "Namespace"}


def service(*ingress: dict[str, str], **spec: object) -> dict[str, Any]:
    ports = [
        {"name": "http2", "port": 80, "nodePort": 31080, "protocol": "TCP"},
        {"name": "mtls", "port": 15443, "nodePort": 31443, "protocol": "TCP"},
    ]
    return {
        "metadata": {"name": "istio-ingressgateway", "namespace": "istio-system"},
        "spec": {"type": "LoadBalancer", "ports": ports, **spec},
        "status": {"loadBalancer": {"ingress": list(ingress)}},
    }


def member(api: FakeApi, number: int, gateway: dict[str, Any]) -> None:
    api.on("/version", {"gitVersion": "v1.32.3"})
    api.on(NAMESPACE, namespace(number))
    api.on(f"{NAMESPACE}/services", {"items": [gateway]})
    api.on(SERVICE, gateway)


@dataclass
class Pair:
    """kt, whose address is pending, and nhn."""

    kt: FakeApi
    nhn: FakeApi
    config: Path

    def written(self, api: FakeApi) -> list[tuple[str, str]]:
        """What was sent to one of them that changes something, but for the Lease of the run."""
        sent = [(method, path.partition("?")[0]) for method, path in api.calls if method != "GET"]
        kept_out = ("/leases", "/selfsubject")  # the latter ask for rights
        return [(method, path) for method, path in sent if not any(part in path for part in kept_out)]


@pytest.fixture
def pair(api: FakeApi, tmp_path: Path) -> Iterator[Pair]:
    with FakeApi().serve() as other:
        member(api, 1, service())
        member(other, 2, service({"ip": "198.51.100.2"}))
        yield Pair(api, other, write_kubeconfig(tmp_path / "k.yaml", {"kt": api.url, "nhn": other.url}))


class TestRefused:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--set", "kt"], "is not CONTEXT=VALUE"),
            (["--set", "kt=203.0.113.300"], "is neither an IP address nor a host name"),
            (["--set", "kt=127.0.0.1"], "is not reachable from other clusters"),
            (["--set", f"kt={IP}", "--via", "nat"], "is not one of external-ip, metallb, gateway"),
            (["--via", "gateway"], "--via requires --set"),
            (["--set", f"kt={IP}", "--unset", "kt"], "both name kt"),
            (["--set", f"kt={IP}", "--unset", "nhn,kt"], "both name kt"),
            (["--set", "kt=gw.example.com"], "--via external-ip accepts only IP addresses"),
            (["--set", "kt=gw.example.com", "--via", "metallb"], "--via metallb accepts only IP addresses"),
            (["--set", f"kt={IP},203.0.113.8", "--via", "metallb"], "accepts only one address"),
            (["--pool", "kt=10.0.0.0/28"], "--pool requires --via metallb"),
            (["--via", "metallb"], "--via requires --set or --pool"),
            (
                ["--via", "metallb", "--pool", "kt=10.0.0.9-10.0.0.1"],
                "is not of the form 10.0.0.10-10.0.0.20",
            ),
            (["--via", "metallb", "--pool", "kt=10.0.0.9"], "is not of the form 10.0.0.10-10.0.0.20"),
            (["--via", "metallb", "--pool", "kt=10.0.0.0/28", "--set", f"kt={IP}"], "is not in the pool"),
            (["--via", "metallb", "--set", f"kt={IP}", "--announce", "arp"], "is not one of l2, bgp"),
            (["--via", "metallb", "--set", f"kt={IP}", "--asn", "64600"], "--asn requires --announce bgp"),
            (
                ["--via", "metallb", "--set", f"kt={IP}", "--announce", "bgp", "--peer", "kt=10.0.0.1"],
                "is not of the form 10.0.0.1@64513",
            ),
            (
                ["--via", "metallb", "--set", f"kt={IP}", "--announce", "bgp", "--peer", "nhn=10.0.0.1@1"],
                "--peer names nhn, and neither --set nor --pool does",
            ),
            (
                ["--via", "metallb", "--set", f"kt={IP}", "--announce", "bgp", "--asn", "4294967296"],
                "is not the number of an autonomous system",
            ),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_before_any_cluster_is_queried(
        self, istio_mc: Run, pair: Pair, arguments: list[str], message: str
    ) -> None:
        done = istio_mc("address", *arguments, "--kubeconfig", pair.config)
        assert done.code == 2
        assert message in done.err
        assert pair.kt.calls == []

    def test_the_hint_for_host_names_keeps_every_address(self, istio_mc: Run, pair: Pair) -> None:
        settings = pair.config.with_name("other.yaml")
        settings.write_text("apiVersion: istio-mc/v1alpha1\n")
        options = ("--kubeconfig", str(pair.config), "--config", str(settings), "-o", "json")
        done = istio_mc("address", "--set", f"kt={IP},a.example.com", *options)
        (error,) = done.envelope["errors"]
        assert error["hintType"] == "command"
        assert shlex.split(error["hint"]) == [
            *("istio-mc", "address", "--set", f"kt={IP},a.example.com", "--via", "gateway"),
            *("--config", str(settings), "--kubeconfig", str(pair.config)),
        ]

    def test_a_cluster_that_is_no_member(self, istio_mc: Run, pair: Pair) -> None:
        done = istio_mc("address", "--set", f"ncloud={IP}", "--kubeconfig", pair.config)
        assert done.code == 2
        assert "--set: ncloud is not a cluster of this run" in done.err

    def test_a_gateway_where_another_cluster_has_no_gateway_api(self, istio_mc: Run, pair: Pair) -> None:
        done = istio_mc("address", "--set", f"kt={IP}", "--via", "gateway", "--kubeconfig", pair.config)
        assert done.code == 1
        assert "nhn has no Gateway API" in done.err
        assert pair.written(pair.nhn) == []

    def test_metallb_where_it_is_not(self, istio_mc: Run, pair: Pair) -> None:
        done = istio_mc("address", "--set", f"kt={IP}", "--via", "metallb", "--kubeconfig", pair.config)
        assert done.code == 1
        assert "MetalLB is not installed in kt" in done.err

    def test_a_cluster_without_a_gateway(self, istio_mc: Run, pair: Pair) -> None:
        pair.kt.on(f"{NAMESPACE}/services", {"items": []})
        done = istio_mc("address", "--set", f"kt={IP}", "--kubeconfig", pair.config)
        assert done.code == 1
        assert "kt has no gateway yet" in done.err

    def test_metallb_where_a_pool_of_that_name_has_another_address(self, istio_mc: Run, pair: Pair) -> None:
        pair.kt.on(f"{CRD}/ipaddresspools.metallb.io", {"metadata": {"name": "ipaddresspools.metallb.io"}})
        pair.kt.on("/api/v1/namespaces/metallb-system", {"metadata": {"name": "metallb-system"}})
        pools = "/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools"
        metadata, spec = {"name": "istio-ingressgateway"}, {"addresses": ["192.0.2.1/32"]}
        pair.kt.on(pools, {"items": [{"metadata": metadata, "spec": spec}]})
        done = istio_mc("address", "--set", f"kt={IP}", "--via", "metallb", "--kubeconfig", pair.config)
        assert done.code == 1
        assert "that istio-mc did not write" in done.err
        assert pair.written(pair.kt) == []


class TestShown:
    def test_options_for_a_pending_gateway_are_listed_and_nothing_is_changed(
        self, istio_mc: Run, pair: Pair
    ) -> None:
        done = istio_mc("address", "--kubeconfig", pair.config)
        assert done.code == 0
        assert "kt  c1, network1: address pending" in done.out
        assert "31443" in done.out
        assert "istio-mc address --set kt=ADDRESS --via metallb" in done.out
        assert pair.written(pair.kt) == pair.written(pair.nhn) == []

    def test_each_port_is_printed_once_with_its_node_port_in_every_cluster(
        self, istio_mc: Run, pair: Pair
    ) -> None:
        lines = istio_mc("address", "--kubeconfig", pair.config).out.splitlines()
        (header,) = [line for line in lines if line.startswith("PORT ")]
        assert header.split() == ["PORT", "NAME", "OPEN", "FOR", "NODE", "PORTS"]
        (row,) = [line for line in lines if line.startswith("15443/TCP")]
        assert "kt 31443" in row

    def test_contexts_choose_what_is_shown(self, istio_mc: Run, pair: Pair) -> None:
        done = istio_mc("address", "--kubeconfig", pair.config, "--contexts", "nhn", "-o", "json")
        assert [one["name"] for one in done.envelope["data"]["clusters"]] == ["nhn"]

    def test_a_private_address_is_pointed_out(self, istio_mc: Run, pair: Pair) -> None:
        pair.kt.on(f"{NAMESPACE}/services", {"items": [service({"ip": "10.0.0.9"})]})
        assert "10.0.0.9: private" in istio_mc("address", "--kubeconfig", pair.config).out

    def test_a_host_name_that_does_not_resolve_is_pointed_out(self, istio_mc: Run, pair: Pair) -> None:
        pair.kt.on(f"{NAMESPACE}/services", {"items": [service({"hostname": "gw.invalid"})]})
        assert "gw.invalid: does not resolve here" in istio_mc("address", "--kubeconfig", pair.config).out

    def test_a_cluster_that_does_not_answer_is_an_error_and_the_others_are_shown(
        self, istio_mc: Run, pair: Pair, tmp_path: Path
    ) -> None:
        servers = {"kt": pair.kt.url, "nhn": f"http://127.0.0.1:{free_port()}"}
        config = write_kubeconfig(tmp_path / "half.yaml", servers)
        (tmp_path / "mesh.yaml").write_text(
            "apiVersion: istio-mc/v1alpha1\nkind: Mesh\nclusters: [{context: kt}, {context: nhn}]\n"
        )
        done = istio_mc("address", "--kubeconfig", config, "-o", "json")
        assert done.code == 3
        assert [one["name"] for one in done.envelope["data"]["clusters"]] == ["kt"]
        assert [one["cluster"] for one in done.envelope["errors"]] == ["nhn"]


class TestSent:
    def test_an_external_ip_is_one_patch_of_one_service(self, istio_mc: Run, pair: Pair) -> None:
        done = istio_mc("address", "--set", f"kt={IP}", "--kubeconfig", pair.config)
        assert done.code == 0
        assert pair.written(pair.kt) == [("PATCH", SERVICE)]
        assert pair.written(pair.nhn) == []
        sent = next(
            body for (method, _), body in zip(pair.kt.calls, pair.kt.bodies, strict=True) if method == "PATCH"
        )
        assert json.loads(sent) == {"spec": {"externalIPs": [IP]}}

    def test_a_change_that_failed_is_not_reported_as_made(self, istio_mc: Run, pair: Pair) -> None:
        pair.nhn.on(SERVICE, status(403, "no"))
        done = istio_mc(
            "address",
            "--set",
            f"kt={IP}",
            "--set",
            "nhn=203.0.113.9",
            "--kubeconfig",
            pair.config,
            "-o",
            "json",
        )
        assert done.code == 3
        assert [one["cluster"] for one in done.envelope["errors"]] == ["nhn"]
        assert [one["cluster"] for one in done.envelope["data"]["changes"]] == ["kt"]

    def test_where_every_change_failed_nothing_to_change_is_not_printed(
        self, istio_mc: Run, pair: Pair
    ) -> None:
        pair.nhn.on(SERVICE, status(403, "no"))
        done = istio_mc("address", "--set", "nhn=203.0.113.9", "--kubeconfig", pair.config)
        assert done.code == 3
        assert "Nothing to change" not in done.out

    def test_a_gateway_goes_to_the_other_cluster(self, istio_mc: Run, pair: Pair) -> None:
        pair.nhn.on(
            f"{CRD}/gatewayclasses.gateway.networking.k8s.io",
            {"metadata": {"name": "g"}}
            | {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"},
        )
        pair.nhn.on(f"{GATEWAYS}/istio-remote-c1", {})
        done = istio_mc(
            "address", "--set", "kt=gw.example.com", "--via", "gateway", "--kubeconfig", pair.config
        )
        assert done.code == 0
        assert "apply Gateway istio-system/istio-remote-c1" in done.out
        assert pair.written(pair.kt) == []
        assert pair.written(pair.nhn) == [("PATCH", f"{GATEWAYS}/istio-remote-c1")]

    def test_a_name_that_does_not_resolve_is_pointed_out_before_it_is_written(
        self, istio_mc: Run, pair: Pair
    ) -> None:
        pair.nhn.on(
            f"{CRD}/gatewayclasses.gateway.networking.k8s.io",
            {"metadata": {"name": "g"}}
            | {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"},
        )
        desired = ("--set", "kt=gw.kt.invalid", "--via", "gateway")
        done = istio_mc("address", *desired, "--dry-run", "--kubeconfig", pair.config)
        assert "gw.kt.invalid may not be an address that the other clusters reach" in done.err
        assert "does not resolve here" in done.err

    def test_a_dry_run_prints_the_document_and_sends_nothing(self, istio_mc: Run, pair: Pair) -> None:
        done = istio_mc("address", "--set", f"kt={IP}", "--dry-run", "--kubeconfig", pair.config)
        assert f"externalIPs:\n  - {IP}" in done.out
        assert pair.written(pair.kt) == []

    def test_what_is_there_already_is_not_sent_again(self, istio_mc: Run, pair: Pair) -> None:
        pair.kt.on(f"{NAMESPACE}/services", {"items": [service(externalIPs=[IP])]})
        done = istio_mc("address", "--set", f"kt={IP}", "--kubeconfig", pair.config)
        assert done.code == 0
        assert "Nothing to change." in done.out
        assert pair.written(pair.kt) == []

    def test_an_address_that_mesh_yaml_will_bring_back_is_warned_of(
        self, istio_mc: Run, pair: Pair, tmp_path: Path
    ) -> None:
        (tmp_path / "mesh.yaml").write_text(
            "apiVersion: istio-mc/v1alpha1\nkind: Mesh\n"
            "clusters: [{context: kt, gatewayAddress: 203.0.113.99}, {context: nhn}]\n"
        )
        done = istio_mc("address", "--set", f"kt={IP}", "--kubeconfig", pair.config)
        assert "the next install sets the address of kt from mesh.yaml again" in done.err

    def test_gateways_beside_a_services_own_address_are_warned_of(self, istio_mc: Run, pair: Pair) -> None:
        pair.kt.on(
            f"{CRD}/gatewayclasses.gateway.networking.k8s.io",
            {"metadata": {"name": "g"}}
            | {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"},
        )
        done = istio_mc("address", "--set", f"nhn={IP}", "--via", "gateway", "--kubeconfig", pair.config)
        assert "its Service has an address" in done.err


class TestRemembered:
    """istiod does not forget the last address of a Service: whoever takes it away is told what makes it."""

    RESTART = "kubectl --context nhn -n istio-system rollout restart deployment/istiod-1-26-0"

    @pytest.fixture
    def given(self, pair: Pair) -> Pair:
        """kt with an address of ours, and an istiod in nhn."""
        ours = service(externalIPs=[IP])
        ours["metadata"]["managedFields"] = [
            {"manager": "istio-mc", "operation": "Update", "fieldsV1": {"f:spec": {"f:externalIPs": {}}}}
        ]
        pair.kt.on(f"{NAMESPACE}/services", {"items": [ours]})
        istiod = {
            "metadata": {"name": "istiod-1-26-0", "namespace": "istio-system", "labels": {"app": "istiod"}}
        }
        pair.nhn.on(
            "/apis/apps/v1/namespaces/istio-system/deployments",
            {"items": [istiod | {"spec": {"template": {"spec": {"containers": []}}}}]},
        )
        crd = {"metadata": {"name": "g"}, "apiVersion": "apiextensions.k8s.io/v1"}
        pair.nhn.on(
            f"{CRD}/gatewayclasses.gateway.networking.k8s.io", crd | {"kind": "CustomResourceDefinition"}
        )
        return pair

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--unset", "kt", "--yes"),
            ("--unset", "kt", "--dry-run"),
            ("--set", "kt=203.0.113.9", "--via", "gateway"),
        ],
        ids=" ".join,
    )
    def test_the_restart_is_reported_where_the_last_address_is_removed(
        self, istio_mc: Run, given: Pair, arguments: tuple[str, ...]
    ) -> None:
        done = istio_mc("address", *arguments, "--kubeconfig", given.config, "-o", "json")
        (message,) = [one for one in done.envelope["messages"] if one["code"] == "address-remembered"]
        assert message["cluster"] == "kt"
        assert IP in message["seen"]
        assert (message["hint"], message["hintType"]) == (
            f"KUBECONFIG={given.config} {self.RESTART}",
            "command",
        )

    @pytest.mark.parametrize(
        "arguments", [("--set", "kt=203.0.113.9"), ("--unset", "nhn", "--yes")], ids=" ".join
    )
    def test_where_an_address_stays_or_takes_its_place_nothing_is_remembered(
        self, istio_mc: Run, given: Pair, arguments: tuple[str, ...]
    ) -> None:
        done = istio_mc("address", *arguments, "--kubeconfig", given.config, "-o", "json")
        assert [one for one in done.envelope["messages"] if one["code"] == "address-remembered"] == []
